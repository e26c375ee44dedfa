"""What a network is to training and conversion: a converter between two speakers or many, or a decoder of content."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import ConfigError
from vc.features.speakers import MeanVariance

# Draws for one training batch: a number of draws for each item -> (batch, number), uniform in 0..1.
RandomDraws = Callable[[int], Tensor]


class AbstractConverter(nn.Module, ABC):
    """Turns one speaker's normalised features into another's.

    Features are `(batch, bands, frames)` of any number of frames, normalised by the source's statistics before and
    by the target's after; the number of frames is kept.
    """

    @abstractmethod
    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        """`(batch, bands, frames)` of `source` to the same shape of `target`."""


class AbstractDecoder(nn.Module, ABC):
    """Makes a target's features from the content of any speaker, as an encoder recognised it.

    Content is `(batch, dims, frames)`, less its speaker's mean and divided by the target's deviation; prosody is
    `(batch, bands + 3, frames)`, as vc/features/content.py defines it, normalised by the target's statistics.
    """

    @abstractmethod
    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        """`(batch, bands, frames)` of log-mel, normalised by the target's statistics."""


class PairConverter(AbstractConverter):
    """A generator for each direction of a speaker pair: what the networks of the CycleGAN family have in common.

    Parameters
    ----------
    config : dataclass
        The method's network section.
    bands : int
        Of a feature frame.
    speakers : tuple of str
        Source and target.

    Raises
    ------
    ConfigError
        If there are not two speakers.
    """

    def __init__(self, config: Any, bands: int, speakers: tuple[str, ...]):
        super().__init__()
        if len(speakers) != 2:
            raise ConfigError(f"a CycleGAN converts between two speakers, got {len(speakers)}: {', '.join(speakers)}")
        self.speakers, self.bands = tuple(speakers), bands
        self.directions = {tuple(speakers): "to_target", tuple(reversed(speakers)): "to_source"}
        names = ("to_target", "to_source")
        self.generators = nn.ModuleDict({name: self.generator(config, bands) for name in names})

    @staticmethod
    @abstractmethod
    def generator(config: Any, bands: int) -> nn.Module:
        """A network from `generator_input` of `(batch, bands, frames)` to that shape; any number of frames."""

    @staticmethod
    @abstractmethod
    def discriminator(config: Any) -> nn.Module:
        """A network from `(batch, bands, frames)` to a map of logits, real or fake; any number of frames."""

    def segment_discriminator(self, config: Any, frames: int) -> nn.Module:
        """The same for segments of so many frames, which a method's last layer may need to know."""
        return self.discriminator(config)

    def generator_input(self, frames: Tensor, draws: RandomDraws | None = None) -> Tensor:
        """The input of a generator for frames `(batch, bands, frames)`: here the frames themselves.

        With `draws`, it is the input of a generator's first pass in training, in which a method may mask frames.
        """
        return frames

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.generators[self.directions[source, target]](self.generator_input(frames))


class DiscriminatorOutput(NamedTuple):
    """The logits of a discriminator."""

    real: Tensor | None  # map of real or fake; None: a fake is a class of its own, behind the speakers
    speakers: Tensor | None = None  # (batch, classes, positions): whose frames they are; None: not classified


class ManyConverter(AbstractConverter):
    """One network for every direction between many speakers: an encoder into a code, and a decoder out of it.

    Training passes speakers by their numbers. A training batch has as many segments of each speaker, and as many for
    each, so that a network with parts for each speaker can divide it without looking at the numbers.

    Parameters
    ----------
    speakers : tuple of str
        Two or more.

    Raises
    ------
    ConfigError
        If there are fewer speakers.
    """

    extensible = False  # whether speakers can be added while the others' parts stay as they are
    code_has_cost = False  # whether part of the network learns from the cost of the code alone
    classifies = False  # whether its discriminator classifies speakers instead of being conditioned on them
    has_fake_class = False  # whether it has one class more, of fakes, and no other answer
    fuses = False  # whether codes have confidences, by which `fuse` makes one of several

    def __init__(self, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        self.numbers = {name: number for number, name in enumerate(speakers)}

    @abstractmethod
    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        """Code `(batch, channels, positions)` of `(batch, bands, frames)` of the speakers numbered `(batch,)`."""

    @abstractmethod
    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        """`(batch, bands, frames)` of `target` from the code of `source`, both numbers `(batch,)`."""

    @property
    @abstractmethod
    def code_channels(self) -> int:
        """Channels of a code at the decoder's input."""

    @abstractmethod
    def discriminator(self, config: Any) -> nn.Module:
        """A network `(frames, source, target, draws) -> DiscriminatorOutput`.

        It judges `(batch, bands, frames)` that are said to be of `target` and, if converted, come from `source`. With
        `draws`, in training, a method may leave values out; several batches end to end draw one after the other.
        """

    def pass_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        """The code behind the bottleneck between encoder and decoder, and its cost: here the code itself, and 0.

        With `draws`, in training, a method may sample it.
        """
        return code, code.new_zeros(())

    def convert_batch(self, frames: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """`(batch, bands, frames)` of the speakers numbered `source` `(batch,)` to the same shape of `target`."""
        code, _ = self.pass_bottleneck(self.encode(frames, source))
        return self.decode(code, source, target, frames.shape[-1])

    def code(self, frames: Tensor, speaker: str) -> Tensor:
        """`encode` of one speaker's frames."""
        return self.encode(frames, self._number(speaker, frames))

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.convert_batch(frames, self._number(source, frames), self._number(target, frames))

    def _number(self, speaker: str, frames: Tensor) -> Tensor:
        return torch.full((len(frames),), self.numbers[speaker], device=frames.device)


class BySpeaker(nn.Module):
    """A network for each speaker; a batch with as many items of each goes through them item by item."""

    def __init__(self, build: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.each = nn.ModuleList(build() for _ in range(speakers))

    def forward(self, x: Tensor, speakers: Tensor) -> Tensor:
        """`(batch, ...)` through the networks numbered `speakers` `(batch,)`."""
        order = speakers.argsort(stable=True)
        parts = x[order].chunk(len(self.each))
        outputs = torch.cat([network(part) for network, part in zip(self.each, parts, strict=True)])
        return outputs[order.argsort()]


class SpeakerDiscriminators(nn.Module):
    """A discriminator of real or fake for each speaker, chosen by the target."""

    def __init__(self, build: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.judges = BySpeaker(build, speakers)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.judges(frames, target))


class FrameMap(nn.Module):
    """One direction of a converter with both speakers' normalisations: `(frames, bands)` to the same shape and type.

    The network computes in float32.

    Parameters
    ----------
    network : AbstractConverter
        On `device`.
    pair : tuple of str
        Source and target.
    normalisers : tuple of MeanVariance
        Theirs, in this order.
    device : torch.device
        Where the map computes.
    kept : int
        The first bands, which stay the source's: of mel-cepstra c0, the loudness.
    """

    def __init__(
        self,
        network: AbstractConverter,
        pair: tuple[str, str],
        normalisers: tuple[MeanVariance, MeanVariance],
        device: torch.device,
        *,
        kept: int = 1,
    ):
        super().__init__()
        self.network, self.pair, self.kept = network, pair, kept
        for side, normaliser in zip(("before", "after"), normalisers, strict=True):
            self.register_buffer(f"mean_{side}", torch.as_tensor(normaliser.mean_, device=device))
            self.register_buffer(f"deviation_{side}", torch.as_tensor(normaliser.deviation_, device=device))

    def forward(self, source: Tensor) -> Tensor:
        frames = (source - self.mean_before) / self.deviation_before
        frames = self.network.convert(frames.float().T[None], *self.pair)[0].T
        converted = frames.to(source.dtype) * self.deviation_after + self.mean_after
        return torch.cat([source[:, : self.kept], converted[:, self.kept :]], dim=1)
