"""CycleGAN-VC2 (Kaneko, Kameoka, Tanaka and Hojo, ICASSP 2019, arXiv:1904.04631): networks of figure 4.

A gated convolution computes twice the channels that it gives: half are values, half gates (GLU), and instance
normalisation covers both. The figure prints the channels before the GLU, and so does the table in each class.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import glu

from vc.layers import GatedConv2d
from vc.models.pair import PairConverter
from vc.models.two_one_two import Inward, Outward, Sizes, TwoOneTwo, residual


@dataclass(frozen=True)
class CycleGANVC2Config(Sizes):
    """Sizes of the networks; the defaults are those of the paper's figure 4."""


class CycleGANVC2(PairConverter):
    """A generator for each direction of a speaker pair."""

    @staticmethod
    def generator(config: CycleGANVC2Config, bands: int) -> nn.Module:
        return generator(config, bands)

    @staticmethod
    def discriminator(config: CycleGANVC2Config) -> nn.Module:
        return Discriminator(config)


def generator(config: Sizes, bands: int, inputs: int = 1) -> TwoOneTwo:
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
    return TwoOneTwo(Inward(config, bands, inputs), residual(config), Outward(config, bands))


class Discriminator(nn.Module):
    """PatchGAN: `(batch, bands, frames)` to a map of real or fake `(batch, bands / 8, frames / 8)`, linear.

    | block  | kernel | channels before GLU | stride | size for 35 x 128 |
    |--------|--------|---------------------|--------|-------------------|
    | enter  | 3 x 3  | 128                 | 1      | 35 x 128          |
    | down   | 3 x 3  | 256, 512, 1024      | 2      | 5 x 16            |
    | deepen | 1 x 5  | 1024                | 1      | 5 x 16            |
    | leave  | 1 x 3  | 1, linear           | 1      | 5 x 16            |
    """

    def __init__(self, config: Sizes):
        super().__init__()
        width = config.channels // 2  # after the GLU
        self.enter = nn.Conv2d(1, 2 * width, 3, padding=1)
        self.down = nn.Sequential(
            *(GatedConv2d(width * 2**i, width * 2 ** (i + 1), (3, 3), stride=2) for i in range(3))
        )
        self.deepen = GatedConv2d(8 * width, 8 * width, (1, 5), stride=1)
        self.leave = nn.Conv2d(8 * width, 1, (1, 3), padding=(0, 1))

    def features(self, frames: Tensor) -> Tensor:
        """`(batch, channels, bands / 8, frames / 8)`: the last map before it is judged."""
        return self.deepen(self.down(glu(self.enter(frames.unsqueeze(1)), dim=1)))

    def forward(self, frames: Tensor) -> Tensor:
        return self.leave(self.features(frames)).squeeze(1)
