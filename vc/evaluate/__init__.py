"""Converted sets against the target's recordings: request -> match -> stages -> measure -> run -> scoreboard.

`vc.evaluate(...)` is what `vc-evaluate` does: `help(vc.api.evaluate)`.
"""

from vc.callable_package import make_callable
from vc.evaluate.request import Request
from vc.evaluate.run import evaluate
from vc.evaluate.scoreboard import Evaluation, format_table

__all__ = ["Evaluation", "Request", "evaluate", "format_table"]

make_callable(__name__)
