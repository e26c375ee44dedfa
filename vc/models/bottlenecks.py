"""Codes between an encoder and a decoder: as they are, drawn from a distribution, or one of a book's entries."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require
from vc.models.base import Chance, ManyConverter
from vc.models.cyclegan_vc2 import Sizes

COMMITMENT = 0.25  # weight of what holds an encoder to the book's entries (van den Oord et al., 2017, sec. 3.2)
SMALLEST = 1e-6  # chances are kept this far from 0 and 1, whose normal deviates are infinite


@dataclass(frozen=True)
class CodeConfig(Sizes):
    """Sizes of the networks, and of the code in their middle."""

    code: str = "plain"  # plain, variational or quantised
    code_channels: int = 32  # for every fourth frame
    entries: int = 128  # of the book of a quantised code

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.code in CODES, f"network.code must be one of {', '.join(CODES)}, got {self.code!r}")
        require(self.residual_blocks >= 2, "network.residual_blocks must be 2 or more, on either side of the code")
        for name in ("code_channels", "entries"):
            require(getattr(self, name) >= 1, f"network.{name} must be 1 or more, got {getattr(self, name)}")

    @property
    def blocks_before(self) -> int:
        """Residual blocks before the code."""
        return self.residual_blocks // 2

    @property
    def blocks_behind(self) -> int:
        return self.residual_blocks - self.blocks_before


class Plain(nn.Module):
    """The code as the encoder writes it."""

    written = 1  # values that an encoder writes for each of the code's

    def __init__(self, config: CodeConfig):
        super().__init__()

    def forward(self, written: Tensor, chance: Chance | None = None) -> tuple[Tensor, Tensor]:
        """Code, and what it costs: nothing."""
        return written, written.new_zeros(())


class Variational(nn.Module):
    """A normal distribution of which training draws and conversion takes the mean (Kingma and Welling, ICLR 2014).

    The cost is the mean divergence of a value's distribution from the standard normal one.
    """

    written = 2

    def __init__(self, config: CodeConfig):
        super().__init__()

    def forward(self, written: Tensor, chance: Chance | None = None) -> tuple[Tensor, Tensor]:
        mean, log_variance = written.chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 20)  # its exponential stays finite
        cost = losses.divergence(mean, log_variance)
        if chance is None:
            return mean, cost
        lot = chance(mean[0].numel()).reshape(mean.shape).clamp(SMALLEST, 1 - SMALLEST)
        return mean + (log_variance / 2).exp() * torch.special.ndtri(lot), cost


class Quantised(nn.Module):
    """The nearest entry of a book (van den Oord, Vinyals and Kavukcuoglu, NeurIPS 2017, eqs. 1 to 3).

    Gradients pass as if the code were what was written; the cost draws entries to what was written, and, weighted by
    COMMITMENT, what is written to its entries.
    """

    written = 1

    def __init__(self, config: CodeConfig):
        super().__init__()
        self.book = nn.Parameter(torch.randn(config.entries, config.code_channels) / 2)

    def forward(self, written: Tensor, chance: Chance | None = None) -> tuple[Tensor, Tensor]:
        entries = self.book[self.nearest(written)].transpose(1, 2)  # (batch, channels, places)
        return written + (entries - written).detach(), losses.commitment(entries, written, COMMITMENT)

    @torch.no_grad()
    def nearest(self, written: Tensor) -> Tensor:
        """Numbers `(batch, places)` of the entries nearest to `(batch, channels, places)`."""
        return torch.cdist(written.transpose(1, 2).float(), self.book).argmin(-1)


class CodedConverter(ManyConverter):
    """A model of many speakers whose code passes `bottleneck`, one of CODES."""

    bottleneck: nn.Module

    @property
    def costs(self) -> bool:
        return isinstance(self.bottleneck, Quantised)

    def passed(self, code: Tensor, chance: Chance | None = None) -> tuple[Tensor, Tensor]:
        return self.bottleneck(code, chance)


CODES = {"plain": Plain, "variational": Variational, "quantised": Quantised}


def writer(config: CodeConfig) -> nn.Conv1d:
    """The last layer of an encoder."""
    return nn.Conv1d(config.inner, CODES[config.code].written * config.code_channels, 1)


def reader(config: CodeConfig) -> nn.Conv1d:
    """The first layer of a decoder."""
    return nn.Conv1d(config.code_channels, config.inner, 1)


class CodeClassifier(nn.Module):
    """Who speaks, by the code: `(batch, channels, places)` to logits `(batch, speakers, places)`."""

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
