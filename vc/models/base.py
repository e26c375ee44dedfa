"""What a network is to training and conversion: a converter between two speakers or many, or a decoder of content."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import ConfigError
from vc.features.speakers import MeanVariance

Chance = Callable[[int], Tensor]  # how many -> uniform random numbers in 0..1, (batch, how many)


class AbstractConverter(nn.Module, ABC):
    """Turns one speaker's normalised features into another's.

    Features are `(batch, bands, frames)` of any number of frames, normalised by the source's statistics before and
    by the target's after; the number of frames is kept.
    """

    @abstractmethod
    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        """`(batch, bands, frames)` of `source` to the same shape of `target`."""


class AbstractDecoder(nn.Module, ABC):
    """Says in a target's voice what an encoder has recognised of anyone.

    Content is `(batch, dims, frames)`, without its speaker's mean and divided by the target's deviation; prosody
    `(batch, bands + 3, frames)`, as vc/features/content.py has it, in the target's terms.
    """

    @abstractmethod
    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        """`(batch, bands, frames)` of log-mel, normalised by the target's statistics."""


class PairConverter(AbstractConverter):
    """Two generators, and what their training needs to know of them."""

    def __init__(self, config: Any, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        if len(speakers) != 2:
            raise ConfigError(f"a CycleGAN converts between two speakers, got {len(speakers)}: {', '.join(speakers)}")
        self.speakers = tuple(speakers)
        self.directions = {tuple(speakers): "to_target", tuple(reversed(speakers)): "to_source"}
        names = ("to_target", "to_source")
        self.generators = nn.ModuleDict({name: self.generator(config, bands) for name in names})

    @staticmethod
    @abstractmethod
    def generator(config: Any, bands: int) -> nn.Module:
        """What `given` makes of `(batch, bands, frames)` to the same shape; any number of frames."""

    @staticmethod
    @abstractmethod
    def discriminator(config: Any) -> nn.Module:
        """`(batch, bands, frames)` to a map of real or fake, linear."""

    def given(self, frames: Tensor, chance: Chance | None = None) -> Tensor:
        """What a generator is given of `(batch, bands, frames)`: all of it.

        With `chance`, it is for a generator's first pass in training, from which a method may hide some.
        """
        return frames

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.generators[self.directions[source, target]](self.given(frames))


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


class FrameMap(nn.Module):
    """A network's way from one speaker's frames to another's, with both normalisations.

    `(frames, bands)` to the same shape and type; the network computes in float32. The first `kept` bands stay the
    source's: of mel-cepstra c0, the loudness.
    """

    def __init__(
        self,
        network: AbstractConverter,
        pair: tuple[str, str],
        normalisers: tuple[MeanVariance, MeanVariance],
        device: torch.device,
        kept: int = 1,
    ):
        """From the first of `pair` to the second, with the normalisers of both; `network` is on `device` already."""
        super().__init__()
        self.network, self.pair, self.kept = network, pair, kept
        for side, normaliser in zip(("before", "after"), normalisers, strict=True):
            self.register_buffer(f"mean_{side}", torch.as_tensor(normaliser.mean_, device=device))
            self.register_buffer(f"deviation_{side}", torch.as_tensor(normaliser.deviation_, device=device))

    def forward(self, given: Tensor) -> Tensor:
        frames = (given - self.mean_before) / self.deviation_before
        frames = self.network.convert(frames.float().T[None], *self.pair)[0].T
        converted = frames.to(given.dtype) * self.deviation_after + self.mean_after
        return torch.cat([given[:, : self.kept], converted[:, self.kept :]], dim=1)
