"""Word and character error rates, by a speech recogniser of the user's own: a Whisper model in transformers format.

Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023. Nothing is downloaded, no code
in the folder is run, and weights are read from safetensors only. Decoding is greedy; a multilingual model detects the
language of each recording.
"""

from functools import cache
from typing import Any

import numpy as np

from vc import extras
from vc.errors import ConfigError, DataError
from vc.metrics.speech_models import RATE, one_thread, prepare

MODULES = ("transformers",)
NEEDED = "a recogniser of your own, a Whisper in transformers format"
LONGEST = 30.0  # seconds, Whisper's context


def require(folder: str) -> None:
    """Raise ConfigError if the package is missing, or the folder does not contain a Whisper model."""
    extras.require("word error", "encoders", *MODULES)
    _recogniser(folder)


def transcribe(samples: np.ndarray, rate: int, folder: str) -> str:
    """Transcribe a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, up to 30 s; full scale is 1.
    rate : int
        Sample rate in Hz.
    folder : str
        The recogniser's.

    Returns
    -------
    str
        The words as the recogniser spells them.

    Raises
    ------
    DataError
        If the recording is too long, too short, silent or not finite.
    ConfigError
        If the folder does not contain a Whisper model.
    """
    import torch

    processor, model = _recogniser(folder)
    samples = prepare(samples, rate)
    if len(samples) > LONGEST * RATE:
        raise DataError(f"{len(samples) / RATE:.1f} s is more than the recogniser's limit of {LONGEST:g} s")
    inputs = processor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode(), one_thread():
        tokens = model.generate(inputs.input_features, do_sample=False, num_beams=1)
    return processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()


def normalise(text: str) -> str:
    """Normalise words for comparison: lower case, only letters, digits and apostrophes, separated by one space."""
    signs = "".join(sign if sign.isalnum() or sign == "'" else " " for sign in text.lower().replace("\u2019", "'"))
    return " ".join(signs.split())


@cache
def _recogniser(folder: str) -> tuple[Any, Any]:
    """Load the processor and the network once per process."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    try:
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        model = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{folder}: not a transformers folder with a Whisper model and processor: {reason}") from None
    return processor, model.eval()
