"""WORLD synthesis: F0, mel-cepstrum and aperiodicity -> samples (Morise et al., 2016)."""

import numpy as np

from vc import audio
from vc.features import mel_cepstrum, world
from vc.features.world import F0Range, Frames, WorldConfig
from vc.vocoders.base import Vocoder


class World(Vocoder):
    """Pulses and noise through the spectral envelope; needs F0 and aperiodicity beside the mel-cepstrum."""

    native_rate = None

    def synthesise(self, frames: Frames, config: WorldConfig) -> np.ndarray:
        import pyworld

        envelope = mel_cepstrum.to_envelope(frames.mel_cepstrum, config.warping, config.bins)
        f0 = np.ascontiguousarray(frames.f0, np.float64)
        aperiodicity = np.ascontiguousarray(frames.aperiodicity, np.float64)
        return pyworld.synthesize(f0, envelope, aperiodicity, config.sample_rate, config.frame_shift)

    def copy(self, samples: np.ndarray, config: WorldConfig, f0_range: F0Range) -> np.ndarray:
        copied = self.synthesise(world.analyse(samples, config, f0_range), config)
        return audio.fit_length(copied, len(samples))


WORLD = World()
