"""Word and character errors, by a speech recogniser of the user's own: a folder of transformers with a Whisper.

Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023. Nothing is downloaded, nothing
in the folder is run, and its weights are read from safetensors alone. Words are searched greedily, the language is the
model's own guess for each recording unless it knows English alone.
"""

from functools import cache
from typing import Any

import numpy as np

from vc import extras
from vc.errors import ConfigError, DataError
from vc.metrics.speech_models import RATE, one_thread, prepare

MODULES = ("transformers",)
LONGEST = 30.0  # seconds that a Whisper takes at once


def require(folder: str) -> None:
    """Raise ConfigError if the package is missing, or the folder holds no Whisper."""
    extras.require("word error", "encoders", *MODULES)
    _recogniser(folder)


def transcribe(samples: np.ndarray, rate: int, folder: str) -> str:
    """The words of a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, up to 30 s; full scale is 1.
    rate : int
        Sample rate in Hz.
    folder : str
        Of the recogniser.

    Raises
    ------
    DataError
        If the recording is too long, too short, silent or not finite.
    ConfigError
        If the folder holds no Whisper.
    """
    import torch

    processor, model = _recogniser(folder)
    samples = prepare(samples, rate)
    if len(samples) > LONGEST * RATE:
        raise DataError(f"{len(samples) / RATE:.1f} s are more than the {LONGEST:g} s that are heard at once")
    inputs = processor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode(), one_thread():
        tokens = model.generate(inputs.input_features, do_sample=False, num_beams=1)
    return processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()


def normalise(text: str) -> str:
    """Words as they are compared: lower case, letters, digits and apostrophes, one space between two."""
    signs = "".join(sign if sign.isalnum() or sign == "'" else " " for sign in text.lower().replace("\u2019", "'"))
    return " ".join(signs.split())


@cache
def _recogniser(folder: str) -> tuple[Any, Any]:
    """The processor of recordings and tokens, and the network, once per process."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    try:
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        model = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{folder}: no folder of transformers with a Whisper and its processor: {reason}") from None
    return processor, model.eval()
