"""A converted set against the target's recordings: match -> anchors -> run -> scoreboard."""

from vc.evaluate.run import evaluate
from vc.evaluate.scoreboard import Evaluation, format_table

__all__ = ["Evaluation", "evaluate", "format_table"]
