"""CycleGAN-VC2 (Kaneko, Kameoka, Tanaka and Hojo, ICASSP 2019, arXiv:1904.04631): networks of figure 4.

A gated convolution computes twice the channels that it gives: half are values, half gates (GLU), and instance
normalisation covers both. The figure prints the channels before the GLU, and so does the table in each class.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu, pad

from vc.config import require
from vc.errors import ConfigError
from vc.models.base import AbstractConverter
from vc.models.layers import InstanceNorm2d

STRIDE = 4  # rows and frames of the input to one of the generator's 1-D part


@dataclass(frozen=True)
class CycleGANVC2Config:
    """Sizes of the networks; the defaults are those of the paper's figure 4."""

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


class CycleGANVC2(AbstractConverter):
    """A generator for each direction of a speaker pair."""

    def __init__(self, config: CycleGANVC2Config, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        if len(speakers) != 2:
            raise ConfigError(f"cyclegan_vc2 converts between two speakers, got {len(speakers)}: {', '.join(speakers)}")
        self.directions = {tuple(speakers): "to_target", tuple(reversed(speakers)): "to_source"}
        self.generators = nn.ModuleDict({name: Generator(config, bands) for name in ("to_target", "to_source")})

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.generators[self.directions[source, target]](frames)


class Generator(nn.Module):
    """2-1-2-D generator: `(batch, bands, frames)` to the same shape, any number of frames.

    | block        | kernel | channels before GLU  | stride | size for 35 bands, T frames |
    |--------------|--------|----------------------|--------|-----------------------------|
    | enter        | 5 x 15 | 128                  | 1      | 35 x T                      |
    | down         | 5 x 5  | 256, 512             | 2      | 18 x T/2, 9 x T/4           |
    | flatten      | 1      | 2304 -> 256          | 1      | 1 x T/4                     |
    | residual x 6 | 3, 3   | 512 -> 256           | 1      | 1 x T/4                     |
    | unflatten    | 1      | 256 -> 2304          | 1      | 9 x T/4                     |
    | up           | 5 x 5  | 1024, 512, shuffle 2 | 1      | 18 x T/2, 36 x T            |
    | leave        | 5 x 15 | 1, linear            | 1      | 36 x T, cropped to 35 x T   |

    Differs from the figure: it prints 35 channels for the last convolution, which in two dimensions must be 1.
    Instance normalisation is affine, as TensorFlow's was when the paper was written; the paper does not say.
    """

    def __init__(self, config: CycleGANVC2Config, bands: int):
        super().__init__()
        width = config.channels // 2  # after the GLU
        rows = math.ceil(bands / STRIDE)  # two convolutions of stride 2, each rounding up
        inner = 4 * width
        self.rows = rows
        self.enter = nn.Conv2d(1, 2 * width, (5, 15), padding=(2, 7))
        self.down = nn.Sequential(
            GatedConv2d(width, 2 * width, (5, 5), stride=2), GatedConv2d(2 * width, inner, (5, 5), stride=2)
        )
        self.flatten = nn.Sequential(nn.Conv1d(inner * rows, inner, 1), nn.InstanceNorm1d(inner, affine=True))
        self.residual = nn.Sequential(*(ResidualBlock(inner, config) for _ in range(config.residual_blocks)))
        self.unflatten = nn.Sequential(nn.Conv1d(inner, inner * rows, 1), nn.InstanceNorm1d(inner * rows, affine=True))
        self.up = nn.Sequential(UpsampleBlock(inner, 2 * width), UpsampleBlock(2 * width, width))
        self.leave = nn.Conv2d(width, 1, (5, 15), padding=(2, 7))

    def forward(self, mel_cepstrum: Tensor) -> Tensor:
        _, bands, frames = mel_cepstrum.shape
        missing = max(-frames % STRIDE, 2 * STRIDE - frames)  # one frame of the 1-D part has no variance
        x = pad(mel_cepstrum, (0, missing), mode="replicate")
        x = self.down(glu(self.enter(x.unsqueeze(1)), dim=1))
        x = self.residual(self.flatten(x.flatten(1, 2)))
        x = self.unflatten(x).unflatten(1, (-1, self.rows))
        return self.leave(self.up(x)).squeeze(1)[:, :bands, :frames]


class Discriminator(nn.Module):
    """PatchGAN: `(batch, bands, frames)` to a map of real or fake `(batch, bands / 8, frames / 8)`, linear.

    | block  | kernel | channels before GLU | stride | size for 35 x 128 |
    |--------|--------|---------------------|--------|-------------------|
    | enter  | 3 x 3  | 128                 | 1      | 35 x 128          |
    | down   | 3 x 3  | 256, 512, 1024      | 2      | 5 x 16            |
    | deepen | 1 x 5  | 1024                | 1      | 5 x 16            |
    | leave  | 1 x 3  | 1, linear           | 1      | 5 x 16            |
    """

    def __init__(self, config: CycleGANVC2Config):
        super().__init__()
        width = config.channels // 2  # after the GLU
        self.enter = nn.Conv2d(1, 2 * width, 3, padding=1)
        self.down = nn.Sequential(
            *(GatedConv2d(width * 2**i, width * 2 ** (i + 1), (3, 3), stride=2) for i in range(3))
        )
        self.deepen = GatedConv2d(8 * width, 8 * width, (1, 5), stride=1)
        self.leave = nn.Conv2d(8 * width, 1, (1, 3), padding=(0, 1))

    def forward(self, mel_cepstrum: Tensor) -> Tensor:
        x = glu(self.enter(mel_cepstrum.unsqueeze(1)), dim=1)
        return self.leave(self.deepen(self.down(x))).squeeze(1)


class GatedConv2d(nn.Module):
    """Convolution, instance normalisation, GLU: `(batch, inputs, rows, frames)` to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.convolution = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding)
        self.norm = InstanceNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.convolution(x)), dim=1)


class UpsampleBlock(nn.Module):
    """Convolution, pixel shuffle by 2, instance normalisation, GLU: both sizes double."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 8 * outputs, 5, padding=2)
        self.shuffle = nn.PixelShuffle(2)
        self.norm = InstanceNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.shuffle(self.convolution(x))), dim=1)


class ResidualBlock(nn.Module):
    """Gated convolution along time and back, added to the input; nothing after the sum."""

    def __init__(self, width: int, config: CycleGANVC2Config):
        super().__init__()
        self.widen = nn.Conv1d(width, config.residual_channels, 3, padding=1)
        self.norm_wide = nn.InstanceNorm1d(config.residual_channels, affine=True)
        self.narrow = nn.Conv1d(config.residual_channels // 2, width, 3, padding=1)
        self.norm = nn.InstanceNorm1d(width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.narrow(glu(self.norm_wide(self.widen(x)), dim=1)))
