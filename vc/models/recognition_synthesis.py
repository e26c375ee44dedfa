"""Recognition-synthesis: content vectors of any speaker's speech, decoded to a target's voice.

The approach is that of phonetic posteriorgrams (Sun et al., "Phonetic posteriorgrams for many-to-one voice conversion
without parallel data training", ICME 2016): content recognised in any speech is synthesised as one target, and training
needs the target's recordings alone. Here a frozen encoder gives the content vectors (vc/encoders), and the decoder is
trained adversarially; vc/train/recognition_synthesis.py has the losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot
from torch.nn.utils.parametrizations import weight_norm

from vc.config import require, require_range
from vc.features.content import PROSODY
from vc.layers import ChannelNorm
from vc.models.base import AbstractDecoder, RandomDraws

SLOPE = 0.1  # of the decoder's leaky ReLUs
DISCRIMINATOR_SLOPE = 0.2
PAUSES = (-3.7, -2.0)  # loudness in deviations: no restoration below the first, full restoration above the second
MOMENTUM = 0.01  # weight of a step in the running moments


@dataclass(frozen=True)
class RecognitionSynthesisConfig:
    """Sizes of the decoder and its discriminator."""

    # No weight of the decoder depends on these, so that they may differ from those of the model it starts from.
    WITHOUT_WEIGHTS: ClassVar[tuple[str, ...]] = ("dropout", "discriminator_channels", "restoration")
    channels: int = 256
    content_channels: int = 160  # of the content after the first layer
    kernel: int = 5  # frames
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 1, 2])
    dropout: float = 0.1  # of the content in training
    discriminator_channels: int = 24
    restoration: float = 2.0  # exponent of the ratio of deviations, real to decoded; 0: means alone are restored

    def __post_init__(self) -> None:
        sizes = ("channels", "content_channels", "discriminator_channels")
        require_range(self, "network", *sizes, at_least=1, at_most=4096)
        odd = self.kernel % 2 == 1 and 1 <= self.kernel <= 63
        require(odd, f"network.kernel must be odd and in 1..63 frames, got {self.kernel}")
        count, in_range = len(self.dilations), all(1 <= dilation <= 64 for dilation in self.dilations)
        require(1 <= count <= 64, f"network.dilations must be 1 to 64 numbers, got {count}")
        require(in_range, f"network.dilations must be in 1..64 each, got {self.dilations}")
        require_range(self, "network", "restoration", at_least=0, at_most=10)
        require_range(self, "network", "dropout", at_least=0, below=1)


class RecognitionSynthesis(AbstractDecoder):
    """One decoder for all targets, conditioned on a speaker embedding if there are several."""

    def __init__(self, config: RecognitionSynthesisConfig, bands: int, dims: int, speakers: tuple[str, ...]):
        super().__init__()
        self.speaker_indices = {name: index for index, name in enumerate(speakers)}
        self.dropout = config.dropout
        inputs = config.content_channels + bands + PROSODY
        self.content = nn.Conv1d(dims, config.content_channels, 1)
        self.enter = nn.Conv1d(inputs, config.channels, config.kernel, padding=config.kernel // 2)
        self.speaker = nn.Embedding(len(speakers), config.channels) if len(speakers) > 1 else None
        self.blocks = nn.Sequential(*(Block(config.channels, config.kernel, dilation) for dilation in config.dilations))
        self.leave = nn.Conv1d(config.channels, bands, config.kernel, padding=config.kernel // 2)
        self.variance = VarianceRestoration(bands, len(speakers), config.restoration)
        self.reach = config.kernel // 2 * (2 + sum(config.dilations))

    def initialise_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a decoder of other speakers; each speaker of this one starts from the mean of theirs.

        Parameters
        ----------
        weights : mapping of str to Tensor
            The state of a `RecognitionSynthesis` of the same sizes and any number of speakers.

        Raises
        ------
        RuntimeError
            If the sizes differ.
        """
        initial, moments = dict(weights), weights["variance.moments"].mean(0, keepdim=True)
        if "speaker.weight" in initial:
            initial["enter.bias"] = initial["enter.bias"] + initial.pop("speaker.weight").mean(0)
        if self.speaker is not None:
            initial["speaker.weight"] = torch.zeros_like(self.speaker.weight)
        initial["variance.moments"] = moments.repeat(len(self.speaker_indices), 1, 1, 1)
        self.load_state_dict(initial)

    @staticmethod
    def discriminator(config: RecognitionSynthesisConfig) -> nn.Module:
        return Discriminator(config.discriminator_channels)

    def forward(self, content: Tensor, prosody: Tensor, speakers: Tensor, draws: RandomDraws | None = None) -> Tensor:
        """Log-mel `(batch, bands, frames)` before its variance is restored; `speakers` are indices `(batch,)`.

        With `draws`, in training, dropout is applied to the content.
        """
        if draws is not None and self.dropout > 0:
            mask = draws(content[0].numel()).reshape(content.shape) >= self.dropout
            content = content * mask / (1 - self.dropout)
        content = leaky_relu(self.content(content), SLOPE)
        frames = self.enter(torch.cat([content, prosody], dim=1))
        if self.speaker is not None:
            frames = frames + self.speaker(speakers)[..., None]
        return self.leave(leaky_relu(self.blocks(frames), SLOPE))

    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        speakers = torch.full((len(content),), self.speaker_indices[target], device=content.device)
        decoded = self(content, prosody, speakers).float()
        return self.variance.restore(decoded, prosody[:, -1:].float(), speakers)


class Block(nn.Module):
    """Residual block of layer normalisation, a dilated convolution and a pointwise one."""

    def __init__(self, channels: int, kernel: int, dilation: int):
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.dilated = nn.Conv1d(channels, channels, kernel, padding=dilation * (kernel // 2), dilation=dilation)
        self.mixing = nn.Conv1d(channels, channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.dilated(leaky_relu(self.norm(frames), SLOPE))
        return frames + self.mixing(leaky_relu(hidden, SLOPE))


class VarianceRestoration(nn.Module):
    """Gives a decoded log-mel's cepstrum the target's means and deviations: a decoder's output is oversmoothed.

    After Toda, Black and Tokuda, "Voice conversion based on maximum-likelihood estimation of spectral parameter
    trajectory", IEEE TASLP 15(8), 2007, sec. IV, whose global variance is of an utterance; here the moments are
    running means over speech in recordings excluded from the losses, updated in training. Conversions are smoother
    still, so that the ratio of deviations is raised to a power. c0, the loudness, and pauses are unchanged.
    """

    def __init__(self, bands: int, speakers: int, power: float = 1.0):
        super().__init__()
        self.power = power
        angles = np.pi * (np.arange(bands) + 0.5)[None] * np.arange(bands)[:, None] / bands
        cosines = np.sqrt(2 / bands) * np.cos(angles)  # the orthonormal DCT of type II
        cosines[0] /= np.sqrt(2)
        self.register_buffer("cosines", torch.from_numpy(cosines.astype(np.float32)), persistent=False)
        # mean and mean square of the cepstrum, decoded and real
        self.register_buffer(
            "moments", torch.stack([torch.zeros(2, bands), torch.ones(2, bands)]).repeat(speakers, 1, 1, 1)
        )

    @torch.no_grad()
    def update(self, decoded: Tensor, real: Tensor, loudness: Tensor, speakers: Tensor) -> None:
        """Update the moments from `(batch, bands, frames)` of speakers `(batch,)` at loudness `(batch, 1, frames)`."""
        log_mels = torch.stack([decoded.float(), real.float()], dim=1)  # (batch, 2, bands, frames)
        cepstra = self.cosines @ log_mels
        speech = (loudness > PAUSES[1]).float()[:, None]  # (batch, 1, 1, frames)
        sums = torch.stack([(cepstra * speech).sum(-1), (cepstra.square() * speech).sum(-1)], dim=1)
        members = one_hot(speakers, len(self.moments)).to(sums).T  # (speakers, batch)
        counts = (members @ speech.sum((1, 2, 3)))[:, None, None, None]
        means = torch.einsum("sb,bmkc->smkc", members, sums) / counts.clamp(min=1)
        usable = (counts > 0) & means.isfinite().all()  # if the decoder has diverged, the training run rolls back
        self.moments.copy_(torch.where(usable, self.moments.lerp(means, MOMENTUM), self.moments))

    def restore(self, decoded: Tensor, loudness: Tensor, speakers: Tensor) -> Tensor:
        """Decoded log-mel `(batch, bands, frames)` of speakers `(batch,)` to the same shape."""
        mean, square = self.moments[speakers].unbind(1)  # (batch, 2, bands) each
        deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
        cepstrum = self.cosines @ decoded
        ratio = (deviation[:, 1] / deviation[:, 0])[..., None] ** self.power
        change = (cepstrum - mean[:, 0, :, None]) * (ratio - 1) + (mean[:, 1] - mean[:, 0])[..., None]
        change[:, 0] = 0
        share = ((loudness - PAUSES[0]) / (PAUSES[1] - PAUSES[0])).clamp(0, 1)
        return decoded + share * (self.cosines.T @ change)


class Discriminator(nn.Module):
    """Log-mel `(batch, bands, frames)` to a map of real-or-decoded logits, and the feature maps before it."""

    def __init__(self, channels: int):
        super().__init__()
        shapes = (
            (1, channels, (3, 5), (2, 1)),
            (channels, channels, (3, 5), (2, 2)),
            (channels, 2 * channels, (3, 5), (2, 2)),
            (2 * channels, 2 * channels, (3, 3), (1, 1)),
            (2 * channels, 1, (3, 3), (1, 1)),
        )
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, tuple(size // 2 for size in kernel)))
            for inputs, outputs, kernel, stride in shapes
        )

    def forward(self, log_mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        frames, maps = log_mel[:, None], []
        for layer in self.layers[:-1]:
            frames = leaky_relu(layer(frames), DISCRIMINATOR_SLOPE)
            maps.append(frames)
        return self.layers[-1](frames), maps
