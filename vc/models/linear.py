"""Linear conversions, the baselines of the networks: means and variances, `warp`, `nearest`, `parallel`, `factorised`.

Those before the last have a map for every direction, `factorised` has two for every speaker. vc/train/linear.py fits
all but the first.
"""

from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vc.config import require, require_range
from vc.features.speakers import direction_name
from vc.models.base import AbstractConverter


@dataclass(frozen=True)
class MeanVarianceConfig:
    """No settings."""


class MeanVarianceConverter(AbstractConverter):
    """The identity on normalised features: the conversion is of means and variances alone."""

    def __init__(self, config: MeanVarianceConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__()

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return frames


@dataclass(frozen=True)
class WarpConfig:
    """Vocal-tract length alone, frame by frame."""

    context: ClassVar[int] = 0
    reach: ClassVar[int] = 0


@dataclass(frozen=True)
class NearestConfig:
    """Regression on neighbouring frames, a warp beside it, and after each a filter over time for every band.

    The methods `nearest` and `parallel` share it: they differ in how frames are aligned.
    """

    context: int = 4  # frames to each side that the regression sees
    reach: int = 64  # frames to each side that a filter covers; 0: a factor only

    def __post_init__(self) -> None:
        require_range(self, "network", "context", at_least=0, at_most=50, unit="frames")
        require_range(self, "network", "reach", at_least=0, at_most=255, unit="frames")


class LinearConverter(AbstractConverter):
    """A linear map over time and bands for each direction between two speakers or more; before fitting, the identity.

    Attributes
    ----------
    directions : dict
        Keys of `maps` by source and target.
    """

    extensible = True

    @staticmethod
    def fewest_parts(speakers: int) -> int:
        return speakers * (speakers - 1)

    def __init__(self, config: WarpConfig | NearestConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        indices = {name: index for index, name in enumerate(speakers)}
        self.directions = {pair: direction_name(*map(indices.get, pair)) for pair in permutations(speakers, 2)}
        self.maps = nn.ModuleDict({name: LinearMap(config, bands) for name in self.directions.values()})

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.maps[self.directions[source, target]](frames)


@dataclass(frozen=True)
class FactorisedConfig(NearestConfig):
    """A map to a common space and one from it for each speaker, in place of the regression of each direction."""

    rank: int = 24  # dimensions of that space

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "network", "rank", at_least=1, at_most=1000)


class FactorisedConverter(AbstractConverter):
    """`nearest` with a regression of limited rank: 2 N maps in place of N (N - 1).

    After LinearVC (Kamper, van Niekerk, Zaidi and Carbonneau, Interspeech 2025), which factorises WavLM features into
    content and speaker; its use on mel-cepstra, with context, warps and filters, is ours.

    | part              | speaker | kernel | size for 35 bands, T frames |
    |-------------------|---------|--------|-----------------------------|
    | inward            | source  | 9      | 24 x T                      |
    | outward           | target  | 1      | 35 x T                      |
    | movement          | target  | 129    | 35 x T, each band by itself |
    | warp_in, warp_out | both    | 1      | 35 x T, to the sum          |
    | detail            | target  | 129    | 35 x T, each band by itself |

    Before fitting, its output is 0.
    """

    extensible = True

    @staticmethod
    def fewest_parts(speakers: int) -> int:
        return speakers

    def __init__(self, config: FactorisedConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        self.speaker_indices = {name: index for index, name in enumerate(speakers)}
        self.parts = nn.ModuleList(SpeakerMaps(config, bands) for _ in speakers)

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        source, target = (self.parts[self.speaker_indices[name]] for name in (source, target))
        slow = target.movement(target.outward(source.inward(frames)))
        return slow + target.detail(target.warp_out(source.warp_in(frames)))


class SpeakerMaps(nn.Module):
    """A speaker's maps to the common space and from it."""

    def __init__(self, config: FactorisedConfig, bands: int):
        super().__init__()
        self.inward = context_map(config, bands, config.rank)
        self.outward = nn.Conv1d(config.rank, bands, 1)
        self.warp_in = nn.Conv1d(bands, bands, 1, bias=False)
        self.warp_out = nn.Conv1d(bands, bands, 1, bias=False)
        self.movement = band_filters(config, bands)
        self.detail = band_filters(config, bands)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


class LinearMap(nn.Module):
    """`(batch, bands, frames)` to the same shape, any number of frames, padded by replication.

    The sum of two maps, each followed by a filter for every band: `regression` with `movement`, and `warp`, of single
    frames, with `detail`. Before fitting, the first is the identity and the second is 0.
    """

    def __init__(self, config: WarpConfig | NearestConfig, bands: int):
        super().__init__()
        self.regression = context_map(config, bands, bands)
        self.movement = band_filters(config, bands)
        self.warp = nn.Conv1d(bands, bands, 1, bias=False)
        self.detail = band_filters(config, bands)
        nn.init.dirac_(self.regression.weight)
        nn.init.zeros_(self.regression.bias)
        nn.init.dirac_(self.movement.weight, groups=bands)
        nn.init.zeros_(self.warp.weight)
        nn.init.zeros_(self.detail.weight)
        self.register_load_state_dict_pre_hook(_add_second_map)

    def forward(self, frames: Tensor) -> Tensor:
        return self.movement(self.regression(frames)) + self.detail(self.warp(frames))


def context_map(config: WarpConfig | NearestConfig, bands: int, outputs: int) -> nn.Conv1d:
    """A linear map of frames in context, `(batch, bands, frames)` to `(batch, outputs, frames)`."""
    width = 2 * config.context + 1
    return nn.Conv1d(bands, outputs, width, padding=config.context, padding_mode="replicate")


def band_filters(config: WarpConfig | NearestConfig, bands: int) -> nn.Conv1d:
    """A filter over time for every band, `(batch, bands, frames)` to the same shape."""
    taps, padding = 2 * config.reach + 1, {"padding": config.reach, "padding_mode": "replicate"}
    return nn.Conv1d(bands, bands, taps, groups=bands, bias=False, **padding)


def _add_second_map(module: nn.Module, weights: dict[str, Any], prefix: str, *_: object) -> None:
    """Add a second map of 0 to models written before there was one, so that they convert as before."""
    names = [f"{prefix}{name}.weight" for name in ("warp", "detail")]
    if not any(name in weights for name in names):
        for name, part in zip(names, (module.warp, module.detail)):
            weights[name] = torch.zeros(part.weight.shape)
