"""Disentangling in the manner of DR-GAN (Tran, Yin and Liu, CVPR 2017): a code freed of the speaker, another's put in.

There, an encoder-decoder rotates faces, and a discriminator has one head for real or fake and others for person and
pose. Here the decoder is conditioned on the target, and training removes the source from the code
(`objective.code_speaker`).
Encoder and decoder are the halves of CycleGAN-VC2's generator.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from vc.layers import padded
from vc.models.base import DiscriminatorOutput
from vc.models.bottlenecks import BOTTLENECKS, CodeConfig, CodedConverter, decoder_input, encoder_output
from vc.models.cyclegan_vc2 import Discriminator, Inward, Outward, residual
from vc.models.stargan_vc2 import ConditionalResidual


@dataclass(frozen=True)
class DRGANConfig(CodeConfig):
    """Sizes of the networks, CycleGAN-VC2's, and of the code in their middle."""


class DRGAN(CodedConverter):
    """One encoder for all speakers, and one decoder that is conditioned on the target."""

    classifies = True

    def __init__(self, config: DRGANConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(speakers)
        self.encoder = nn.Sequential(
            Inward(config, bands), residual(config, config.blocks_before), encoder_output(config)
        )
        self.bottleneck = BOTTLENECKS[config.code](config)
        self.read = decoder_input(config)
        self.inner = ConditionalResidual(config, config.blocks_behind, len(speakers), told_source=False)
        self.outward, self.bands = Outward(config, bands), bands

    @property
    def code_channels(self) -> int:
        return self.read.in_channels

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        return self.encoder(padded(frames))

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.outward(self.inner(self.read(code), source, target))[:, : self.bands, :frames]

    def discriminator(self, config: DRGANConfig) -> nn.Module:
        return TwoHeads(config, len(self.numbers))


class TwoHeads(nn.Module):
    """CycleGAN-VC2's discriminator with a second head, which classifies the speaker at each position in time."""

    def __init__(self, config: DRGANConfig, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.names = nn.Conv1d(self.body.leave.in_channels, speakers, 5, padding=2)

    def forward(self, frames: Tensor, source: Tensor, target: Tensor) -> DiscriminatorOutput:
        hidden = self.body.features(frames)
        return DiscriminatorOutput(self.body.leave(hidden).squeeze(1), self.names(hidden.mean(2)))
