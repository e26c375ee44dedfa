"""StarGAN-VC2 (Kaneko, Kameoka, Tanaka and Hojo, Interspeech 2019, arXiv:1907.12279): one network for many speakers.

The generator is that of CycleGAN-VC2, told who speaks and who shall: the first instance normalisation of each residual
block takes scale and bias from the two speakers' codes. The discriminator is told both, too, by projection (after
Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018). The paper was not at hand: sizes are
CycleGAN-VC2's, which normalisations are conditional is our reading, a pair's code is the sum of one vector for the
source and one for the target, and the projection is taken at every place of the map.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import glu

from vc.config import require
from vc.models.base import AbstractConverter
from vc.models.cyclegan_vc2 import Discriminator, Generator
from vc.models.two_one_two import Sizes


@dataclass(frozen=True)
class StarGANVC2Config(Sizes):
    """Sizes of the networks, CycleGAN-VC2's, and what they are told."""

    told_source: bool = True  # who speaks, beside who shall


@dataclass(frozen=True)
class ConditionalGANConfig(StarGANVC2Config):
    """The same networks, told the target alone."""

    told_source: bool = False


class StarGANVC2(AbstractConverter):
    """One generator for every direction between `speakers`."""

    def __init__(self, config: StarGANVC2Config, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        self.numbers = {name: number for number, name in enumerate(speakers)}
        self.generator = ConditionalGenerator(config, bands, len(speakers))

    def discriminator(self, config: StarGANVC2Config) -> nn.Module:
        return ConditionalDiscriminator(config, len(self.numbers))

    def change(self, frames: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """`(batch, bands, frames)` of the speakers numbered `source` `(batch,)` to the same shape of `target`."""
        return self.generator(frames, source, target)

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        pair = (torch.full((len(frames),), self.numbers[name], device=frames.device) for name in (source, target))
        return self.change(frames, *pair)


class ConditionalGenerator(Generator):
    """CycleGAN-VC2's generator, the first normalisation of its residual blocks by the two speakers' codes."""

    def __init__(self, config: StarGANVC2Config, bands: int, speakers: int):
        super().__init__(config, bands)
        inner = 2 * config.channels
        blocks = (
            ConditionalBlock(inner, config.residual_channels, speakers, config.told_source)
            for _ in range(config.residual_blocks)
        )
        self.residual = nn.ModuleList(blocks)

    def between(self, hidden: Tensor, *condition: Tensor) -> Tensor:
        for block in self.residual:
            hidden = block(hidden, *condition)
        return hidden


class ConditionalBlock(nn.Module):
    """Gated convolution along time and back, added to its input; the first one's normalisation is the speakers'."""

    def __init__(self, width: int, inner: int, speakers: int, told_source: bool):
        super().__init__()
        self.widen = nn.Conv1d(width, inner, 3, padding=1)
        self.norm_wide = ConditionalNorm(inner, speakers, told_source)
        self.narrow = nn.Conv1d(inner // 2, width, 3, padding=1)
        self.norm = nn.InstanceNorm1d(width, affine=True)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        return x + self.norm(self.narrow(glu(self.norm_wide(self.widen(x), source, target), dim=1)))


class PairCode(nn.Module):
    """What a network is told of two speakers: the source's vector plus the target's, or that alone."""

    def __init__(self, width: int, speakers: int, told_source: bool):
        super().__init__()
        self.target = nn.Embedding(speakers, width)
        self.source = nn.Embedding(speakers, width) if told_source else None
        for codes in self.children():
            nn.init.normal_(codes.weight, 0, 0.02)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """`(batch, width)` of speakers' numbers `(batch,)`."""
        code = self.target(target)
        return code if self.source is None else code + self.source(source)


class ConditionalNorm(nn.Module):
    """Instance normalisation whose scale and bias belong to a pair of speakers."""

    def __init__(self, channels: int, speakers: int, told_source: bool):
        super().__init__()
        self.norm = nn.InstanceNorm1d(channels)
        self.code = PairCode(2 * channels, speakers, told_source)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        scale, bias = self.code(source, target)[..., None].chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + bias


class ConditionalDiscriminator(nn.Module):
    """CycleGAN-VC2's discriminator, told who speaks and whom it is said to come from: projection of the last map."""

    def __init__(self, config: StarGANVC2Config, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.code = PairCode(self.body.leave.in_channels, speakers, config.told_source)

    def forward(self, frames: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Map of real or fake, linear, of `(batch, bands, frames)` said to be of `target` and made of `source`."""
        hidden = self.body.features(frames)
        return self.body.leave(hidden).squeeze(1) + torch.einsum("bcrt,bc->brt", hidden, self.code(source, target))
