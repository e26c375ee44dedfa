"""CycleGAN-VC3 (Kaneko, Kameoka, Tanaka and Hojo, Interspeech 2020, arXiv:2010.11672): for log-mel spectrograms.

CycleGAN-VC2 with time-frequency adaptive normalisation (TFAN) in the upsampling layers, where scale and shift of each
value are predicted from the source frames. Layers, gates and channels are described as in CycleGAN-VC2. The
discriminator is CycleGAN-VC2's but for a kernel of 1 x 10 in place of 1 x 5 before the last layer, as in a public
reproduction (github.com/GANtastic3/MaskCycleGAN-VC); we have not checked it against the paper.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu, instance_norm, interpolate

from vc.config import newer, require_range
from vc.models.base import PairConverter
from vc.models.cyclegan_vc2 import (
    Discriminator,
    Downsampler,
    Generator,
    NetworkSizes,
    build_residual_blocks,
    inner_rows,
    output_layer,
)


@dataclass(frozen=True)
class LogMelSizes(NetworkSizes):
    """Sizes of CycleGAN-VC2, but another discriminator kernel; MaskCycleGAN-VC has them, too."""

    discriminator_kernel: int = newer(10, earlier=5)  # along time, of the discriminator's layer before the last

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "network", "discriminator_kernel", at_least=1, at_most=100)


@dataclass(frozen=True)
class CycleGANVC3Config(LogMelSizes):
    """Sizes of the networks, including TFAN's."""

    adaptive_channels: int = 128  # of TFAN's hidden convolutions
    adaptive_layers: int = 3  # hidden convolutions in each TFAN

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "network", "adaptive_channels", at_least=1)
        require_range(self, "network", "adaptive_layers", at_least=1, at_most=20)


class CycleGANVC3(PairConverter):
    """A generator for each direction of a speaker pair."""

    @staticmethod
    def generator(config: CycleGANVC3Config, bands: int) -> nn.Module:
        return build_generator(config, bands)

    @staticmethod
    def discriminator(config: CycleGANVC3Config) -> nn.Module:
        return Discriminator(config, config.discriminator_kernel)


def build_generator(config: CycleGANVC3Config, bands: int) -> Generator:
    """Build a 2-1-2-D generator: `(batch, bands, frames)` to the same shape, any number of frames.

    | block        | kernel | channels before GLU        | stride | size for 80 bands, T frames |
    |--------------|--------|----------------------------|--------|-----------------------------|
    | enter        | 5 x 15 | 128                        | 1      | 80 x T                      |
    | down         | 5 x 5  | 256, 512                   | 2      | 40 x T/2, 20 x T/4          |
    | flatten      | 1      | 5120 -> 256                | 1      | 1 x T/4                     |
    | residual x 6 | 3, 3   | 512 -> 256                 | 1      | 1 x T/4                     |
    | unflatten    | 1      | 256 -> 5120, TFAN          | 1      | 20 x T/4                    |
    | up           | 5 x 5  | 1024, 512, shuffle 2, TFAN | 1      | 40 x T/2, 80 x T            |
    | leave        | 5 x 15 | 1, linear                  | 1      | 80 x T                      |

    The positions of TFAN are from a summary of the paper; we have not checked them against the paper itself.
    """
    return Generator(Downsampler(config, bands), build_residual_blocks(config), AdaptiveUpsampler(config, bands))


class AdaptiveUpsampler(nn.Module):
    """One dimension back to two, conditioned on the source frames `(batch, 1, bands, frames)`."""

    def __init__(self, config: CycleGANVC3Config, bands: int):
        super().__init__()
        inner, self.rows = config.inner, inner_rows(bands)
        self.unflatten = nn.Conv1d(inner, inner * self.rows, 1)
        self.adapt = TFAN(nn.Conv1d, bands, inner * self.rows, config)
        self.up = nn.ModuleList(AdaptiveUpsampleBlock(inputs, inputs // 2, config) for inputs in (inner, inner // 2))
        self.leave = output_layer(config)

    def forward(self, hidden: Tensor, source: Tensor) -> Tensor:
        x = self.adapt(self.unflatten(hidden), source.squeeze(1)).unflatten(1, (-1, self.rows))
        for block in self.up:
            x = block(x, source)
        return self.leave(x).squeeze(1)


class AdaptiveUpsampleBlock(nn.Module):
    """Convolution, pixel shuffle by 2, TFAN, GLU: rows and frames double."""

    def __init__(self, inputs: int, outputs: int, config: CycleGANVC3Config):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 8 * outputs, 5, padding=2)
        self.shuffle = nn.PixelShuffle(2)
        self.adapt = TFAN(nn.Conv2d, 1, 2 * outputs, config)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        return glu(self.adapt(self.shuffle(self.convolution(x)), source), dim=1)


class TFAN(nn.Module):
    """Time-frequency adaptive normalisation (sec. 3): scale and shift of each value are predicted from the source.

    `x` `(batch, channels, ...)` passes instance normalisation without affine parameters; `source` `(batch, inputs,
    ...)` is resized to `x` by nearest-neighbour interpolation, and convolutions of 5 x 5 (5 along time, in one
    dimension), all but the last with ReLU, predict scale and shift from it. The scale is 1 plus their output, so that
    an untrained layer is nearly plain normalisation, as in SPADE, which TFAN follows (Park et al., CVPR 2019).
    """

    def __init__(self, convolution: type[nn.Module], inputs: int, channels: int, config: CycleGANVC3Config):
        super().__init__()
        width, layers = config.adaptive_channels, []
        for layer in range(config.adaptive_layers):
            layers += [convolution(width if layer else inputs, width, 5, padding=2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, convolution(width, 2 * channels, 5, padding=2))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        scale, shift = self.layers(interpolate(source, x.shape[2:], mode="nearest")).chunk(2, dim=1)
        return instance_norm(x) * (1 + scale) + shift
