"""Converted sets against the target's recordings: match -> anchors -> measure -> compare -> verdict -> results."""

from vc.evaluate.results import Evaluation, format_table
from vc.evaluate.run import Request, evaluate

__all__ = ["Evaluation", "Request", "evaluate", "format_table"]
