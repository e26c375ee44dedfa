"""Converted sets against the target's recordings: match -> anchors -> measure -> compare -> verdict -> results.

`vc.evaluate(...)` is what `vc-evaluate` does: `help(vc.api.evaluate)`.
"""

from vc.callable_package import make_callable
from vc.evaluate.results import Evaluation, format_table
from vc.evaluate.run import Request, evaluate

__all__ = ["Evaluation", "Request", "evaluate", "format_table"]

make_callable(__name__)
