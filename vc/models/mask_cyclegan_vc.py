"""MaskCycleGAN-VC (Kaneko, Kameoka, Tanaka and Hojo, ICASSP 2021, arXiv:2102.12841): filling in frames.

CycleGAN-VC2 for log-mel spectrograms, whose generators also learn to fill in frames: in the first pass a span of frames
is masked, and the mask is a second input channel. There is no separate loss: the cycle must restore the masked frames.
In the second pass, in identity mapping and in conversion nothing is masked. The discriminator has CycleGAN-VC3's
kernel, likewise not checked against the paper.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc.config import require_range
from vc.models.base import PairConverter, RandomDraws
from vc.models.cyclegan_vc2 import Discriminator, build_generator
from vc.models.cyclegan_vc3 import LogMelSizes


@dataclass(frozen=True)
class MaskCycleGANVCConfig(LogMelSizes):
    """Sizes of the networks, and of the mask in training."""

    masked: float = 0.5  # largest share of a segment's frames that is masked

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "network", "masked", at_least=0, at_most=1)


class MaskCycleGANVC(PairConverter):
    """A generator for each direction of a speaker pair: CycleGAN-VC2's, with frames and mask as input channels."""

    def __init__(self, config: MaskCycleGANVCConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(config, bands, speakers)
        self.masked = config.masked

    @staticmethod
    def generator(config: MaskCycleGANVCConfig, bands: int) -> nn.Module:
        return build_generator(config, bands, inputs=2)

    @staticmethod
    def discriminator(config: MaskCycleGANVCConfig) -> nn.Module:
        return Discriminator(config, config.discriminator_kernel)

    def generator_input(self, frames: Tensor, draws: RandomDraws | None = None) -> Tensor:
        """`(batch, 2, bands, frames)`: frames times mask, and the mask, 0 where frames are masked.

        With `draws`, one span of each item is masked, of uniform length at a uniform position.
        """
        if draws is None:
            mask = torch.ones_like(frames)
        else:
            count, uniform = frames.shape[-1], draws(2)
            length = (uniform[:, :1] * (int(self.masked * count) + 1)).floor()
            start = (uniform[:, 1:] * (count - length + 1)).floor()
            indices = torch.arange(count, device=frames.device)
            visible = (indices < start) | (indices >= start + length)  # (batch, frames)
            mask = visible[:, None].to(frames.dtype).expand_as(frames)
        return torch.stack([frames * mask, mask], dim=1)
