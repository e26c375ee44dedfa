"""An evaluation as a page to read, to listen to and to look at; several on one page."""

from vc.report.page import write_report
from vc.report.pairs import write_pairs

__all__ = ["write_pairs", "write_report"]
