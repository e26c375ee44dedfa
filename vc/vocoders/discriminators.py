"""HiFi-GAN's discriminators, for training any waveform generator.

Kong, Kim and Bae, "HiFi-GAN: generative adversarial networks for efficient and high fidelity speech synthesis",
NeurIPS 2020, sec. 2.3; sizes as in the released code. `width` scales the number of channels: 1 is the paper's.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad
from torch.nn.utils.parametrizations import spectral_norm

from vc.config import require
from vc.layers import apply_weight_norm

PERIODS = (2, 3, 5, 7, 11)  # samples
SCALES = 3
SLOPE = 0.1  # negative slope of the leaky ReLU
WIDTHS = (1.0, 0.5, 0.25, 0.125)  # with a smaller one, a group would have no channels


class SubDiscriminatorOutput(NamedTuple):
    """The output of the discriminator of one period or scale."""

    map: Tensor  # (batch, positions), linear: 1 for real samples
    features: list[Tensor]  # feature maps of every layer, including the last


class Discriminators(nn.Module):
    """Both kinds of discriminators: samples `(batch, samples)` to eight outputs, those by period first."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        require(width in WIDTHS, f"discriminators' width must be one of {', '.join(map(str, WIDTHS))}, got {width}")
        self.periods = MultiPeriod(width)
        self.scales = MultiScale(width)

    def forward(self, samples: Tensor) -> list[SubDiscriminatorOutput]:
        return self.periods(samples) + self.scales(samples)


class MultiPeriod(nn.Module):
    """Multi-period discriminator: five, each on samples a period apart; 41.1 M parameters at full width."""

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.discriminators = nn.ModuleList(Period(period, width) for period in PERIODS)

    def forward(self, samples: Tensor) -> list[SubDiscriminatorOutput]:
        return [discriminator(samples) for discriminator in self.discriminators]


class MultiScale(nn.Module):
    """Multi-scale discriminator: on the samples and on averages at 1/2 and 1/4 of the rate; 29.6 M parameters.

    The one at the full rate has spectral normalisation, the others have weight normalisation.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        self.discriminators = nn.ModuleList(Scale(width, spectral=number == 0) for number in range(SCALES))
        self.halve = nn.AvgPool1d(4, stride=2, padding=2)

    def forward(self, samples: Tensor) -> list[SubDiscriminatorOutput]:
        x, outputs = samples[:, None], []
        for number, discriminator in enumerate(self.discriminators):
            x = self.halve(x) if number else x
            outputs.append(discriminator(x))
        return outputs


class Period(nn.Module):
    """Convolutions along the columns of a matrix of the samples with one row per period.

    | layer  | kernel | channels          | stride |
    |--------|--------|-------------------|--------|
    | layers | 5 x 1  | 32, 128, 512, 1024| 3 x 1  |
    |        | 5 x 1  | 1024              | 1      |
    | leave  | 3 x 1  | 1, linear         | 1      |

    Leaky ReLU after all but the last; weight normalisation. The last row is filled by reflection padding.
    """

    def __init__(self, period: int, width: float):
        super().__init__()
        self.period = period
        channels = [1, *(round(width * count) for count in (32, 128, 512, 1024, 1024))]
        strides = (3, 3, 3, 3, 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (5, 1), (stride, 1), padding=(2, 0))
            for inputs, outputs, stride in zip(channels, channels[1:], strides)
        )
        self.leave = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        apply_weight_norm(self)

    def forward(self, samples: Tensor) -> SubDiscriminatorOutput:
        missing = -samples.shape[1] % self.period
        x = pad(samples[:, None], (0, missing), mode="reflect").unflatten(2, (-1, self.period))
        return _output(x, self.layers, self.leave)


class Scale(nn.Module):
    """Convolutions along time of `(batch, 1, samples)` at one rate.

    | layer  | kernel | channels          | stride | groups     |
    |--------|--------|-------------------|--------|------------|
    | layers | 15     | 128               | 1      | 1          |
    |        | 41     | 128, 256          | 2, 2   | 4, 16      |
    |        | 41     | 512, 1024         | 4, 4   | 16, 16     |
    |        | 41     | 1024              | 1      | 16         |
    |        | 5      | 1024              | 1      | 1          |
    | leave  | 3      | 1, linear         | 1      | 1          |

    Leaky ReLU after all but the last.
    """

    def __init__(self, width: float, spectral: bool):
        super().__init__()
        channels = [1, *(round(width * count) for count in (128, 128, 256, 512, 1024, 1024, 1024))]
        kernels, strides, groups = (15, 41, 41, 41, 41, 41, 5), (1, 2, 2, 4, 4, 1, 1), (1, 4, 16, 16, 16, 16, 1)
        self.layers = nn.ModuleList(
            nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, groups=group)
            for inputs, outputs, kernel, stride, group in zip(channels, channels[1:], kernels, strides, groups)
        )
        self.leave = nn.Conv1d(channels[-1], 1, 3, padding=1)
        if spectral:
            for layer in (*self.layers, self.leave):
                spectral_norm(layer)
        else:
            apply_weight_norm(self)

    def forward(self, x: Tensor) -> SubDiscriminatorOutput:
        return _output(x, self.layers, self.leave)


def _output(x: Tensor, layers: nn.ModuleList, leave: nn.Module) -> SubDiscriminatorOutput:
    features = []
    for layer in layers:
        x = leaky_relu(layer(x), SLOPE)
        features.append(x)
    x = leave(x)
    return SubDiscriminatorOutput(x.flatten(1), [*features, x])
