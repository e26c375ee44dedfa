"""Linear conversions, the anchors that networks have to beat: means and variances, `warp`, `nearest` and `parallel`.

vc/train/linear.py fits the last three.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import ConfigError
from vc.models.base import AbstractConverter


@dataclass(frozen=True)
class MeanVarianceConfig:
    """Nothing to set."""


class MeanVarianceConverter(AbstractConverter):
    """The identity on normalised features: the speakers' means and variances alone do the conversion."""

    def __init__(self, config: MeanVarianceConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__()

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return frames


@dataclass(frozen=True)
class WarpConfig:
    """Vocal-tract length alone: each frame by itself."""

    context: ClassVar[int] = 0
    reach: ClassVar[int] = 0


@dataclass(frozen=True)
class NearestConfig:
    """Regression on neighbouring frames, a matrix beside it, and a filter of each band's movement behind either.

    The methods `nearest` and `parallel` have it: they differ in how frames are brought together.
    """

    context: int = 4  # frames to each side that the regression sees
    reach: int = 64  # frames to each side that a filter sees; 0: only a factor

    def __post_init__(self) -> None:
        require(0 <= self.context <= 50, f"network.context must be in 0..50 frames, got {self.context}")
        require(0 <= self.reach <= 255, f"network.reach must be in 0..255 frames, got {self.reach}")


class LinearConverter(AbstractConverter):
    """A linear map over time and bands for each direction of a speaker pair; unfitted, the identity."""

    def __init__(self, config: WarpConfig | NearestConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        if len(speakers) != 2:
            raise ConfigError(f"a linear map is between two speakers, got {len(speakers)}: {', '.join(speakers)}")
        self.directions = {tuple(speakers): "to_target", tuple(reversed(speakers)): "to_source"}
        self.maps = nn.ModuleDict({name: LinearMap(config, bands) for name in ("to_target", "to_source")})

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.maps[self.directions[source, target]](frames)


class LinearMap(nn.Module):
    """`(batch, bands, frames)` to the same shape, any number of frames; the first and last are repeated.

    The sum of two maps, each followed by one filter for each band: `regression` with `movement`, and `warp`, which sees
    one frame, with `detail`. Unfitted, the first is the identity and the second is 0.
    """

    def __init__(self, config: WarpConfig | NearestConfig, bands: int):
        super().__init__()
        width, taps = 2 * config.context + 1, 2 * config.reach + 1
        edges = {"padding_mode": "replicate"}
        self.regression = nn.Conv1d(bands, bands, width, padding=config.context, **edges)
        self.movement = nn.Conv1d(bands, bands, taps, padding=config.reach, groups=bands, bias=False, **edges)
        self.warp = nn.Conv1d(bands, bands, 1, bias=False)
        self.detail = nn.Conv1d(bands, bands, taps, padding=config.reach, groups=bands, bias=False, **edges)
        nn.init.dirac_(self.regression.weight)
        nn.init.zeros_(self.regression.bias)
        nn.init.dirac_(self.movement.weight, groups=bands)
        nn.init.zeros_(self.warp.weight)
        nn.init.zeros_(self.detail.weight)
        self.register_load_state_dict_pre_hook(_add_second_map)

    def forward(self, frames: Tensor) -> Tensor:
        return self.movement(self.regression(frames)) + self.detail(self.warp(frames))


def _add_second_map(module: nn.Module, weights: dict[str, Any], prefix: str, *_: object) -> None:
    """Give models written before there was a second map one of 0, so that they convert as before."""
    names = [f"{prefix}{name}.weight" for name in ("warp", "detail")]
    if not any(name in weights for name in names):
        for name, part in zip(names, (module.warp, module.detail)):
            weights[name] = torch.zeros(part.weight.shape)
