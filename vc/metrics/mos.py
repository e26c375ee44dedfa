"""Predicted opinion score: what listeners would say of a recording by itself, by a network distilled from large ones.

DistillMOS: Stahl and Gamper, "Distillation and pruning for scalable self-supervised representation-based speech quality
assessment", ICASSP 2025. The package distillmos 0.9.1 carries the network and its weights (nothing is downloaded). It
responds to speech that sounds synthetic, which `quality` hardly does. It takes 7.7 s at a time: shorter recordings are
padded to that, longer ones cut into pieces that overlap, a second apart.
"""

import contextlib
import io
from typing import Any

import numpy as np

from vc.errors import ConfigError
from vc.metrics.speech_models import PackagedModel, one_thread, prepare

MODULES = ("distillmos", "xls_r_sqa", "torchaudio")


def _load() -> Any:
    _check_torchaudio()
    import distillmos

    with contextlib.redirect_stdout(io.StringIO()):  # it prints which weights it has loaded
        return distillmos.ConvTransformerSQAModel().eval()


MODEL = PackagedModel("predicted opinion score", MODULES, _load)


def require() -> None:
    """Raise ConfigError if a package is missing, or torchaudio, which distillmos imports, does not fit this torch."""
    MODEL.require()
    _check_torchaudio()


def _check_torchaudio() -> None:
    """Raise ConfigError if torchaudio cannot be imported.

    torchaudio 2.11, its last release, is built for torch 2.11 and later, but the build for CUDA asks for a torch with
    the same CUDA, and that of PyPI is for CUDA 13.0.
    """
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        import torch

        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ConfigError(
            f"predicted opinion score needs a torchaudio of the same build as torch {torch.__version__}, from the"
            f" index that torch came from: {reason}"
        ) from None


def distillmos(samples: np.ndarray, rate: int) -> float:
    """Predicted mean opinion score of a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    float
        About 1 (bad) to 5 (excellent).

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite.
    ConfigError
        If a package is missing.
    """
    import torch

    samples = torch.from_numpy(prepare(samples, rate))[None]
    with torch.inference_mode(), one_thread():
        return float(MODEL.get()(samples))
