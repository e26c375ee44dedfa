"""Predicted quality: the opinion score that a neural network expects listeners to give a recording by itself.

DNSMOS P.835: Reddy, Gopal and Cutler, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to
evaluate noise suppressors", ICASSP 2022. The package speechmos 0.0.1.1 carries the network; we run that alone and on
one thread, for its own function also runs another one and takes every core. The figures of recordings of 9 s and more
are the same, but that a rounding of its own leaves out every window from the eighth on; those of shorter ones, each
scored once, differ by 0.02 on average.

What it is worth: it learnt from speech with noise, cleaned by noise suppressors. It responds to noise and buzz. It does
not respond to another speaker or another sentence, and to words in pieces less than to faint noise. A recording 10 dB
quieter has 0.04 less, 20 dB 0.2 (docs/experiments.md).
"""

from importlib import resources
from typing import Any

import numpy as np

from vc import extras
from vc.metrics.speech_models import RATE, PackagedModel, prepare

MODULES = ("speechmos", "onnxruntime")
WINDOW = 144160  # samples at 16 kHz: 9.01 s
# From the network's outputs to the scale of P.835: constant, linear and square term, as in speechmos
SCALES = {
    "signal": (0.0052439, 1.22083953, -0.08397278),
    "background": (-0.39604546, 1.60915514, -0.13166888),
    "overall": (0.04602535, 1.11546468, -0.06766283),
}


def _load() -> Any:
    """An onnxruntime session."""
    onnxruntime = extras.onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = (resources.files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx").read_bytes()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


MODEL = PackagedModel("predicted quality", MODULES, _load)
require = MODEL.require


def dnsmos(samples: np.ndarray, rate: int) -> dict[str, float]:
    """Predicted opinion scores of a recording by DNSMOS P.835.

    The mean over windows of 9.01 s, one a second. A shorter recording is repeated until it fills one window: speechmos,
    which doubles it, also takes windows that begin later and hold the same again, at several times the cost.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    dict
        `overall`, `signal` and `background`, each about 1 (bad) to 5 (excellent).

    Raises
    ------
    DataError
        If the recording is too short, silent or not finite.
    ConfigError
        If a package is missing.
    """
    samples = prepare(samples, rate)
    count = max(1, len(samples) // RATE - 9)
    samples = np.resize(samples, max(len(samples), WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: count * RATE : RATE]
    raw = np.array([MODEL.get().run(None, {"input_1": window[None]})[0][0] for window in windows])
    return {
        name: float(np.polynomial.polynomial.polyval(values, scale).mean())
        for (name, scale), values in zip(SCALES.items(), raw.T)
    }
