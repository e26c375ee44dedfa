"""HiFi-GAN's generator (Kong, Kim and Bae, NeurIPS 2020, arXiv:2010.05646, section 2.2 and appendix A.1)."""

from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from vc.config import require
from vc.features.mel import MelConfig

SLOPE = 0.1  # negative slope of the leaky ReLU
LAST_SLOPE = 0.01  # before the last convolution, as in the released code and thus in every published model


@dataclass(frozen=True)
class HiFiGANConfig:
    """Sizes of the generator; the defaults are the paper's V1."""

    channels: int = 512  # of the first convolution, halved by each upsampling
    upsample_rates: list[int] = field(default_factory=lambda: [8, 8, 2, 2])  # their product is the hop
    upsample_kernels: list[int] = field(default_factory=lambda: [16, 16, 4, 4])
    kernels: list[int] = field(default_factory=lambda: [3, 7, 11])  # of the parallel residual blocks
    dilations: list[list[int]] = field(default_factory=lambda: [[1, 3, 5]] * 3)
    paired: bool = True  # whether each dilated convolution is followed by a plain one (V1, V2: yes; V3: no)

    def __post_init__(self) -> None:
        stages = len(self.upsample_rates)
        require(0 < stages <= 8, f"network.upsample_rates must be 1..8 rates, got {self.upsample_rates}")
        same = len(self.upsample_kernels) == stages
        upsamplings = zip(self.upsample_rates, self.upsample_kernels)
        fit = same and all(2 <= rate <= kernel <= 64 and (kernel - rate) % 2 == 0 for rate, kernel in upsamplings)
        require(fit, f"network.upsample_kernels must be a rate and an even number each, got {self.upsample_kernels}")
        halved = 0 < self.channels <= 4096 and self.channels % 2**stages == 0
        multiple = f"a multiple of {2**stages} in {2**stages}..4096"
        require(halved, f"network.channels must be {multiple}, got {self.channels}")
        odd = 0 < len(self.kernels) <= 8 and all(1 <= kernel <= 31 and kernel % 2 for kernel in self.kernels)
        require(odd, f"network.kernels must be 1..8 odd numbers in 1..31, got {self.kernels}")
        match = len(self.dilations) == len(self.kernels) and all(
            0 < len(row) <= 8 and all(1 <= dilation <= 64 for dilation in row) for row in self.dilations
        )
        require(match, f"network.dilations must be 1..8 of 1..64 for each of network.kernels, got {self.dilations}")


class HiFiGAN(nn.Module):
    """Log-mel `(batch, bands, frames)` to samples `(batch, frames * hop)` in -1..1.

    | block  | kernel     | channels                | samples/frame in V1 |
    |--------|------------|-------------------------|---------------------|
    | enter  | 7          | 512                     | 1                   |
    | up     | 16,16,4,4  | 256, 128, 64, 32        | 8, 64, 128, 256     |
    | blocks | 3, 7, 11   | as `up`, after each     | mean of the three   |
    | leave  | 7          | 1, tanh                 | 256                 |
    """

    def __init__(self, config: HiFiGANConfig, mel: MelConfig):
        super().__init__()
        hop = prod(config.upsample_rates)
        require(hop == mel.hop, f"network.upsample_rates give {hop} samples per frame, mel.hop is {mel.hop}")
        self.config = config
        self.enter = nn.Conv1d(mel.bands, config.channels, 7, padding=3)
        self.up, self.blocks = nn.ModuleList(), nn.ModuleList()
        width = config.channels
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernels):
            self.up.append(nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            shapes = zip(config.kernels, config.dilations)
            self.blocks.append(nn.ModuleList(ResidualBlock(width, *shape, paired=config.paired) for shape in shapes))
        self.leave = nn.Conv1d(width, 1, 7, padding=3)
        for part in (self.up, self.blocks, self.leave):
            for module in part.modules():
                if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
                    nn.init.normal_(module.weight, 0, 0.01)

    def forward(self, log_mel: Tensor) -> Tensor:
        x = self.enter(log_mel)
        for up, blocks in zip(self.up, self.blocks):
            x = up(leaky_relu(x, SLOPE))
            x = sum(block(x) for block in blocks) / len(blocks)
        return torch.tanh(self.leave(leaky_relu(x, LAST_SLOPE)))[:, 0]

    @property
    def context(self) -> int:
        """Number of frames before and after a frame on which its samples depend."""
        reach = self.leave.kernel_size[0] // 2  # in samples at the layer's rate
        for up, blocks in zip(reversed(self.up), reversed(self.blocks)):
            reach += max(block.reach for block in blocks)
            reach = (reach + up.kernel_size[0] - 1 - up.padding[0]) // up.stride[0]
        return reach + self.enter.kernel_size[0] // 2


class ResidualBlock(nn.Module):
    """Residual dilated convolutions, each followed by an undilated one if `paired`."""

    def __init__(self, channels: int, kernel: int, dilations: list[int], *, paired: bool):
        super().__init__()
        self.dilated = nn.ModuleList(_same(channels, kernel, dilation) for dilation in dilations)
        self.plain = nn.ModuleList(_same(channels, kernel, 1) for _ in dilations if paired)

    def forward(self, x: Tensor) -> Tensor:
        for number, dilated in enumerate(self.dilated):
            y = dilated(leaky_relu(x, SLOPE))
            if self.plain:
                y = self.plain[number](leaky_relu(y, SLOPE))
            x = x + y
        return x

    @property
    def reach(self) -> int:
        """Number of samples on either side on which a sample depends."""
        return sum(layer.padding[0] for layer in (*self.dilated, *self.plain))


def _same(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel // 2))
