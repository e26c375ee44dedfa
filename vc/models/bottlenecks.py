"""Bottlenecks between an encoder and a decoder: plain, variational or vector-quantised codes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require_known, require_range
from vc.models.base import MultiSpeakerConverter, RandomDraws
from vc.models.cyclegan_vc2 import NetworkSizes

COMMITMENT = 0.25  # weight of the commitment loss (van den Oord et al., 2017, sec. 3.2)
UNIFORM_MARGIN = 1e-6  # uniform draws are kept this far from 0 and 1, whose normal deviates are infinite


@dataclass(frozen=True)
class CodeConfig(NetworkSizes):
    """Sizes of the networks and of the code between them."""

    code: str = "plain"  # plain, variational or quantised
    code_channels: int = 32  # at every fourth frame
    entries: int = 128  # of a quantised code's codebook
    noise_channels: int = 0  # inputs of the decoder beside the code; drawn in training, 0 in conversion

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("network.code", self.code, BOTTLENECKS)
        require_range(self, "network", "residual_blocks", at_least=2)  # on both sides of the code
        require_range(self, "network", "code_channels", "entries", at_least=1)
        require_range(self, "network", "noise_channels", at_least=0)

    @property
    def decoder_channels(self) -> int:
        """Channels of the decoder's input: code and noise."""
        return self.code_channels + self.noise_channels

    @property
    def blocks_before(self) -> int:
        """Residual blocks before the code."""
        return self.residual_blocks // 2

    @property
    def blocks_after(self) -> int:
        """Residual blocks after the code."""
        return self.residual_blocks - self.blocks_before


class PlainCode(nn.Module):
    """The code as the encoder gives it."""

    parameters_per_value = 1  # outputs of the encoder for each value of the code

    def __init__(self, config: CodeConfig):
        super().__init__()

    def forward(self, encoded: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        """The code, and its cost: 0."""
        return encoded, encoded.new_zeros(())


class VariationalCode(nn.Module):
    """A normal distribution, sampled in training; conversion takes its mean (Kingma and Welling, ICLR 2014).

    The cost is the mean KL divergence of a value's distribution from the standard normal.
    """

    parameters_per_value = 2

    def __init__(self, config: CodeConfig):
        super().__init__()

    def forward(self, encoded: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        mean, log_variance = encoded.chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 20)  # its exponential stays finite
        cost = losses.kl_divergence(mean, log_variance)
        if draws is None:
            return mean, cost
        uniform = draws(mean[0].numel()).reshape(mean.shape).clamp(UNIFORM_MARGIN, 1 - UNIFORM_MARGIN)
        return mean + (log_variance / 2).exp() * torch.special.ndtri(uniform), cost


class QuantisedCode(nn.Module):
    """The nearest entry of a codebook (van den Oord, Vinyals and Kavukcuoglu, NeurIPS 2017, eqs. 1 to 3).

    Gradients are passed to the encoder by the straight-through estimator. The cost moves entries towards the encoder's
    outputs and, weighted by COMMITMENT, these towards their entries.
    """

    parameters_per_value = 1

    def __init__(self, config: CodeConfig):
        super().__init__()
        self.book = nn.Parameter(torch.randn(config.entries, config.code_channels) / 2)

    def forward(self, encoded: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        entries = self.book[self.nearest(encoded)].transpose(1, 2)  # (batch, channels, positions)
        return encoded + (entries - encoded).detach(), losses.vector_quantisation(entries, encoded, COMMITMENT)

    @torch.no_grad()
    def nearest(self, encoded: Tensor) -> Tensor:
        """Indices `(batch, positions)` of the entries nearest to `(batch, channels, positions)`."""
        return torch.cdist(encoded.transpose(1, 2).float(), self.book).argmin(-1)


class BottleneckConverter(MultiSpeakerConverter):
    """A converter of many speakers whose code goes through `bottleneck`, one of BOTTLENECKS."""

    bottleneck: nn.Module

    def __init__(self, config: CodeConfig, speakers: tuple[str, ...]):
        super().__init__(speakers)
        self.noise_channels, self.code_channels = config.noise_channels, config.decoder_channels

    @property
    def code_has_cost(self) -> bool:
        return isinstance(self.bottleneck, QuantisedCode)

    def apply_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        code, cost = self.bottleneck(code, draws)
        return append_noise(code, self.noise_channels, draws), cost


BOTTLENECKS = {"plain": PlainCode, "variational": VariationalCode, "quantised": QuantisedCode}


def append_noise(code: Tensor, channels: int, draws: RandomDraws | None = None) -> Tensor:
    """Append `channels` of noise to a code `(batch, channels, positions)`, the same at all positions of an item.

    It is uniform in -1..1, as in DR-GAN (Tran et al., 2017); without `draws` it is 0, its mean.
    """
    if not channels:
        return code
    noise = code.new_zeros(len(code), channels) if draws is None else 2 * draws(channels).to(code.dtype) - 1
    return torch.cat([code, noise[..., None].expand(-1, -1, code.shape[-1])], dim=1)


def encoder_output_layer(config: CodeConfig) -> nn.Conv1d:
    """The last layer of an encoder."""
    return nn.Conv1d(config.inner, BOTTLENECKS[config.code].parameters_per_value * config.code_channels, 1)


def decoder_input_layer(config: CodeConfig) -> nn.Conv1d:
    """The first layer of a decoder."""
    return nn.Conv1d(config.decoder_channels, config.inner, 1)


class CodeClassifier(nn.Module):
    """Speaker classifier of codes: `(batch, channels, positions)` to logits `(batch, speakers, positions)`."""

    def __init__(self, channels: int, speakers: int):
        super().__init__()
        width = max(16, channels)
        self.layers = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 5, padding=2),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, speakers, 1),
        )

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code)
