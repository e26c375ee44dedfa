"""What the networks of many speakers have in common: a code of what is said, and frames made of it for a speaker."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vc.config import require
from vc.models.base import AbstractConverter
from vc.models.pair import Chance


class Judgement(NamedTuple):
    """What a discriminator says of frames."""

    real: Tensor  # map of real or fake, linear
    names: Tensor | None = None  # (batch, speakers, places): whose frames they are, logits; None: it names nobody


class ManyConverter(AbstractConverter):
    """One model for every direction between `speakers`, whom a step knows by their numbers.

    A step's batch has as many segments of each speaker, and as many for each: a network of parts for each speaker
    divides it without having to look.
    """

    grows = False  # whether a speaker can be added and the others' parts stay as they are
    costs = False  # whether the code has to be paid for, or part of the network never learns
    names = False  # whether its discriminator names the speaker, and is told none

    def __init__(self, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        self.numbers = {name: number for number, name in enumerate(speakers)}

    @abstractmethod
    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        """Code `(batch, channels, places)` of `(batch, bands, frames)` of the speakers numbered `(batch,)`."""

    @abstractmethod
    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        """`(batch, bands, frames)` of `target` from the code of `source`, both numbers `(batch,)`."""

    @property
    @abstractmethod
    def code_channels(self) -> int:
        """Channels of a code as the decoder gets it."""

    @abstractmethod
    def discriminator(self, config: Any) -> nn.Module:
        """`(frames, source, target)` -> Judgement of `(batch, bands, frames)`: `target`'s, made of `source`'s."""

    def passed(self, code: Tensor, chance: Chance | None = None) -> tuple[Tensor, Tensor]:
        """What of a code gets through to the decoder, and what it costs: all, for nothing.

        With `chance`, in training, a method may draw it by lot.
        """
        return code, code.new_zeros(())

    def change(self, frames: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """`(batch, bands, frames)` of the speakers numbered `source` `(batch,)` to the same shape of `target`."""
        return self.decode(self.passed(self.encode(frames, source))[0], source, target, frames.shape[-1])

    def code(self, frames: Tensor, speaker: str) -> Tensor:
        """`encode` of one speaker's frames."""
        return self.encode(frames, self._number(speaker, frames))

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.change(frames, self._number(source, frames), self._number(target, frames))

    def _number(self, speaker: str, frames: Tensor) -> Tensor:
        return torch.full((len(frames),), self.numbers[speaker], device=frames.device)


class BySpeaker(nn.Module):
    """A network for each speaker; a batch with as many items of each goes through them item by item."""

    def __init__(self, make: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.each = nn.ModuleList(make() for _ in range(speakers))

    def forward(self, x: Tensor, speakers: Tensor) -> Tensor:
        """`(batch, ...)` through the networks numbered `speakers` `(batch,)`."""
        order = speakers.argsort(stable=True)
        parts = x[order].chunk(len(self.each))
        made = torch.cat([network(part) for network, part in zip(self.each, parts, strict=True)])
        return made[order.argsort()]


class SpeakerDiscriminators(nn.Module):
    """A discriminator of real or fake for each speaker, told only whom frames are said to be of."""

    def __init__(self, make: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.judges = BySpeaker(make, speakers)

    def forward(self, frames: Tensor, source: Tensor, target: Tensor) -> Judgement:
        return Judgement(self.judges(frames, target))


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
