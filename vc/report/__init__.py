"""An evaluation as a page to read, to listen to and to look at."""

from vc.report.page import write_report

__all__ = ["write_report"]
