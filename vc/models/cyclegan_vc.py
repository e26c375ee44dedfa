"""CycleGAN-VC (Kaneko and Kameoka, EUSIPCO 2018, arXiv:1711.11293): one-dimensional generators.

Channels of gated layers, in the tables too, are those after the GLU: half of those that the convolution computes.
"""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu, pad

from vc.config import newer, require_range
from vc.layers import GatedConv1d, GatedConv2d, ResidualBlock, UpsampleBlock1d, pad_frames
from vc.models.base import PairConverter


@dataclass(frozen=True)
class CycleGANVCConfig:
    """Sizes of the networks; the defaults are those on which public reproductions agree."""

    channels: int = 128  # of the first convolution of generator and discriminator, after the GLU
    residual_blocks: int = 6
    residual_channels: int = 1024  # of a residual block's first convolution, after the GLU
    fully_connected: bool = newer(True, earlier=False)  # the discriminator's last layer, over a whole segment

    def __post_init__(self) -> None:
        require_range(self, "network", "channels", "residual_channels", at_least=1)
        require_range(self, "network", "residual_blocks", at_least=1, at_most=100)


class CycleGANVC(PairConverter):
    """A generator for each direction of a speaker pair."""

    @staticmethod
    def generator(config: CycleGANVCConfig, bands: int) -> nn.Module:
        return Generator(config, bands)

    @staticmethod
    def discriminator(config: CycleGANVCConfig) -> nn.Module:
        return Discriminator(config)

    def segment_discriminator(self, config: CycleGANVCConfig, frames: int) -> nn.Module:
        return Discriminator(config, (self.bands, frames) if config.fully_connected else None)


class Generator(nn.Module):
    """One-dimensional generator: `(batch, bands, frames)` to the same shape, any number of frames.

    | block        | kernel | channels after GLU | stride    | size for 24 bands, T frames |
    |--------------|--------|--------------------|-----------|-----------------------------|
    | enter        | 15     | 128, no norm       | 1         | T                           |
    | down         | 5      | 256, 512           | 2         | T/2, T/4                    |
    | residual x 6 | 3, 3   | 1024 -> 512        | 1         | T/4                         |
    | up           | 5      | 512, 256           | shuffle 2 | T/2, T                      |
    | leave        | 15     | 24, linear         | 1         | T                           |

    The second convolution of a residual block has no GLU. This is what public reproductions agree on; we have not
    checked it against the paper's figure. Instance normalisation is affine, as in our CycleGAN-VC2.
    """

    def __init__(self, config: CycleGANVCConfig, bands: int):
        super().__init__()
        width = config.channels
        inner = 4 * width
        self.enter = nn.Conv1d(bands, 2 * width, 15, padding=7)
        self.down = nn.Sequential(
            GatedConv1d(width, 2 * width, 5, stride=2), GatedConv1d(2 * width, inner, 5, stride=2)
        )
        blocks = (ResidualBlock(inner, 2 * config.residual_channels) for _ in range(config.residual_blocks))
        self.residual = nn.Sequential(*blocks)
        self.up = nn.Sequential(UpsampleBlock1d(inner, inner), UpsampleBlock1d(inner, 2 * width))
        self.leave = nn.Conv1d(2 * width, bands, 15, padding=7)

    def forward(self, mel_cepstrum: Tensor) -> Tensor:
        x = glu(self.enter(pad_frames(mel_cepstrum)), dim=1)
        return self.leave(self.up(self.residual(self.down(x))))[..., : mel_cepstrum.shape[-1]]


class Discriminator(nn.Module):
    """Two-dimensional discriminator: segments `(batch, bands, frames)` of one length to logits `(batch, 1)`.

    | block  | kernel | channels after GLU | stride | size for 24 x 128 |
    |--------|--------|--------------------|--------|-------------------|
    | enter  | 3 x 3  | 128, no norm       | 1 x 2  | 24 x 64           |
    | down   | 3 x 3  | 256, 512           | 2      | 6 x 16            |
    | deepen | 6 x 3  | 1024               | 1 x 2  | 6 x 8             |
    | leave  | all    | 1, linear          |        | 1                 |

    Differs from the paper, as far as we know it: there a sigmoid follows, whose gradient under a least-squares loss
    vanishes. Without the `size` of a segment the last layer is 1 x 1 at every position, for any length, and gives a map
    `(batch, bands / 4, frames / 16)`.

    Parameters
    ----------
    config : CycleGANVCConfig
    size : tuple of int, optional
        Bands and frames of a segment, over which the last layer is fully connected.
    """

    def __init__(self, config: CycleGANVCConfig, size: tuple[int, int] | None = None):
        super().__init__()
        width = config.channels
        self.enter = nn.Conv2d(1, 2 * width, 3, (1, 2), padding=1)
        self.down = nn.Sequential(
            GatedConv2d(width, 2 * width, (3, 3), stride=2), GatedConv2d(2 * width, 4 * width, (3, 3), stride=2)
        )
        self.deepen = GatedConv2d(4 * width, 8 * width, (6, 3), stride=(1, 2))
        kernel = (1, 1) if size is None else (math.ceil(size[0] / 4), math.ceil(size[1] / 16))
        self.leave = nn.Conv2d(8 * width, 1, kernel)
        self.fully_connected = size is not None

    def forward(self, mel_cepstrum: Tensor) -> Tensor:
        x = glu(self.enter(mel_cepstrum.unsqueeze(1)), dim=1)
        x = pad(self.down(x), (0, 0, 0, 1))  # a kernel of 6 rows: two above, three below
        logits = self.leave(self.deepen(x)).squeeze(1)
        return logits.flatten(1) if self.fully_connected else logits
