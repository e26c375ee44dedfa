"""Batches of random segments of one length, drawn on the training device from features or samples that live there."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vc import phrases
from vc.errors import DataError
from vc.features.mel import MelConfig, log_mel
from vc.features.speech import speech as find_speech
from vc.models.base import RandomDraws

log = logging.getLogger(__name__)


class Segments:
    """Random segments of one speaker: an utterance uniformly, then a position in it uniformly.

    All frames lie end to end on the device; a draw is two random numbers a segment and two gathers.

    Parameters
    ----------
    utterances : sequence of np.ndarray
        Shape `(frames, bands)` each.
    length : int
        Frames of a segment.
    device : torch.device
        Where they live.
    name : str
        The speaker, for an error.
    unit : str, optional
        What a frame is called in an error.
    speech : sequence of np.ndarray, optional
        Shape `(frames,)` each, true where there is speech. Half of a segment is speech at least, or as much as the
        utterance has at one place; an utterance without any is left out. Default: all is speech.

    Raises
    ------
    DataError
        If no utterance is long enough.
    """

    def __init__(
        self,
        utterances: Sequence[np.ndarray],
        length: int,
        device: torch.device,
        name: str,
        *,
        unit: str = "frames",
        speech: Sequence[np.ndarray] | None = None,
    ):
        usable = [len(frames) >= length for frames in utterances]
        if speech is not None:
            usable = [enough and bool(mask.any()) for enough, mask in zip(usable, speech, strict=True)]
        long_enough = list(compress(utterances, usable))
        if not long_enough:
            condition = "" if speech is None else ", with speech among them"
            raise DataError(f"{name}: no utterance has {length} {unit}, the length of a training segment{condition}")
        self.skipped = len(utterances) - len(long_enough)
        if self.skipped:
            reason = "shorter than a segment" if speech is None else "shorter than a segment, or silent"
            log.warning("%s: left out, %s: %s", name, reason, phrases.count(self.skipped, "recording"))
        self.length = length
        joined = torch.from_numpy(np.concatenate(long_enough).astype(np.float32, copy=False))
        self.frames = joined.T.contiguous().to(device)  # (bands, all frames)
        lengths = torch.tensor([len(frames) for frames in long_enough])
        starts = torch.cumsum(lengths, 0) - lengths
        if speech is None:
            self.positions, counts = None, lengths - length + 1
        else:
            positions = []  # where segments may begin in each utterance
            for mask in compress(speech, usable):
                sums = np.concatenate([[0], np.cumsum(mask)])
                spoken = sums[length:] - sums[: len(sums) - length]  # frames of speech in each segment
                enough = spoken >= min(length / 2, spoken.max())
                positions.append(torch.from_numpy(np.flatnonzero(enough)))
            self.positions = torch.cat([start + some for start, some in zip(starts, positions)]).to(device)
            counts = torch.tensor([len(some) for some in positions])
            starts = torch.cumsum(counts, 0) - counts
        self.starts, self.counts = starts.to(device), counts.to(device)  # of each utterance's positions
        self.steps = torch.arange(length, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`(count, bands, length)`."""
        draws = torch.rand(2, count, generator=generator, device=self.frames.device, dtype=torch.float64)
        utterance = (draws[0] * len(self.starts)).long()
        position = self.starts[utterance] + (draws[1] * self.counts[utterance]).long()
        position = position if self.positions is None else self.positions[position]
        return self.frames[:, position[:, None] + self.steps].transpose(0, 1)


@dataclass(frozen=True)
class Batch:
    """Segments of the two speakers of a pair; nothing relates one to the other."""

    source: Tensor  # (batch, bands, frames), normalised
    target: Tensor  # (batch, bands, frames), normalised
    random_draws: RandomDraws | None = None  # for what a step draws


@dataclass(frozen=True)
class MultiSpeakerBatch:
    """Segments of many speakers, each with the speaker that it is to be converted to."""

    frames: Tensor  # (batch, bands, frames), each normalised by its speaker's statistics
    speakers: Tensor  # (batch,) numbers of the speakers, in the order of the model's
    targets: Tensor  # (batch,) numbers of others
    random_draws: RandomDraws | None = None  # for what a step draws


class SegmentSampler(ABC):
    """Batches of speakers' segments, drawn independently; its random state is part of a checkpoint.

    Several processes draw the same and each takes its share: what they see together is what one would see alone. What
    a step draws comes from the same generator, so that a resumed run draws the same; a step that draws nothing leaves
    the generator as it is.

    Parameters
    ----------
    segments : sequence of Segments
        One for each speaker.
    batch : int
        Segments of each speaker.
    seed : int
    share : slice, optional
        Of the batch, for this process.
    """

    def __init__(self, segments: Sequence[Segments], *, batch: int, seed: int, share: slice = slice(None)):
        self.segments, self.batch, self.share = segments, batch, share
        self.generator = torch.Generator(segments[0].frames.device).manual_seed(seed)

    @classmethod
    def from_features(cls, experiment: Any, features: Any, device: torch.device, share: slice) -> "SegmentSampler":
        """For the speakers of an experiment (vc/train/experiment.py), from features (vc/features/store.py)."""
        settings, segments = experiment.training, []
        for speaker in experiment.speakers:
            normaliser, utterances = features.speakers[speaker].normaliser, features.frames(speaker)
            masks = find_speech([features.config.to_mel_cepstrum(frames) for frames in utterances])
            normalised = [normaliser.transform(frames) for frames in utterances]
            segments.append(Segments(normalised, settings.segment, device, speaker, speech=masks))
        return cls(segments, batch=settings.batch, seed=settings.seed, share=share)

    @abstractmethod
    def draw(self) -> Any:
        """The next batch."""

    def _draw_segments(self) -> list[Tensor]:
        """`(batch, bands, frames)` of each speaker."""
        return [segments.draw(self.batch, self.generator)[self.share] for segments in self.segments]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.generator.device)


class PairSampler(SegmentSampler):
    """Batches of two speakers, each drawn independently."""

    def draw(self) -> Batch:
        return Batch(*self._draw_segments(), lambda count: self._rand(self.batch, count)[self.share])


class MultiSpeakerSampler(SegmentSampler):
    """Batches of any number of speakers, each segment with a target drawn evenly from the others.

    The n-th segments of all speakers have a different target each, so that every speaker is one as often.
    """

    def draw(self) -> MultiSpeakerBatch:
        count = len(self.segments)
        frames = torch.stack(self._draw_segments())  # (speakers, batch, bands, frames)
        shifts = 1 + (self._rand(self.batch)[self.share] * (count - 1)).long()
        speakers = torch.arange(count, device=frames.device)[:, None].expand(frames.shape[:2])
        targets = (speakers + shifts) % count
        return MultiSpeakerBatch(frames.flatten(0, 1), speakers.flatten(), targets.flatten(), self._random_draws)

    def _random_draws(self, count: int) -> Tensor:
        return self._rand(len(self.segments), self.batch, count)[:, self.share].flatten(0, 1)


@dataclass(frozen=True)
class WaveBatch:
    """Segments of waveforms and the frames that a vocoder makes them from."""

    mel: Tensor  # (batch, bands, frames)
    samples: Tensor  # (batch, frames * hop), aligned with them


class WaveSampler:
    """Batches of random segments of recordings for a vocoder; its random state is part of a checkpoint.

    Log-mel frames are computed as they are drawn, and are those of the whole recording: a segment is drawn with so many
    samples beyond either end that no window reaches what `log_mel` reflects there.

    Parameters
    ----------
    recordings : sequence of np.ndarray
        `(samples,)` each, at the rate of `mel`.
    mel : MelConfig
    device : torch.device
    frames : int
        Length of a segment.
    batch, seed : int
    share : slice, optional
        Of the batch, for this process.
    """

    def __init__(
        self,
        recordings: Sequence[np.ndarray],
        mel: MelConfig,
        device: torch.device,
        *,
        frames: int,
        batch: int,
        seed: int,
        share: slice = slice(None),
    ):
        self.mel, self.batch, self.share = mel, batch, share
        self.margin = math.ceil(mel.margin / mel.hop)  # frames beyond either end
        length = (frames + 2 * self.margin) * mel.hop
        columns = [samples[:, None] for samples in recordings]
        self.segments = Segments(columns, length, device, "the data", unit=f"samples at {mel.sample_rate} Hz")
        self.generator = torch.Generator(device).manual_seed(seed)

    def draw(self) -> WaveBatch:
        """The next batch."""
        samples = self.segments.draw(self.batch, self.generator)[self.share, 0]
        inner, hop = slice(self.margin, -self.margin or None), self.mel.hop
        frames = log_mel(samples, self.mel)[:, :, inner]
        return WaveBatch(frames, samples.unflatten(1, (-1, hop))[:, inner].flatten(1))
