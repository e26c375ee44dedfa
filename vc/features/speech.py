"""Which frames of a recording are speech, told by their loudness: pauses say nothing of a voice."""

from collections.abc import Sequence

import numpy as np

DYNAMIC_RANGE = 35.0  # dB below the loudest frame; what lies lower is a pause
SILENCE = 60.0  # dB below the loudest frame; what lies lower is no room's noise, but a gate's or an editor's silence
DECIBELS = 10 / np.log(10)  # of a natural logarithm of power


def loudness(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(frames,)` in dB: c0 of `(frames, order + 1)`, the mean log power spectrum over the warped frequencies."""
    return 2 * DECIBELS * mel_cepstrum[:, 0]


def audible(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(frames,)`, true for a frame whose loudness is within 35 dB of the loudest frame's."""
    level = loudness(mel_cepstrum)
    return level > level.max() - DYNAMIC_RANGE


def silent(mel_cepstrum: np.ndarray) -> np.ndarray:
    """`(frames,)`, true for a frame more than 60 dB below the loudest: digital silence, or near it."""
    level = loudness(mel_cepstrum)
    return level < level.max() - SILENCE


def speech(mel_cepstra: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The frames that are speech, `(frames,)` each, of one speaker's recordings `(frames, order + 1)`.

    A recording's are its audible ones. One that holds nothing but background noise has none: its loudest frame is as
    far below those of the speaker's other recordings as a pause is below speech.
    """
    loudest = np.array([loudness(mel_cepstrum).max() for mel_cepstrum in mel_cepstra])
    spoken = loudest > np.median(loudest) - DYNAMIC_RANGE
    return [audible(mel_cepstrum) & speaks for mel_cepstrum, speaks in zip(mel_cepstra, spoken)]


def from_first_to_last(mask: np.ndarray) -> np.ndarray:
    """`(frames,)`, true from the first true frame of `(frames,)` to the last."""
    return np.maximum.accumulate(mask) & np.maximum.accumulate(mask[::-1])[::-1]


def held(mask: np.ndarray) -> np.ndarray:
    """`(frames,)` indices: of each frame the last one up to it where `(frames,)` is true, before the first one that."""
    places = np.where(mask, np.arange(len(mask)), -1)
    return np.maximum(np.maximum.accumulate(places), np.argmax(mask))
