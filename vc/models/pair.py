"""What the CycleGAN family's networks have in common: a generator for each direction of a speaker pair."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from vc.errors import ConfigError
from vc.models.base import AbstractConverter

Chance = Callable[[int], Tensor]  # how many -> uniform random numbers in 0..1, (batch, how many)


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
