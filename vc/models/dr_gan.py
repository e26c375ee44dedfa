"""A code freed of the speaker, another speaker put in: DR-GAN (Tran, Yin and Liu, CVPR 2017), and a reversed gradient.

DR-GAN's encoder-decoder rotates faces: the decoder is given the code, a pose and noise, and the discriminator names one
of N persons or, in a class of its own, a fake, besides the pose. Several pictures of a person are one code: the mean of
theirs, weighted by a confidence that the encoder learns. Here the speaker stands where the pose does, and what is said
where the person does: a discriminator of N + 1 classes names the speaker or a fake, and the renderings whose codes are
fused are a segment and its conversion. The paper's classes of persons would be sentences here, which two speakers do
not share, so that identity mapping and fusion hold what is said.

`reversed_gradient` has neither noise nor fusion; a discriminator of two heads, real or fake and the speaker; and a
classifier of codes whose gradient comes to the encoder reversed (`objective.code_speaker`).
Encoder and decoder are the halves of CycleGAN-VC2's generator, the discriminators its own; the paper's are of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc.config import newer
from vc.layers import padded
from vc.models.base import DiscriminatorOutput, RandomDraws
from vc.models.bottlenecks import BOTTLENECKS, CodeConfig, CodedConverter, decoder_input, encoder_output
from vc.models.cyclegan_vc2 import Discriminator, Inward, Outward, residual
from vc.models.stargan_vc2 import ConditionalResidual


@dataclass(frozen=True)
class DRGANConfig(CodeConfig):
    """Sizes of the networks, CycleGAN-VC2's, of the code in their middle, and the parts of DR-GAN's game."""

    noise_channels: int = newer(50, earlier=0)  # the paper's
    fuses: bool = newer(True, earlier=False)  # whether the encoder gives a confidence beside the code
    fake_class: bool = newer(True, earlier=False)  # N + 1 classes in place of a head of real or fake


@dataclass(frozen=True)
class ReversedGradientConfig(DRGANConfig):
    """Neither noise nor confidences, and two heads."""

    noise_channels: int = 0
    fuses: bool = False
    fake_class: bool = False


class DRGAN(CodedConverter):
    """One encoder for all speakers, and one decoder that is conditioned on the target.

    | block   | layers                                                  | size for 35 bands, T frames |
    |---------|---------------------------------------------------------|-----------------------------|
    | encoder | enter, down, flatten, 3 of 6 residual blocks            | 256 x T/4                   |
    |         | 1 x 1: 32 of code, 1 of confidence                      | 33 x T/4                    |
    | decoder | 1 x 1 of 32 of code and 50 of noise                     | 256 x T/4                   |
    |         | 3 residual blocks, conditioned on the target; up, leave | 35 x T                      |

    With `fuses`, what `encode` gives has the confidences' logits as its last channel, until the bottleneck takes them.
    """

    classifies = True

    def __init__(self, config: DRGANConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(speakers)
        self.fuses, self.has_fake_class, self.noise_channels = config.fuses, config.fake_class, config.noise_channels
        self.encoder = nn.Sequential(
            Inward(config, bands), residual(config, config.blocks_before), encoder_output(config)
        )
        if config.fuses:
            self.confidence = nn.Conv1d(config.inner, 1, 1)
        self.bottleneck = BOTTLENECKS[config.code](config)
        self.read = decoder_input(config)
        self.inner = ConditionalResidual(config, config.blocks_behind, len(speakers), told_source=False)
        self.outward, self.bands = Outward(config, bands), bands

    @property
    def code_channels(self) -> int:
        return self.read.in_channels

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        if not self.fuses:
            return self.encoder(padded(frames))
        hidden = self.encoder[:-1](padded(frames))
        return torch.cat([self.encoder[-1](hidden), self.confidence(hidden)], dim=1)

    def fuse(self, codes: Sequence[Tensor]) -> Tensor:
        """One code of several renderings of the same: their mean, weighted by the sigmoids of their confidences.

        Its own confidence is the largest of theirs.
        """
        stacked = torch.stack([*codes])
        weights = stacked[:, :, -1:].sigmoid()
        mean = (weights * stacked[:, :, :-1]).sum(0) / weights.sum(0)
        return torch.cat([mean, stacked[:, :, -1:].amax(0)], dim=1)

    def pass_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        return super().pass_bottleneck(code[:, :-1] if self.fuses else code, draws)

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.outward(self.inner(self.read(code), source, target))[:, : self.bands, :frames]

    def discriminator(self, config: DRGANConfig) -> nn.Module:
        if config.fake_class:
            return SpeakersOrFake(config, len(self.numbers))
        return TwoHeads(config, len(self.numbers))


class TwoHeads(nn.Module):
    """CycleGAN-VC2's discriminator with a second head, which classifies the speaker at each position in time."""

    def __init__(self, config: DRGANConfig, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.names = nn.Conv1d(self.body.leave.in_channels, speakers, 5, padding=2)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        hidden = self.body.features(frames)
        return DiscriminatorOutput(self.body.leave(hidden).squeeze(1), self.names(hidden.mean(2)))


class SpeakersOrFake(nn.Module):
    """CycleGAN-VC2's discriminator whose one head names, at each position in time, the speaker or, last, a fake."""

    def __init__(self, config: DRGANConfig, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.body.leave = nn.Conv1d(self.body.leave.in_channels, speakers + 1, 5, padding=2)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(None, self.body.leave(self.body.features(frames).mean(2)))
