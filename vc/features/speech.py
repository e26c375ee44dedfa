"""Which frames of a recording are speech, by their loudness: pauses carry nothing of the speaker."""

from collections.abc import Sequence

import numpy as np

DYNAMIC_RANGE = 35.0  # dB below the loudest frame; what lies lower is a pause
SILENCE = 60.0  # dB below the loudest frame; what lies lower is no room's noise, but a gate's or an editor's silence
LOUD_QUANTILE = 0.99  # of a recording's frames, for its loudness: louder ones are a click or a knock
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

    They are within 35 dB of a recording's loud frames, of which a click is none. A recording of nothing but background
    noise has none: it is as far below the speaker's other recordings as a pause is below speech.
    """
    levels = [loudness(mel_cepstrum) for mel_cepstrum in mel_cepstra]
    loud = np.array([np.quantile(level, LOUD_QUANTILE) for level in levels])
    usual = np.median(loud[loud > loud.max() - SILENCE])
    return [
        (level > loudest - DYNAMIC_RANGE) & (loudest > usual - DYNAMIC_RANGE) for level, loudest in zip(levels, loud)
    ]


def from_first_to_last(mask: np.ndarray) -> np.ndarray:
    """`(frames,)`, true from the first true frame of `(frames,)` to the last."""
    return np.maximum.accumulate(mask) & np.maximum.accumulate(mask[::-1])[::-1]


def forward_fill(mask: np.ndarray) -> np.ndarray:
    """`(frames,)` indices: of each frame the last up to it where `(frames,)` is true, or else the first such."""
    indices = np.where(mask, np.arange(len(mask)), -1)
    return np.maximum(np.maximum.accumulate(indices), np.argmax(mask))
