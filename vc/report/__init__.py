"""An evaluation as a page to read, to listen to and to look at."""

from vc.report.page import write_report
from vc.report.spectrogram import require_matplotlib

__all__ = ["require_matplotlib", "write_report"]
