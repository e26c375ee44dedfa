"""StarGAN-VC2 (Kaneko, Kameoka, Tanaka and Hojo, Interspeech 2019, arXiv:1907.12279): one network for many speakers.

The generator is that of CycleGAN-VC2, conditioned on source and target: the first instance normalisation of each
residual block takes scale and bias from the two speakers' embeddings. The discriminator is conditioned on both by
projection (after Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018): the last feature map, summed
over all positions (global sum pooling), goes into a linear layer and into an inner product with the pair's embedding.
The paper was not at hand: sizes are CycleGAN-VC2's, our choice of conditional normalisations is an interpretation, and
a pair's embedding is the sum of one vector for the source and one for the target. According to a reproduction
(github.com/moatriver/StarGAN-VC2-tf) the paper's inner part is nine gated convolutions of kernel 5 without residual
connections, and its linear layer takes the map before pooling, of one length; here any length fits.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import glu

from vc.config import newer
from vc.layers import pad_frames
from vc.models.base import DiscriminatorOutput, MultiSpeakerConverter, RandomDraws
from vc.models.cyclegan_vc2 import Discriminator, Downsampler, NetworkSizes, Upsampler


@dataclass(frozen=True)
class StarGANVC2Config(NetworkSizes):
    """Sizes of the networks (CycleGAN-VC2's) and their conditions."""

    told_source: bool = True  # conditioned on the source beside the target
    pooled: bool = newer(True, earlier=False)  # one logit for a segment, not one for each position of the last map


@dataclass(frozen=True)
class ConditionalGANConfig(StarGANVC2Config):
    """StarGAN-VC2's networks, conditioned on the target alone."""

    told_source: bool = False
    pooled: bool = False


class StarGANVC2(MultiSpeakerConverter):
    """One generator for every direction between `speakers`; its code is the input of the residual blocks."""

    def __init__(self, config: StarGANVC2Config, bands: int, speakers: tuple[str, ...]):
        super().__init__(speakers)
        self.inward = Downsampler(config, bands)
        self.inner = ConditionalResidual(config, config.residual_blocks, len(speakers), use_source=config.told_source)
        self.outward, self.bands = Upsampler(config, bands), bands
        self.code_channels = config.inner

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        return self.inward(pad_frames(frames))

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.outward(self.inner(code, source, target))[:, : self.bands, :frames]

    def discriminator(self, config: StarGANVC2Config) -> nn.Module:
        return ConditionalDiscriminator(config, len(self.speaker_indices))


class ConditionalResidual(nn.Module):
    """Residual blocks conditioned on a pair of speakers: `(batch, inner, frames / 4)` to the same shape."""

    def __init__(self, config: NetworkSizes, blocks: int, speakers: int, *, use_source: bool):
        super().__init__()
        width, inner = config.inner, config.residual_channels
        self.blocks = nn.ModuleList(
            ConditionalBlock(width, inner, speakers, use_source=use_source) for _ in range(blocks)
        )

    def forward(self, hidden: Tensor, source: Tensor, target: Tensor) -> Tensor:
        for block in self.blocks:
            hidden = block(hidden, source, target)
        return hidden


class ConditionalBlock(nn.Module):
    """Residual block of a gated and a plain convolution over time; the first one's normalisation is conditional."""

    def __init__(self, width: int, inner: int, speakers: int, *, use_source: bool):
        super().__init__()
        self.widen = nn.Conv1d(width, inner, 3, padding=1)
        self.norm_wide = ConditionalNorm(inner, speakers, use_source=use_source)
        self.narrow = nn.Conv1d(inner // 2, width, 3, padding=1)
        self.norm = nn.InstanceNorm1d(width, affine=True)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        return x + self.norm(self.narrow(glu(self.norm_wide(self.widen(x), source, target), dim=1)))


class PairEmbedding(nn.Module):
    """An embedding of a pair of speakers: the source's vector plus the target's, or the target's alone."""

    def __init__(self, width: int, speakers: int, *, use_source: bool):
        super().__init__()
        self.target = nn.Embedding(speakers, width)
        self.source = nn.Embedding(speakers, width) if use_source else None
        for embedding in self.children():
            nn.init.normal_(embedding.weight, 0, 0.02)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Embeddings `(batch, width)` of speaker indices `(batch,)`."""
        embedding = self.target(target)
        return embedding if self.source is None else embedding + self.source(source)


class ConditionalNorm(nn.Module):
    """Instance normalisation with scale and bias of a pair of speakers."""

    def __init__(self, channels: int, speakers: int, *, use_source: bool):
        super().__init__()
        self.norm = nn.InstanceNorm1d(channels)
        self.code = PairEmbedding(2 * channels, speakers, use_source=use_source)

    def forward(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        scale, bias = self.code(source, target)[..., None].chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + bias


class ConditionalDiscriminator(nn.Module):
    """CycleGAN-VC2's discriminator, conditioned on a pair of speakers by projection of its last feature map.

    | block      | layers                                              | size for 35 x 128 |
    |------------|-----------------------------------------------------|-------------------|
    | body       | enter, down, deepen, as in CycleGAN-VC2             | 512 x 5 x 16      |
    | pool       | sum over all positions                              | 512               |
    | linear     | of the pooled features                              | 1                 |
    | projection | their product with the pair's embedding, added      | 1                 |

    Without `pooled`, CycleGAN-VC2's last layer and the product at each position: 5 x 16.
    """

    def __init__(self, config: StarGANVC2Config, speakers: int):
        super().__init__()
        self.body, self.pooled = Discriminator(config), config.pooled
        if config.pooled:
            self.body.leave = nn.Conv2d(self.body.leave.in_channels, 1, 1)  # of one position: a linear layer
        self.code = PairEmbedding(self.body.leave.in_channels, speakers, use_source=config.told_source)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        hidden = self.body.features(frames)
        if self.pooled:
            hidden = hidden.sum((2, 3), keepdim=True)
        projection = torch.einsum("bcrt,bc->brt", hidden, self.code(source, target))
        return DiscriminatorOutput(self.body.leave(hidden).squeeze(1) + projection)
