"""What every method's network is to a conversion."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class AbstractConverter(nn.Module, ABC):
    """Turns one speaker's normalised features into another's.

    Features are `(batch, bands, frames)` of any number of frames, normalised by the source's statistics before and
    by the target's after; the number of frames is kept.
    """

    @abstractmethod
    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        """`(batch, bands, frames)` of `source` to the same shape of `target`."""
