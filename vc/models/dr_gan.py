"""Speaker-independent codes, decoded for a target: DR-GAN (Tran, Yin and Liu, CVPR 2017), and gradient reversal.

DR-GAN's encoder-decoder rotates faces: the decoder takes the code, a pose and noise, and the discriminator classifies
the pose, and the person as one of N or, in a further class, as a fake. The codes of several pictures of a person are
fused: averaged with confidences as weights, which the encoder learns. Here the speaker takes the place of the pose and
the content that of the person: a discriminator of N + 1 classes names the speaker or a fake, and the codes of a segment
and of its conversion are fused. The paper's classes of persons would be sentences here, which two speakers do not
share, so that identity mapping and fusion have to preserve the content.

`reversed_gradient` has neither noise nor fusion; its discriminator has two heads, real or fake and the speaker; and a
speaker classifier of codes passes its gradient to the encoder reversed (`objective.code_speaker`).
Encoder and decoder are the halves of CycleGAN-VC2's generator, the discriminators are its too; the paper's are for
images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc.config import newer
from vc.layers import pad_frames
from vc.models.base import DiscriminatorOutput, RandomDraws
from vc.models.bottlenecks import (
    BOTTLENECKS,
    BottleneckConverter,
    CodeConfig,
    decoder_input_layer,
    encoder_output_layer,
)
from vc.models.cyclegan_vc2 import Discriminator, Downsampler, Upsampler, build_residual_blocks
from vc.models.stargan_vc2 import ConditionalResidual


@dataclass(frozen=True)
class DRGANConfig(CodeConfig):
    """Sizes of the networks (CycleGAN-VC2's) and of the code between them, and which parts of DR-GAN there are."""

    noise_channels: int = newer(50, earlier=0)  # the paper's
    fuses: bool = newer(True, earlier=False)  # whether the encoder gives a confidence beside the code
    fake_class: bool = newer(True, earlier=False)  # N + 1 classes in place of a real-or-fake head


@dataclass(frozen=True)
class ReversedGradientConfig(DRGANConfig):
    """Neither noise nor confidences, and two heads."""

    noise_channels: int = 0
    fuses: bool = False
    fake_class: bool = False


class DRGAN(BottleneckConverter):
    """One encoder for all speakers, and one decoder conditioned on the target.

    | block   | layers                                                  | size for 35 bands, T frames |
    |---------|---------------------------------------------------------|-----------------------------|
    | encoder | enter, down, flatten, 3 of 6 residual blocks            | 256 x T/4                   |
    |         | 1 x 1: 32 of code, 1 of confidence                      | 33 x T/4                    |
    | decoder | 1 x 1 of 32 of code and 50 of noise                     | 256 x T/4                   |
    |         | 3 residual blocks, conditioned on the target; up, leave | 35 x T                      |

    With `fuses`, the last channel of `encode`'s output is the confidences' logits, which the bottleneck removes.
    """

    classifies = True

    def __init__(self, config: DRGANConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(config, speakers)
        self.fuses, self.has_fake_class = config.fuses, config.fake_class
        self.encoder = nn.Sequential(
            Downsampler(config, bands),
            build_residual_blocks(config, config.blocks_before),
            encoder_output_layer(config),
        )
        if config.fuses:
            self.confidence = nn.Conv1d(config.inner, 1, 1)
        self.bottleneck = BOTTLENECKS[config.code](config)
        self.read = decoder_input_layer(config)
        self.inner = ConditionalResidual(config, config.blocks_after, len(speakers), use_source=False)
        self.outward, self.bands = Upsampler(config, bands), bands

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        if not self.fuses:
            return self.encoder(pad_frames(frames))
        hidden = self.encoder[:-1](pad_frames(frames))
        return torch.cat([self.encoder[-1](hidden), self.confidence(hidden)], dim=1)

    def fuse(self, codes: Sequence[Tensor]) -> Tensor:
        """Average the codes of several renderings of the same content, weighted by the sigmoids of their confidences.

        Codes are outputs of `encode`, `(batch, channels + 1, positions)` each, and so is the result; its confidence is
        the largest of theirs.
        """
        stacked = torch.stack([*codes])
        weights = stacked[:, :, -1:].sigmoid()
        mean = (weights * stacked[:, :, :-1]).sum(0) / weights.sum(0)
        return torch.cat([mean, stacked[:, :, -1:].amax(0)], dim=1)

    def apply_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        return super().apply_bottleneck(code[:, :-1] if self.fuses else code, draws)

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.outward(self.inner(self.read(code), source, target))[:, : self.bands, :frames]

    def discriminator(self, config: DRGANConfig) -> nn.Module:
        if config.fake_class:
            return FakeClassDiscriminator(config, len(self.speaker_indices))
        return TwoHeadDiscriminator(config, len(self.speaker_indices))


class TwoHeadDiscriminator(nn.Module):
    """CycleGAN-VC2's discriminator with a second head, a speaker classifier at each position in time."""

    def __init__(self, config: DRGANConfig, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.names = nn.Conv1d(self.body.leave.in_channels, speakers, 5, padding=2)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        hidden = self.body.features(frames)
        return DiscriminatorOutput(self.body.leave(hidden).squeeze(1), self.names(hidden.mean(2)))


class FakeClassDiscriminator(nn.Module):
    """CycleGAN-VC2's discriminator with one head, a classifier of speakers and, as last class, fakes, over time."""

    def __init__(self, config: DRGANConfig, speakers: int):
        super().__init__()
        self.body = Discriminator(config)
        self.body.leave = nn.Conv1d(self.body.leave.in_channels, speakers + 1, 5, padding=2)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(None, self.body.leave(self.body.features(frames).mean(2)))
