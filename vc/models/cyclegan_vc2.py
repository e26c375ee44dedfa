"""CycleGAN-VC2 (Kaneko, Kameoka, Tanaka and Hojo, ICASSP 2019, arXiv:1904.04631): networks of figure 4.

A gated convolution computes twice the channels of its output: half are values, half gates (GLU), and instance
normalisation applies to both. The figure gives the channels before the GLU, and so do the tables here.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu, pad

from vc.config import require, require_range
from vc.layers import STRIDE, GatedConv2d, ResidualBlock, UpsampleBlock, pad_frames
from vc.models.base import PairConverter


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of generators and discriminators; the defaults are those of figure 4 of the CycleGAN-VC2 paper."""

    channels: int = 128  # of the first convolution of generator and discriminator, before the GLU
    residual_blocks: int = 6
    residual_channels: int = 512  # of a residual block's first convolution, before the GLU

    def __post_init__(self) -> None:
        multiple = self.channels >= 4 and self.channels % 4 == 0
        require(multiple, f"network.channels must be a multiple of 4, at least 4, got {self.channels}")
        require_range(self, "network", "residual_blocks", at_least=1, at_most=100)
        even = self.residual_channels >= 2 and self.residual_channels % 2 == 0
        require(even, f"network.residual_channels must be even, at least 2, got {self.residual_channels}")

    @property
    def inner(self) -> int:
        """Channels of the one-dimensional part."""
        return 2 * self.channels


@dataclass(frozen=True)
class CycleGANVC2Config(NetworkSizes):
    """Sizes of the networks; the defaults are those of the paper's figure 4."""


class CycleGANVC2(PairConverter):
    """A generator for each direction of a speaker pair."""

    @staticmethod
    def generator(config: CycleGANVC2Config, bands: int) -> nn.Module:
        return build_generator(config, bands)

    @staticmethod
    def discriminator(config: CycleGANVC2Config) -> nn.Module:
        return Discriminator(config)


class Generator(nn.Module):
    """2-1-2-D generator, `(batch, bands, frames)` to the same shape, any numbers of both; see `build_generator`.

    With several input channels it takes `(batch, inputs, bands, frames)`. The inner part also takes the condition, the
    last one the first input `(batch, 1, bands, frames)`, padded to a multiple of 4 frames.
    """

    def __init__(self, inward: nn.Module, inner: nn.Module, outward: nn.Module):
        super().__init__()
        self.inward, self.inner, self.outward = inward, inner, outward

    def forward(self, inputs: Tensor, *condition: Tensor) -> Tensor:
        bands, frames = inputs.shape[-2:]
        x = pad_frames(inputs)
        hidden = self.inner(self.inward(x), *condition)
        source = x.unsqueeze(1) if x.dim() == 3 else x[:, :1]
        return self.outward(hidden, source)[:, :bands, :frames]


def build_generator(config: NetworkSizes, bands: int, inputs: int = 1) -> Generator:
    """Build a 2-1-2-D generator: `(batch, bands, frames)` to the same shape, any number of frames.

    | block        | kernel | channels before GLU  | stride | size for 35 bands, T frames |
    |--------------|--------|----------------------|--------|-----------------------------|
    | enter        | 5 x 15 | 128                  | 1      | 35 x T                      |
    | down         | 5 x 5  | 256, 512             | 2      | 18 x T/2, 9 x T/4           |
    | flatten      | 1      | 2304 -> 256          | 1      | 1 x T/4                     |
    | residual x 6 | 3, 3   | 512 -> 256           | 1      | 1 x T/4                     |
    | unflatten    | 1      | 256 -> 2304          | 1      | 9 x T/4                     |
    | up           | 5 x 5  | 1024, 512, shuffle 2 | 1      | 18 x T/2, 36 x T            |
    | leave        | 5 x 15 | 1, linear            | 1      | 36 x T, cropped to 35 x T   |

    Differs from the figure, which gives the last convolution 35 channels: in two dimensions it must be 1. Instance
    normalisation is affine, as TensorFlow's was when the paper was written; the paper does not say.
    """
    return Generator(Downsampler(config, bands, inputs), build_residual_blocks(config), Upsampler(config, bands))


class Downsampler(nn.Module):
    """Two dimensions to one: `(batch, bands, frames)`, a multiple of 4 frames, to `(batch, inner, frames / 4)`.

    With several `inputs` it takes `(batch, inputs, bands, frames)`.
    """

    def __init__(self, config: NetworkSizes, bands: int, inputs: int = 1):
        super().__init__()
        width = config.channels // 2  # after the GLU
        self.enter = nn.Conv2d(inputs, 2 * width, (5, 15), padding=(2, 7))
        self.down = nn.Sequential(
            GatedConv2d(width, 2 * width, (5, 5), stride=2), GatedConv2d(2 * width, config.inner, (5, 5), stride=2)
        )
        rows = config.inner * inner_rows(bands)
        self.flatten = nn.Sequential(nn.Conv1d(rows, config.inner, 1), nn.InstanceNorm1d(config.inner, affine=True))

    def forward(self, frames: Tensor) -> Tensor:
        x = frames.unsqueeze(1) if frames.dim() == 3 else frames
        return self.flatten(self.down(glu(self.enter(x), dim=1)).flatten(1, 2))


class Upsampler(nn.Module):
    """One dimension back to two: `(batch, inner, frames / 4)` to `(batch, bands, frames)`, `bands` rounded up.

    The source, which a generator's last part also gets, is ignored.
    """

    def __init__(self, config: NetworkSizes, bands: int):
        super().__init__()
        inner, self.rows = config.inner, inner_rows(bands)
        rows = inner * self.rows
        self.unflatten = nn.Sequential(nn.Conv1d(inner, rows, 1), nn.InstanceNorm1d(rows, affine=True))
        self.up = nn.Sequential(UpsampleBlock(inner, inner // 2), UpsampleBlock(inner // 2, inner // 4))
        self.leave = output_layer(config)

    def forward(self, hidden: Tensor, *_: Tensor) -> Tensor:
        return self.leave(self.up(self.unflatten(hidden).unflatten(1, (-1, self.rows)))).squeeze(1)


def build_residual_blocks(config: NetworkSizes, blocks: int | None = None) -> nn.Sequential:
    """Build all residual blocks of a generator, or some: `(batch, inner, frames / 4)` to the same shape."""
    count = config.residual_blocks if blocks is None else blocks
    return nn.Sequential(*(ResidualBlock(config.inner, config.residual_channels) for _ in range(count)))


def output_layer(config: NetworkSizes) -> nn.Conv2d:
    """Build a generator's last layer."""
    return nn.Conv2d(config.channels // 2, 1, (5, 15), padding=(2, 7))


def inner_rows(bands: int) -> int:
    """Rows of a generator's innermost two-dimensional map: two convolutions of stride 2, each rounding up."""
    return math.ceil(bands / STRIDE)


class Discriminator(nn.Module):
    """PatchGAN: `(batch, bands, frames)` to a map of real-or-fake logits `(batch, bands / 8, frames / 8)`.

    `kernel` is that of the layer before the last along time; an even one covers one more position after than before.

    | block  | kernel | channels before GLU | stride | size for 35 x 128 |
    |--------|--------|---------------------|--------|-------------------|
    | enter  | 3 x 3  | 128                 | 1      | 35 x 128          |
    | down   | 3 x 3  | 256, 512, 1024      | 2      | 5 x 16            |
    | deepen | 1 x 5  | 1024                | 1      | 5 x 16            |
    | leave  | 1 x 3  | 1, linear           | 1      | 5 x 16            |
    """

    def __init__(self, config: NetworkSizes, kernel: int = 5):
        super().__init__()
        width = config.channels // 2  # after the GLU
        self.end_padding = 1 - kernel % 2  # positions at the end, for kernels of even size
        self.enter = nn.Conv2d(1, 2 * width, 3, padding=1)
        self.down = nn.Sequential(
            *(GatedConv2d(width * 2**i, width * 2 ** (i + 1), (3, 3), stride=2) for i in range(3))
        )
        self.deepen = GatedConv2d(8 * width, 8 * width, (1, kernel), stride=1)
        self.leave = nn.Conv2d(8 * width, 1, (1, 3), padding=(0, 1))

    def features(self, frames: Tensor) -> Tensor:
        """`(batch, channels, bands / 8, frames / 8)`: the last feature map, before the logits."""
        hidden = self.down(glu(self.enter(frames.unsqueeze(1)), dim=1))
        return self.deepen(pad(hidden, (0, self.end_padding)) if self.end_padding else hidden)

    def forward(self, frames: Tensor) -> Tensor:
        return self.leave(self.features(frames)).squeeze(1)
