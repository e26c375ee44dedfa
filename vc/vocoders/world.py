"""WORLD synthesis: F0, spectral envelope and aperiodicity -> samples (Morise et al., 2016)."""

import numpy as np

from vc.corpus import audio
from vc.errors import DataError
from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import HIGHEST_F0, LOWEST_F0, F0Range
from vc.vocoders.base import Vocoder


class World(Vocoder):
    """WORLD's synthesis by pulses and noise filtered with the spectral envelope, from features of any kind."""

    native_rate = None

    def check_features(self, config: FeatureConfig) -> None:
        """Accept any features."""

    def needs_excitation(self, config: FeatureConfig) -> bool:
        return True

    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        import pyworld

        envelope = config.envelope(frames.spectrum)
        if not (
            np.isfinite(frames.f0).all() and np.isfinite(envelope).all() and np.isfinite(frames.aperiodicity).all()
        ):
            raise DataError("F0, spectral envelope and aperiodicity to synthesise must be finite")
        # WORLD does not check its input: F0 far above the Nyquist frequency makes it write beyond its buffers.
        f0 = np.where(frames.f0 > 0, np.clip(frames.f0, LOWEST_F0, HIGHEST_F0), 0.0)
        aperiodicity = np.ascontiguousarray(frames.aperiodicity, np.float64)
        samples = pyworld.synthesize(f0, envelope, aperiodicity, config.sample_rate, config.frame_shift)
        return np.pad(samples, (config.first_centre, 0))

    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> np.ndarray:
        copied = self.synthesise(config.analyse(samples, f0_range), config)
        return audio.fit_length(copied, len(samples))


WORLD = World()
