"""Evaluation of converted recordings: match -> anchors -> measure -> compare -> verdict -> results.

`vc.evaluate(...)` does what the command `vc-evaluate` does; see `help(vc.api.evaluate)`.
"""

from vc.callable_package import make_callable
from vc.evaluate.results import Evaluation, format_table
from vc.evaluate.run import Request, evaluate

__all__ = ["Evaluation", "Request", "evaluate", "format_table"]

make_callable(__name__)
