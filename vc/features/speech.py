"""Speech and pause detection by loudness: pauses carry no speaker information."""

from collections.abc import Sequence

import numpy as np

DYNAMIC_RANGE = 35.0  # dB; frames farther below the loudest are pauses
SILENCE = 60.0  # dB; frames farther below the loudest are not room noise but the silence of a noise gate or an edit
LOUD_QUANTILE = 0.99  # of frame loudness, taken as the recording's; louder frames are clicks or knocks
DECIBELS = 10 / np.log(10)  # per unit of the natural logarithm of power


def loudness(mel_cepstrum: np.ndarray) -> np.ndarray:
    """Loudness `(frames,)` in dB of `(frames, order + 1)`: c0, the mean log power over the warped frequency axis."""
    return 2 * DECIBELS * mel_cepstrum[:, 0]


def audible(mel_cepstrum: np.ndarray) -> np.ndarray:
    """Mask `(frames,)` of the frames within 35 dB of the loudest one."""
    level = loudness(mel_cepstrum)
    return level > level.max() - DYNAMIC_RANGE


def silent(mel_cepstrum: np.ndarray) -> np.ndarray:
    """Mask `(frames,)` of the frames more than 60 dB below the loudest one: digital silence, or nearly so."""
    level = loudness(mel_cepstrum)
    return level < level.max() - SILENCE


def speech(mel_cepstra: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Masks `(frames,)` of the speech frames in each recording `(frames, order + 1)` of a speaker.

    Speech is within 35 dB of the loud frames of its recording, robust to clicks. A recording of background noise alone
    has none, because it is as far below the speaker's other recordings as a pause is below speech.
    """
    levels = [loudness(mel_cepstrum) for mel_cepstrum in mel_cepstra]
    loud = np.array([np.quantile(level, LOUD_QUANTILE) for level in levels])
    usual = np.median(loud[loud > loud.max() - SILENCE])
    return [
        (level > loudest - DYNAMIC_RANGE) & (loudest > usual - DYNAMIC_RANGE) for level, loudest in zip(levels, loud)
    ]


def from_first_to_last(mask: np.ndarray) -> np.ndarray:
    """Mask `(frames,)` that is true from the first true frame of `mask` `(frames,)` to the last."""
    return np.maximum.accumulate(mask) & np.maximum.accumulate(mask[::-1])[::-1]


def forward_fill(mask: np.ndarray) -> np.ndarray:
    """Index `(frames,)` of the latest frame where `mask` `(frames,)` is true; before the first, the index of that."""
    indices = np.where(mask, np.arange(len(mask)), -1)
    return np.maximum(np.maximum.accumulate(indices), np.argmax(mask))
