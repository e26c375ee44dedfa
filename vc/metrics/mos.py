"""Predicted opinion score: what listeners would say of a recording by itself, guessed from what large models heard.

DistillMOS: Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
assessment", ICASSP 2025; the package distillmos carries the network. It hears speech that sounds synthetic, which
`quality` hardly does. No part of the usual installation: it brings transformers and torchaudio along.
"""

import contextlib
import io
from functools import cache
from typing import Any

import numpy as np

from vc import extras
from vc.metrics import speech

MODULES = ("distillmos", "torchaudio", "transformers")


def require() -> None:
    """Refuse if a package is missing."""
    extras.require("predicted opinion score", "mos", *MODULES)


def distillmos(samples: np.ndarray, rate: int) -> float:
    """About 1 (bad) to 5 (excellent), of `(samples,)`."""
    import torch

    samples = torch.from_numpy(speech.prepare(samples, rate))[None]
    with torch.inference_mode():
        return float(_network()(samples))


@cache
def _network() -> Any:
    """Once a process."""
    require()
    import distillmos

    with contextlib.redirect_stdout(io.StringIO()):  # it says which weights it has loaded
        return distillmos.ConvTransformerSQAModel().eval()
