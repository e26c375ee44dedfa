"""Converted sets against the target's recordings: request -> match -> stages -> measure -> run -> scoreboard."""

from vc.evaluate.request import Request
from vc.evaluate.run import evaluate
from vc.evaluate.scoreboard import Evaluation, format_table

__all__ = ["Evaluation", "Request", "evaluate", "format_table"]
