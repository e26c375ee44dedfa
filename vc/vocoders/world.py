"""WORLD synthesis: F0, spectral envelope and aperiodicity -> samples (Morise et al., 2016)."""

import numpy as np

from vc import audio
from vc.features import kinds
from vc.features.kinds import FeatureConfig
from vc.features.world import F0Range, Frames
from vc.vocoders.base import Vocoder


class World(Vocoder):
    """Pulses and noise through the spectral envelope, whichever features tell that."""

    native_rate = None

    def refuse_other(self, config: FeatureConfig) -> None:
        """It takes all."""

    def needs_excitation(self, config: FeatureConfig) -> bool:
        return True

    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        import pyworld

        envelope = kinds.envelope(frames.spectrum, config)
        f0 = np.ascontiguousarray(frames.f0, np.float64)
        aperiodicity = np.ascontiguousarray(frames.aperiodicity, np.float64)
        samples = pyworld.synthesize(f0, envelope, aperiodicity, config.sample_rate, config.frame_shift)
        return np.pad(samples, (kinds.delay(config), 0))

    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range) -> np.ndarray:
        copied = self.synthesise(kinds.analyse(samples, config, f0_range), config)
        return audio.fit_length(copied, len(samples))


WORLD = World()
