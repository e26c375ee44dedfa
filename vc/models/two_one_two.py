"""The 2-1-2-D generator of CycleGAN-VC2 up to where it comes back to two dimensions; its heirs differ from there on."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu

from vc.config import require
from vc.models.layers import STRIDE, GatedConv2d, ResidualBlock, padded


@dataclass(frozen=True)
class Sizes:
    """Of generators and discriminators; the defaults are those of figure 4 of the CycleGAN-VC2 paper."""

    channels: int = 128  # of the first convolution of generator and discriminator, before the GLU
    residual_blocks: int = 6
    residual_channels: int = 512  # of a residual block's first convolution, before the GLU

    def __post_init__(self) -> None:
        require(
            self.channels >= 4 and self.channels % 4 == 0,
            f"network.channels must be a multiple of 4, got {self.channels}",
        )
        in_range = 1 <= self.residual_blocks <= 100
        require(in_range, f"network.residual_blocks must be in 1..100, got {self.residual_blocks}")
        even = self.residual_channels >= 2 and self.residual_channels % 2 == 0
        require(even, f"network.residual_channels must be even, got {self.residual_channels}")


class TwoOneTwo(nn.Module, ABC):
    """`(batch, bands, frames)` to the same shape, any number of both; the layers are in each method's table.

    A generator of several `inputs` takes `(batch, inputs, bands, frames)`.
    """

    def __init__(self, config: Sizes, bands: int, inputs: int = 1):
        super().__init__()
        width = config.channels // 2  # after the GLU
        inner = 4 * width
        self.rows = math.ceil(bands / STRIDE)  # two convolutions of stride 2, each rounding up
        self.enter = nn.Conv2d(inputs, 2 * width, (5, 15), padding=(2, 7))
        self.down = nn.Sequential(
            GatedConv2d(width, 2 * width, (5, 5), stride=2), GatedConv2d(2 * width, inner, (5, 5), stride=2)
        )
        self.flatten = nn.Sequential(nn.Conv1d(inner * self.rows, inner, 1), nn.InstanceNorm1d(inner, affine=True))
        blocks = (ResidualBlock(inner, config.residual_channels) for _ in range(config.residual_blocks))
        self.residual = nn.Sequential(*blocks)
        self.build_way_back(config, bands, inner)
        self.leave = nn.Conv2d(width, 1, (5, 15), padding=(2, 7))

    @abstractmethod
    def build_way_back(self, config: Sizes, bands: int, inner: int) -> None:
        """Make the layers of `back`, which take `inner` channels."""

    @abstractmethod
    def back(self, hidden: Tensor, source: Tensor) -> Tensor:
        """`(batch, inner, frames / 4)` to `(batch, channels / 2, 4 * self.rows, frames)`.

        `source` `(batch, 1, bands, frames)` is what the generator is given, of a multiple of 4 frames.
        """

    def between(self, hidden: Tensor, *condition: Tensor) -> Tensor:
        """`(batch, inner, frames / 4)` to the same shape, under what `forward` is told beside the frames."""
        return self.residual(hidden)

    def forward(self, given: Tensor, *condition: Tensor) -> Tensor:
        bands, frames = given.shape[-2:]
        x = padded(given)
        x = x.unsqueeze(1) if x.dim() == 3 else x
        hidden = self.down(glu(self.enter(x), dim=1))
        hidden = self.between(self.flatten(hidden.flatten(1, 2)), *condition)
        return self.leave(self.back(hidden, x[:, :1])).squeeze(1)[:, :bands, :frames]
