"""HTML reports of evaluations, with audio and plots: one page for each, and one page for several."""

from vc.report.page import write_report
from vc.report.pairs import write_pairs

__all__ = ["write_pairs", "write_report"]
