"""MaskCycleGAN-VC (Kaneko, Kameoka, Tanaka and Hojo, ICASSP 2021, arXiv:2102.12841): filling in frames.

CycleGAN-VC2 for log-mel spectrograms, whose generators learn to fill in frames besides: in the first pass some frames
in a row are hidden, and a second input channel says which. There is no loss for it: what was hidden must come back
through the cycle. In the second pass, in identity mapping and in conversion nothing is hidden.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc.config import require
from vc.models.base import Chance, PairConverter
from vc.models.cyclegan_vc2 import Discriminator, Sizes, generator


@dataclass(frozen=True)
class MaskCycleGANVCConfig(Sizes):
    """Sizes of the networks, CycleGAN-VC2's, and how much training hides."""

    masked: float = 0.5  # largest share of a segment's frames that are hidden

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.masked <= 1, f"network.masked must be in 0..1, got {self.masked}")


class MaskCycleGANVC(PairConverter):
    """A generator for each direction of a speaker pair: CycleGAN-VC2's, with frames and mask as input channels."""

    def __init__(self, config: MaskCycleGANVCConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(config, bands, speakers)
        self.masked = config.masked

    @staticmethod
    def generator(config: MaskCycleGANVCConfig, bands: int) -> nn.Module:
        return generator(config, bands, inputs=2)

    @staticmethod
    def discriminator(config: MaskCycleGANVCConfig) -> nn.Module:
        return Discriminator(config)

    def given(self, frames: Tensor, chance: Chance | None = None) -> Tensor:
        """`(batch, 2, bands, frames)`: frames times mask, and the mask, 1 where nothing is hidden."""
        mask = torch.ones_like(frames) if chance is None else self._mask(frames, chance(2))
        return torch.stack([frames * mask, mask], dim=1)

    def _mask(self, frames: Tensor, chance: Tensor) -> Tensor:
        """Ones, but for one stretch of zeros a sample; both its length and its place are uniform."""
        count = frames.shape[-1]
        longest = int(self.masked * count)
        length = (chance[:, :1] * (longest + 1)).floor()
        start = (chance[:, 1:] * (count - length + 1)).floor()
        places = torch.arange(count, device=frames.device)
        shown = (places < start) | (places >= start + length)  # (batch, frames)
        return shown[:, None].to(frames.dtype).expand_as(frames)
