"""Interfaces of networks to training and conversion: converters between two speakers or many, decoders of content."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import ConfigError
from vc.features.speakers import MeanVariance

# Random draws for one training batch: their count for each item -> (batch, count), uniform in 0..1.
RandomDraws = Callable[[int], Tensor]


class AbstractNetwork(nn.Module, ABC):
    """What a model file holds: the network of a method."""

    extensible = False  # whether speakers can be added without changing the others' parts

    @staticmethod
    def fewest_parts(speakers: int) -> int:
        """How many parts with weights of their own a network of so many speakers has at least."""
        return 0


class AbstractConverter(AbstractNetwork):
    """Converts one speaker's normalised features to another's.

    Features are `(batch, bands, frames)`, normalised by the source's statistics before and by the target's after. There
    may be any number of frames; it stays the same.
    """

    @abstractmethod
    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        """Convert `(batch, bands, frames)` from speaker `source` to the same shape of speaker `target`."""


class AbstractDecoder(AbstractNetwork):
    """Decodes the content of any speaker's speech, as an encoder recognised it, to a target's features.

    Content `(batch, dims, frames)` and prosody `(batch, bands + 3, frames)` come from `normalise_content` and `prosody`
    of vc/features/content.py.

    Attributes
    ----------
    reach : int or None
        Number of frames before and after a frame on which it depends; None: all.
    """

    reach: int | None = None

    @abstractmethod
    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        """Log-mel `(batch, bands, frames)`, normalised by the target's statistics."""


class PairConverter(AbstractConverter):
    """A generator for each direction of a speaker pair: the base of the CycleGAN family.

    Parameters
    ----------
    config : dataclass
        The method's network settings.
    bands : int
        Size of a feature frame.
    speakers : tuple of str
        Source and target.

    Raises
    ------
    ConfigError
        If the number of speakers is not two.
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
        """A network from the `generator_input` of `(batch, bands, frames)` to that shape, for any number of frames."""

    @staticmethod
    @abstractmethod
    def discriminator(config: Any) -> nn.Module:
        """A network from `(batch, bands, frames)` to a map of real-or-fake logits, for any number of frames."""

    def segment_discriminator(self, config: Any, frames: int) -> nn.Module:
        """The same for segments of `frames` frames, which a fully connected last layer must know."""
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

    real: Tensor | None  # map of real or fake; None: fakes are the last class of `speakers`
    speakers: Tensor | None = None  # (batch, classes, positions), of each speaker; None: not classified


class MultiSpeakerConverter(AbstractConverter):
    """One network for every direction between many speakers: an encoder to a code, and a decoder from it.

    In training, speakers are given by index. Every speaker is the source of equally many segments of a batch and the
    target of as many, so that a network with parts for each speaker can split a batch without reading the indices.

    Parameters
    ----------
    speakers : tuple of str
        Two or more.

    Raises
    ------
    ConfigError
        If there are fewer than two speakers.
    """

    code_channels: int  # of a code at the decoder's input
    code_has_cost = False  # whether part of the network learns from the cost of the code alone
    classifies = False  # whether its discriminator classifies speakers instead of being conditioned on them
    has_fake_class = False  # whether fakes are one more of its classes, in place of real-or-fake logits
    fuses = False  # whether codes have confidences, by which `fuse` averages several

    def __init__(self, speakers: tuple[str, ...]):
        super().__init__()
        require(len(speakers) >= 2, f"two speakers or more are needed, got {len(speakers)}")
        self.speaker_indices = {name: index for index, name in enumerate(speakers)}

    @abstractmethod
    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        """Encode `(batch, bands, frames)` of the speakers with indices `(batch,)` as `(batch, channels, positions)`."""

    @abstractmethod
    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        """Decode a code of `source` to `(batch, bands, frames)` of `target`, both indices `(batch,)`."""

    @abstractmethod
    def discriminator(self, config: Any) -> nn.Module:
        """A network `(frames, source, target, draws) -> DiscriminatorOutput`.

        It takes `(batch, bands, frames)` labelled as `target` and, if converted, made from `source`. With `draws`, in
        training, it may apply dropout; of several batches end to end, each has draws of its own.
        """

    def apply_bottleneck(self, code: Tensor, draws: RandomDraws | None = None) -> tuple[Tensor, Tensor]:
        """The code after the bottleneck between encoder and decoder, and its cost: here the code itself, and 0.

        From `encode`'s output to `decode`'s input `(batch, code_channels, positions)`, and a scalar. With `draws`, in
        training, the code may be sampled.
        """
        return code, code.new_zeros(())

    def convert_batch(self, frames: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Convert `(batch, bands, frames)` of `source` to the same shape of `target`, speaker indices `(batch,)`."""
        code, _ = self.apply_bottleneck(self.encode(frames, source))
        return self.decode(code, source, target, frames.shape[-1])

    def code(self, frames: Tensor, speaker: str) -> Tensor:
        """Encode `(batch, bands, frames)` of one speaker, as `encode` does."""
        return self.encode(frames, self._indices(speaker, frames))

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        return self.convert_batch(frames, self._indices(source, frames), self._indices(target, frames))

    def _indices(self, speaker: str, frames: Tensor) -> Tensor:
        return torch.full((len(frames),), self.speaker_indices[speaker], device=frames.device)


class BySpeaker(nn.Module):
    """A network for each speaker; each item of a batch goes through its speaker's, equally many through each."""

    def __init__(self, build: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.each = nn.ModuleList(build() for _ in range(speakers))

    def forward(self, x: Tensor, speakers: Tensor) -> Tensor:
        """Apply to `(batch, ...)` the networks with indices `speakers` `(batch,)`."""
        order = speakers.argsort(stable=True)
        parts = x[order].chunk(len(self.each))
        outputs = torch.cat([network(part) for network, part in zip(self.each, parts, strict=True)])
        return outputs[order.argsort()]


class SpeakerDiscriminators(nn.Module):
    """A real-or-fake discriminator for each speaker, chosen by the target."""

    def __init__(self, build: Callable[[], nn.Module], speakers: int):
        super().__init__()
        self.discriminators = BySpeaker(build, speakers)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.discriminators(frames, target))


class FrameMap(nn.Module):
    """One direction of a converter, normalisation included: `(frames, bands)` to the same shape and type.

    The network computes in float32.

    Parameters
    ----------
    network : AbstractConverter
        On `device`.
    pair : tuple of str
        Source and target.
    normalisers : tuple of MeanVariance
        Of source and target.
    device : torch.device
        Device of the computation.
    unconverted : int
        How many of the first bands stay the source's: of mel-cepstra c0, the loudness.
    """

    def __init__(
        self,
        network: AbstractConverter,
        pair: tuple[str, str],
        normalisers: tuple[MeanVariance, MeanVariance],
        device: torch.device,
        *,
        unconverted: int = 1,
    ):
        super().__init__()
        self.network, self.pair, self.unconverted = network, pair, unconverted
        for side, normaliser in zip(("before", "after"), normalisers, strict=True):
            self.register_buffer(f"mean_{side}", torch.as_tensor(normaliser.mean_, device=device))
            self.register_buffer(f"deviation_{side}", torch.as_tensor(normaliser.deviation_, device=device))

    def forward(self, source: Tensor) -> Tensor:
        frames = (source - self.mean_before) / self.deviation_before
        frames = self.network.convert(frames.float().T[None], *self.pair)[0].T
        converted = frames.to(source.dtype) * self.deviation_after + self.mean_after
        return torch.cat([source[:, : self.unconverted], converted[:, self.unconverted :]], dim=1)
