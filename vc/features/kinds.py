"""The kinds of features that a method may learn from: mel-cepstra of WORLD, log-mel, and log-mel with content."""

from functools import lru_cache
from typing import Any

import numpy as np

from vc.config import build, require
from vc.corpus import audio
from vc.errors import ConfigError
from vc.features import mel, mel_cepstrum, world
from vc.features.content import ContentFeatures
from vc.features.mel import MelFeatures
from vc.features.world import F0Range, Frames, WorldConfig

KINDS = {"world": WorldConfig, "mel": MelFeatures, "content": ContentFeatures}
FeatureConfig = WorldConfig | MelFeatures


def build_features(given: Any, name: str = "features") -> FeatureConfig:
    """The settings of a `features` section, whose `kind` is world unless it says another."""
    if not isinstance(given, dict):
        raise ConfigError(f"{name}: expected a mapping")
    kind = given.get("kind", "world")
    require(isinstance(kind, str) and kind in KINDS, f"{name}.kind must be one of {', '.join(KINDS)}, got {kind!r}")
    return build(KINDS[kind], {key: given[key] for key in given if key != "kind" or kind != "world"}, name)


def analyse(samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None, excitation: bool = True) -> Frames:
    """Frames of `(samples,)` at `config.sample_rate`; without a range nothing is voiced.

    A kind that can do without F0 and aperiodicity leaves them out unless `excitation` is wanted.
    """
    if isinstance(config, WorldConfig):
        return world.analyse(samples, config, f0_range)
    if isinstance(config, ContentFeatures) and not excitation:  # its decoder takes F0, whatever the vocoder takes
        f0, spectrum = extract(samples, config, f0_range)
        return Frames(f0, spectrum, None)
    spectrum = mel.analyse(samples, config).astype(np.float64)
    if not excitation:
        return Frames(None, spectrum, None)
    frames = world.analyse(_shifted(samples, config), config.world, f0_range)
    return Frames(_as_many(frames.f0, spectrum), spectrum, _as_many(frames.aperiodicity, spectrum))


def extract(samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> tuple[np.ndarray, np.ndarray]:
    """F0 `(frames,)` and the frames `(frames, bands)` that methods learn from."""
    if isinstance(config, WorldConfig):
        return world.extract(samples, config, f0_range)
    spectrum = mel.analyse(samples, config).astype(np.float64)
    f0, _ = world.estimate_f0(_shifted(samples, config), config.world, f0_range)
    return _as_many(f0, spectrum), spectrum


def envelope(spectrum: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """WORLD's power spectral envelope `(frames, bins)` of frames; of log-mel, smooth enough to hold no harmonics."""
    own = config if isinstance(config, WorldConfig) else config.world
    return mel_cepstrum.to_envelope(to_mel_cepstrum(spectrum, config), own.warping, own.bins)


def delay(config: FeatureConfig) -> int:
    """Samples before the centre of the first frame: log-mel's is in the middle of its hop."""
    return 0 if isinstance(config, WorldConfig) else config.hop // 2


def to_mel_cepstrum(spectrum: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """`(frames, order + 1)` of frames of any kind: what distances are measured on."""
    if isinstance(config, WorldConfig):
        return spectrum
    weights, offset = _from_log_mel(config)
    return spectrum.astype(np.float64) @ weights + offset


@lru_cache(maxsize=8)
def _from_log_mel(config: MelFeatures) -> tuple[np.ndarray, np.ndarray]:
    """`(bands, order + 1)` and `(order + 1,)`: log-mel -> mel-cepstrum.

    A band's magnitude over its filter's sum stands at the band's centre, with straight lines between the centres in the
    logarithm; a window of energy E gives noise of power P the magnitude sqrt(E P).
    """
    own, filters = config.world, mel.mel_filters(config.mel)
    sums = filters.sum(axis=1)
    frequencies = np.linspace(0, config.sample_rate / 2, filters.shape[1])
    centres = filters @ frequencies / sums
    bins = np.linspace(0, config.sample_rate / 2, own.bins)
    spread = np.stack([np.interp(bins, centres, one) for one in np.eye(config.bands)])  # (bands, bins)
    window = np.hanning(config.fft_size + 1)[:-1]
    constant = -2 * np.log(sums) @ spread - np.log(np.square(window).sum())  # (bins,)
    both = np.exp(np.vstack([2 * spread, constant]))  # from_envelope takes its logarithm
    cepstra = mel_cepstrum.from_envelope(both, own.order, own.warping)
    return cepstra[:-1], cepstra[-1]


def content_places(frames: int, content_frames: int, config: ContentFeatures) -> np.ndarray:
    """Where the centres of log-mel frames lie among content frames: `(frames,)`, in 0..content_frames - 1."""
    seconds = (np.arange(frames) * config.hop + delay(config)) / config.sample_rate
    return np.clip((seconds - config.content.first) * config.content.frame_rate, 0, content_frames - 1)


def content_at(content: np.ndarray, places: np.ndarray) -> np.ndarray:
    """`(content frames, dims)` at `(places,)`, by straight lines between neighbours."""
    before = places.astype(int)
    after = np.minimum(before + 1, len(content) - 1)
    share = (places - before).astype(np.float32)[:, None]
    return content[before] * (1 - share) + content[after] * share


def _shifted(samples: np.ndarray, config: MelFeatures) -> np.ndarray:
    """Samples, one at least, whose WORLD frame i is centred where log-mel's frame i is."""
    return audio.fit_length(samples, max(len(samples), delay(config) + 1))[delay(config) :]


def _as_many(values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Values of as many frames; the last is repeated."""
    places = np.minimum(np.arange(len(frames)), len(values) - 1)
    return values[places]
