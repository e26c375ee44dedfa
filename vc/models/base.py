"""What every method's network is to a conversion."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vc.features.speakers import MeanVariance


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
