"""Unpaired segments of one length, drawn on the training device from features that live there."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vc.errors import DataError
from vc.features.speech import speech as find_speech

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Segments of the two speakers; nothing relates one to the other."""

    source: Tensor  # (batch, bands, frames), normalised
    target: Tensor  # (batch, bands, frames), normalised
    chance: Callable[[int], Tensor] | None = None  # how many -> (batch, how many) uniform in 0..1, for a step's lots


class Segments:
    """Random segments of one speaker: an utterance uniformly, then a place in it uniformly.

    All frames lie end to end on the device; a draw is two random numbers a segment and two gathers.

    Parameters
    ----------
    utterances : sequence of np.ndarray
        Shape `(frames, bands)` each.
    length : int
        Frames of a segment.
    device : torch.device
        Where they live.
    who, unit : str
        The speaker, and what a frame is called, for an error.
    speech : sequence of np.ndarray, optional
        Shape `(frames,)` each, true where there is speech. Half of a segment is speech at least, or as much as the
        utterance has at one place; an utterance without any is left out. Default: all is speech.
    """

    def __init__(
        self,
        utterances: Sequence[np.ndarray],
        length: int,
        device: torch.device,
        who: str,
        unit: str = "frames",
        speech: Sequence[np.ndarray] | None = None,
    ):
        usable = [len(frames) >= length for frames in utterances]
        if speech is not None:
            usable = [enough and bool(heard.any()) for enough, heard in zip(usable, speech, strict=True)]
        long_enough = list(compress(utterances, usable))
        if not long_enough:
            spoken = "" if speech is None else ", with speech among them"
            raise DataError(f"{who}: no utterance has {length} {unit}, the length of a training segment{spoken}")
        self.skipped = len(utterances) - len(long_enough)
        if self.skipped:
            reason = "shorter than a segment" if speech is None else "shorter than a segment, or silent"
            log.warning("%s: %d recordings are %s, and left out", who, self.skipped, reason)
        self.length = length
        joined = torch.from_numpy(np.concatenate(long_enough).astype(np.float32, copy=False))
        self.frames = joined.T.contiguous().to(device)  # (bands, all frames)
        lengths = torch.tensor([len(frames) for frames in long_enough])
        starts = torch.cumsum(lengths, 0) - lengths
        if speech is None:
            self.places, counts = None, lengths - length + 1
        else:
            places = [_places(heard, length) for heard in compress(speech, usable)]
            self.places = torch.cat([start + each for start, each in zip(starts, places)]).to(device)
            counts = torch.tensor([len(each) for each in places])
            starts = torch.cumsum(counts, 0) - counts
        self.starts, self.counts = starts.to(device), counts.to(device)
        self.steps = torch.arange(length, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, bands, length)`."""
        chance = torch.rand(2, count, generator=generator, device=self.frames.device, dtype=torch.float64)
        utterance = (chance[0] * len(self.starts)).long()
        place = self.starts[utterance] + (chance[1] * self.counts[utterance]).long()
        place = place if self.places is None else self.places[place]
        return self.frames[:, place[:, None] + self.steps].transpose(0, 1)


def _places(speech: np.ndarray, length: int) -> Tensor:
    """Where segments of `length` may begin in an utterance, by its frames `(frames,)` of speech."""
    sums = np.concatenate([[0], np.cumsum(speech)])
    heard = sums[length:] - sums[: len(sums) - length]
    return torch.from_numpy(np.flatnonzero(heard >= min(length / 2, heard.max())))


@dataclass(frozen=True)
class ManyBatch:
    """Segments of many speakers, each with the speaker that it is to be converted to."""

    frames: Tensor  # (batch, bands, frames), each normalised by its speaker's statistics
    speakers: Tensor  # (batch,) numbers of the speakers, in the order of the model's
    targets: Tensor  # (batch,) numbers of others
    chance: Callable[[int], Tensor] | None = None  # as in Batch


class SegmentSampler(ABC):
    """Batches of speakers' segments, drawn independently; its random state is part of a checkpoint.

    Several processes draw the same and each takes its `share`: what they see together is what one would see alone.
    What a step draws by lot comes from the same generator, so that a run that goes on draws the same; a step that draws
    nothing leaves the generator as it is.
    """

    def __init__(self, segments: Sequence[Segments], batch: int, seed: int, share: slice = slice(None)):
        """`batch` segments of each speaker of `segments`."""
        self.segments, self.batch, self.share = segments, batch, share
        self.generator = torch.Generator(segments[0].frames.device).manual_seed(seed)

    @classmethod
    def of(cls, experiment: Any, features: Any, device: torch.device, share: slice) -> "SegmentSampler":
        """Of the speakers of an experiment (vc/train/experiment.py), from features (vc/features/store.py)."""
        settings, segments = experiment.training, []
        for speaker in experiment.speakers:
            normaliser, utterances = features.speakers[speaker].normaliser, features.frames(speaker)
            heard = find_speech([features.config.to_mel_cepstrum(frames) for frames in utterances])
            normalised = [normaliser.transform(frames) for frames in utterances]
            segments.append(Segments(normalised, settings.segment, device, speaker, speech=heard))
        return cls(segments, settings.batch, settings.seed, share)

    @abstractmethod
    def draw(self) -> Any:
        """The next batch."""

    def _draw(self) -> list[Tensor]:
        """`(batch, bands, frames)` of each speaker."""
        return [own.draw(self.batch, self.generator)[self.share] for own in self.segments]

    def _chance(self, count: int) -> Tensor:
        return self._lots(self.batch, count)[self.share]

    def _lots(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.generator.device)


class PairSampler(SegmentSampler):
    """Of two speakers, each by himself."""

    def draw(self) -> Batch:
        return Batch(*self._draw(), self._chance)


class ManySampler(SegmentSampler):
    """Of any number of speakers in one batch, each segment with a target drawn evenly from the others.

    The n-th segments of all speakers have a different target each, so that every speaker is one as often.
    """

    def draw(self) -> ManyBatch:
        count = len(self.segments)
        frames = torch.stack(self._draw())  # (speakers, batch, bands, frames)
        turns = 1 + (self._lots(self.batch)[self.share] * (count - 1)).long()
        speakers = torch.arange(count, device=frames.device)[:, None].expand(frames.shape[:2])
        return ManyBatch(
            frames.flatten(0, 1), speakers.flatten(), ((speakers + turns) % count).flatten(), self._chances
        )

    def _chances(self, count: int) -> Tensor:
        """As `_chance`, for the segments of all speakers."""
        return self._lots(len(self.segments), self.batch, count)[:, self.share].flatten(0, 1)
