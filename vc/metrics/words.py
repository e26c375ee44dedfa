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
from vc.metrics import speech

MODULES = ("transformers",)
LONGEST = 30.0  # seconds, of what a Whisper hears at once


def require(folder: str) -> None:
    """Refuse if the package is missing, or the folder is no Whisper."""
    extras.require("word error", "encoders", *MODULES)
    _recogniser(folder)


def transcribe(samples: np.ndarray, rate: int, folder: str) -> str:
    """What the recogniser in `folder` hears in `(samples,)` of up to 30 s."""
    import torch

    processor, model = _recogniser(folder)
    samples = speech.prepare(samples, rate)
    if len(samples) > LONGEST * speech.RATE:
        raise DataError(f"{len(samples) / speech.RATE:.1f} s are more than the {LONGEST:g} s that are heard at once")
    heard = processor(samples, sampling_rate=speech.RATE, return_tensors="pt")
    with torch.inference_mode(), speech.one_thread():
        tokens = model.generate(heard.input_features, do_sample=False, num_beams=1)
    return processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()


def spelt(text: str) -> str:
    """Words as they are compared: lower case, letters, digits and apostrophes, a space between two."""
    kept = "".join(sign if sign.isalnum() or sign == "'" else " " for sign in text.lower().replace("\u2019", "'"))
    return " ".join(kept.split())


@cache
def _recogniser(folder: str) -> tuple[Any, Any]:
    """What prepares recordings and spells tokens, and the network, once a process."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    try:
        processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        model = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{folder}: no folder of transformers with a Whisper and its processor: {reason}") from None
    return processor, model.eval()
