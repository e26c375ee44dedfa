"""Whether a system says different things in different ways, or the same to everything."""

from collections.abc import Sequence

import numpy as np

from vc.errors import DataError
from vc.metrics.distortion import mel_cepstral_distortion

PAIRS = 20  # of utterances, at most


def different_sentences(utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Mel-cepstral distortions in dB between utterances of different sentences, each `(frames, order + 1)`.

    Up to PAIRS different pairs, spread over all, each utterance with one about half the set away. DTW leaves little
    between two utterances that go through the same sounds.
    """
    count = len(utterances)
    if count < 2:
        raise DataError(f"different sentences are to be compared, got {count}")
    away = max(1, (count - 1) // 2)  # never half of the count, or every pair would come twice
    firsts = np.unique(np.linspace(0, count - 1, min(PAIRS, count)).round().astype(int)) if count > 2 else [0]
    return np.array([mel_cepstral_distortion(utterances[one], utterances[(one + away) % count]) for one in firsts])


def diversity(converted: np.ndarray, reference: np.ndarray) -> float:
    """Mean of a system's `different_sentences` over that of the target's own recordings: 1 is as diverse as the target.

    0: every sentence comes out the same, the collapse of a generative adversarial network (Goodfellow, "NIPS 2016
    tutorial", section 5.1.1). Over-smoothing lowers it, too.
    """
    return float(converted.mean() / reference.mean())
