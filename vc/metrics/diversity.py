"""Whether a system says different things in different ways, or the same to everything."""

from collections.abc import Sequence

import numpy as np

from vc.errors import DataError
from vc.metrics.distortion import mel_cepstral_distortion

PAIRS = 16  # of utterances, at most


def different_sentences(utterances: Sequence[np.ndarray]) -> np.ndarray:
    """Mel-cepstral distortions in dB between utterances of different sentences, each `(frames, order + 1)`.

    Up to PAIRS pairs, spread over all. DTW leaves little between two utterances that go through the same sounds.
    """
    count = len(utterances)
    if count < 2:
        raise DataError(f"different sentences are to be compared, got {count}")
    firsts = np.unique(np.linspace(0, count - 1, min(PAIRS, count if count > 2 else 1)).round().astype(int))
    return np.array(
        [mel_cepstral_distortion(utterances[one], utterances[(one + count // 2) % count]) for one in firsts]
    )


def diversity(converted: np.ndarray, reference: np.ndarray) -> float:
    """Mean of a system's `different_sentences` over that of the target's own recordings: 1 is as diverse as the target.

    0: every sentence comes out the same, the collapse of a generative adversarial network (Goodfellow, "NIPS 2016
    tutorial", section 5.1.1). Over-smoothing lowers it, too.
    """
    return float(converted.mean() / reference.mean())
