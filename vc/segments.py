"""Unpaired segments of one length, drawn on the training device from features that live there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vc.errors import DataError


@dataclass(frozen=True)
class Batch:
    """Segments of the two speakers; nothing relates one to the other."""

    source: Tensor  # (batch, bands, frames), normalised
    target: Tensor  # (batch, bands, frames), normalised
    chance: Callable[[int], Tensor] | None = None  # how many -> (batch, how many) uniform in 0..1, for a step's lots


class Segments:
    """Random segments of one speaker: an utterance uniformly, then a place in it uniformly.

    All frames lie end to end on the device; a draw is two random numbers a segment and one gather.
    """

    def __init__(
        self, utterances: Sequence[np.ndarray], length: int, device: torch.device, who: str, unit: str = "frames"
    ):
        long_enough = [frames for frames in utterances if len(frames) >= length]
        if not long_enough:
            raise DataError(f"{who}: no utterance has {length} {unit}, the length of a training segment")
        self.skipped = len(utterances) - len(long_enough)
        self.length = length
        joined = torch.from_numpy(np.concatenate(long_enough).astype(np.float32))
        self.frames = joined.T.contiguous().to(device)  # (bands, all frames)
        lengths = torch.tensor([len(frames) for frames in long_enough])
        self.starts = (torch.cumsum(lengths, 0) - lengths).to(device)
        self.places = (lengths - length + 1).to(device)
        self.steps = torch.arange(length, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, bands, length)`."""
        chance = torch.rand(2, count, generator=generator, device=self.frames.device, dtype=torch.float64)
        utterance = (chance[0] * len(self.starts)).long()
        place = self.starts[utterance] + (chance[1] * self.places[utterance]).long()
        return self.frames[:, place[:, None] + self.steps].transpose(0, 1)


class PairSampler:
    """Batches of two speakers' segments, drawn independently; its random state is part of a checkpoint.

    Several processes draw the same and each takes its `share`: what they see together is what one would see alone.
    What a step draws by lot comes from the same generator, so that a run that goes on draws the same; a step that draws
    nothing leaves the generator as it is.
    """

    def __init__(self, source: Segments, target: Segments, batch: int, seed: int, share: slice = slice(None)):
        self.source, self.target, self.batch, self.share = source, target, batch, share
        self.generator = torch.Generator(source.frames.device).manual_seed(seed)

    def draw(self) -> Batch:
        source = self.source.draw(self.batch, self.generator)
        target = self.target.draw(self.batch, self.generator)
        return Batch(source[self.share], target[self.share], self._chance)

    def _chance(self, count: int) -> Tensor:
        device = self.generator.device
        return torch.rand(self.batch, count, generator=self.generator, device=device)[self.share]
