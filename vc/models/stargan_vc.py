"""StarGAN-VC (Kameoka, Kaneko, Tanaka and Hojo, SLT 2018, arXiv:1806.02169): an auxiliary classifier for many speakers.

One generator is conditioned on the target at every layer of its decoder; a discriminator classifies frames as real or
fake and by speaker, as in AC-GAN (Odena, Olah and Shlens, ICML 2017). The method `ac_gan` has the same networks, with
noise beside the code (the paper's generator has no input but noise and class). Layers after the one-dimensional
networks of the authors' later code (github.com/kamepong/StarGAN-VC), not the paper's two-dimensional ones, which were
not at hand.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc.config import newer, require_range
from vc.layers import GatedConv1d, UpsampleBlock1d, pad_frames
from vc.models.base import DiscriminatorOutput, MultiSpeakerConverter, RandomDraws
from vc.models.bottlenecks import append_noise


@dataclass(frozen=True)
class StarGANVCConfig:
    """Sizes of the networks; the defaults are those of the authors' later code, but for `judge_channels`."""

    channels: int = 64  # of the generator's layers, after the GLU
    code_channels: int = 16
    speaker_channels: int = 16  # of the speaker embedding, an input of each layer of the decoder
    judge_channels: int = 32  # of the discriminator's layers, after the GLU
    dropout: float = newer(0.1, earlier=0.0)  # after each of the discriminator's layers
    noise_channels: int = 0  # inputs of the decoder beside the code; drawn in training, 0 in conversion

    def __post_init__(self) -> None:
        sizes = ("channels", "code_channels", "speaker_channels", "judge_channels")
        require_range(self, "network", *sizes, at_least=1)
        require_range(self, "network", "dropout", at_least=0, below=1)
        require_range(self, "network", "noise_channels", at_least=0)


@dataclass(frozen=True)
class ACGANConfig(StarGANVCConfig):
    """StarGAN-VC's networks with noise."""

    noise_channels: int = 16


class StarGANVC(MultiSpeakerConverter):
    """One generator for every direction: `(batch, bands, frames)` to the same shape, any number of frames.

    | block  | kernel | channels after GLU          | stride    | size for T frames |
    |--------|--------|-----------------------------|-----------|-------------------|
    | encode | 9      | 64                          | 1         | T                 |
    |        | 8, 8   | 64, 64                      | 2         | T/2, T/4          |
    |        | 5, 5   | 64, 16                      | 1         | T/4               |
    | decode | 5, 5   | 64 and 16 of the target, 64 | 1         | T/4               |
    |        | 5, 5   | 64, 64                      | shuffle 2 | T/2, T            |
    |        | 9      | bands, linear               | 1         | T                 |

    Every layer of the decoder has the target's embedding of 16 channels as a further input, the first one also the
    noise, of 16 channels in `ac_gan`. Differs from the authors' code: upsampling is by a shuffle as in our other
    networks, not by transposed convolutions of 8; instance normalisation is affine, and weights are not normalised.
    """

    classifies = True

    def __init__(self, config: StarGANVCConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(speakers)
        width, condition = config.channels, config.speaker_channels
        self.noise_channels, self.code_channels = config.noise_channels, config.code_channels + config.noise_channels
        self.encoder = nn.Sequential(
            GatedConv1d(bands, width, 9),
            GatedConv1d(width, width, 8, stride=2),
            GatedConv1d(width, width, 8, stride=2),
            GatedConv1d(width, width, 5),
            GatedConv1d(width, config.code_channels, 5),
        )
        self.speakers = nn.Embedding(len(speakers), condition)
        self.decoder = nn.ModuleList(
            [
                GatedConv1d(self.code_channels + condition, width, 5),
                GatedConv1d(width + condition, width, 5),
                UpsampleBlock1d(width + condition, width),
                UpsampleBlock1d(width + condition, width),
                nn.Conv1d(width + condition, bands, 9, padding=4),
            ]
        )

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        return self.encoder(pad_frames(frames))

    def apply_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        return append_noise(code, self.noise_channels, draws), code.new_zeros(())

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        condition = self.speakers(target)[..., None]  # (batch, speaker channels, 1)
        for layer in self.decoder:
            code = layer(torch.cat([code, condition.expand(-1, -1, code.shape[-1])], dim=1))
        return code[..., :frames]

    def discriminator(self, config: StarGANVCConfig) -> nn.Module:
        return Discriminator(config, self.encoder[0].convolution.in_channels, len(self.speaker_indices))


class Discriminator(nn.Module):
    """One-dimensional, with two heads on one body: real or fake, and the speaker, at every fourth frame; unconditional.

    | block | kernel | channels after GLU   | stride | size for T frames |
    |-------|--------|----------------------|--------|-------------------|
    | body  | 9      | 32, dropout          | 1      | T                 |
    |       | 8, 8   | 32, 32, dropout      | 2      | T/2, T/4          |
    |       | 5      | 32, dropout          | 1      | T/4               |
    | heads | 5      | 1; speakers; linear  | 1      | T/4               |

    Differs from the authors' code: the heads have biases, and torch's initial weights.
    """

    def __init__(self, config: StarGANVCConfig, bands: int, speakers: int):
        super().__init__()
        width = config.judge_channels
        layers = (
            GatedConv1d(bands, width, 9),
            GatedConv1d(width, width, 8, stride=2),
            GatedConv1d(width, width, 8, stride=2),
            GatedConv1d(width, width, 5),
        )
        self.body, self.dropout = nn.Sequential(*layers), config.dropout
        self.real = nn.Conv1d(width, 1, 5, padding=2)
        self.names = nn.Conv1d(width, speakers, 5, padding=2)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        hidden = frames
        for layer in self.body:
            hidden = dropout(layer(hidden), self.dropout, draws)
        return DiscriminatorOutput(self.real(hidden).squeeze(1), self.names(hidden))


def dropout(x: Tensor, share: float, draws: RandomDraws | None) -> Tensor:
    """Dropout (Srivastava et al., JMLR 2014) of a `share`, in 0..1, of the values of `x` `(batch, ...)`.

    Which values is up to `draws`, which are the same in resumed runs and in several processes. Without draws, or for a
    share of 0, it returns `x`.
    """
    if draws is None or not share:
        return x
    uniform = draws(x[0].numel())
    rest = [draws(x[0].numel()) for _ in range(len(x) // len(uniform) - 1)]  # of further batches end to end
    mask = torch.cat([uniform, *rest]).reshape(x.shape) >= share
    return x * mask / (1 - share)
