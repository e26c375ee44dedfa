"""WORLD synthesis: F0, mel-cepstrum and aperiodicity -> samples (Morise et al., 2016)."""

import numpy as np

from vc.features import mel_cepstrum
from vc.features.world import Frames, WorldConfig


def synthesise(frames: Frames, config: WorldConfig) -> np.ndarray:
    """Samples `(frames * frame_shift,)` float64 at `config.sample_rate`; not limited to -1..1."""
    import pyworld

    envelope = mel_cepstrum.to_envelope(frames.mel_cepstrum, config.warping, config.bins)
    f0 = np.ascontiguousarray(frames.f0, np.float64)
    aperiodicity = np.ascontiguousarray(frames.aperiodicity, np.float64)
    return pyworld.synthesize(f0, envelope, aperiodicity, config.sample_rate, config.frame_shift)
