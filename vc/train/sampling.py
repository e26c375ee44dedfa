"""Batches of random segments of equal length, drawn on the training device from features or samples held there."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vc import phrases
from vc.errors import DataError
from vc.features.mel import MelConfig, log_mel
from vc.features.speech import speech as find_speech
from vc.features.store import Features
from vc.models.base import RandomDraws

log = logging.getLogger(__name__)


def spread_indices(count: int, largest: int, device: torch.device) -> Tensor:
    """Indices of `count` items on `device`, or of `largest` of them, evenly spread.

    As `vc.metrics.arrays.evenly_spread`, but for rounding: in float32, some indices of a long list are one off.
    """
    positions = torch.linspace(0, count - 1, min(largest, count), device=device)
    return positions.round().long().clamp(max=count - 1)  # float32 has no odd numbers above 2**24


class Segments:
    """Draws random segments of one speaker: a uniformly chosen utterance, then a uniform position in it.

    All frames are on the device, utterance after utterance; a draw is two random numbers a segment and two gathers.

    Parameters
    ----------
    utterances : sequence of np.ndarray
        Shape `(frames, bands)` each.
    length : int
        Frames of a segment.
    device : torch.device
        Where to hold the frames.
    name : str
        The speaker, for error messages.
    unit : str, optional
        What frames are called in error messages.
    speech : sequence of np.ndarray, optional
        Shape `(frames,)` each, true in speech. At least half of a segment is speech, or as much as a segment of the
        utterance can have; utterances without any are left out. Default: all is speech.

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
            positions = []  # where segments may start in each utterance
            for mask in compress(speech, usable):
                sums = np.concatenate([[0], np.cumsum(mask)])
                speech_frames = sums[length:] - sums[: len(sums) - length]  # in the segment from each position
                enough = speech_frames >= min(length / 2, speech_frames.max())
                positions.append(torch.from_numpy(np.flatnonzero(enough)))
            self.positions = torch.cat([start + offsets for start, offsets in zip(starts, positions)]).to(device)
            counts = torch.tensor([len(offsets) for offsets in positions])
            starts = torch.cumsum(counts, 0) - counts
        self.starts, self.counts = starts.to(device), counts.to(device)  # of each utterance's positions
        self.steps = torch.arange(length, device=device)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw segments `(count, bands, length)`."""
        return self.at(self.draw_positions(count, generator))

    def draw_positions(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw positions of segments `(count,)`, for `at`."""
        draws = torch.rand(2, count, generator=generator, device=self.frames.device, dtype=torch.float64)
        utterance = (draws[0] * len(self.starts)).long()
        position = self.starts[utterance] + (draws[1] * self.counts[utterance]).long()
        return position if self.positions is None else self.positions[position]

    def at(self, positions: Tensor) -> Tensor:
        """The segments `(count, bands, length)` that begin at `positions`, of this or of an equally divided set."""
        return self.frames[:, positions[:, None] + self.steps].transpose(0, 1)


@dataclass(frozen=True)
class Batch:
    """Unpaired segments of the two speakers of a pair."""

    source: Tensor  # (batch, bands, frames), normalised
    target: Tensor  # (batch, bands, frames), normalised
    random_draws: RandomDraws | None = None  # for the step


@dataclass(frozen=True)
class MultiSpeakerBatch:
    """Segments of many speakers, each with a target speaker."""

    frames: Tensor  # (batch, bands, frames), each normalised by its speaker's statistics
    speakers: Tensor  # (batch,) indices of the speakers, in the model's order
    targets: Tensor  # (batch,) indices of other speakers
    random_draws: RandomDraws | None = None  # for the step


class BatchSampler(ABC):
    """Draws batches on the training device; its random state is part of a checkpoint.

    Several processes draw the same batch and each takes its share, so that together they see what one would see alone.
    A step's own draws come from the same generator, so that a resumed run has the same; a step without draws leaves the
    generator unchanged.

    Parameters
    ----------
    device : torch.device
    batch : int
        Segments of each speaker, over all processes.
    seed : int
    share : slice, optional
        This process's part of the batch.
    """

    def __init__(self, device: torch.device, *, batch: int, seed: int, share: slice = slice(None)):
        self.batch, self.share = batch, share
        self.generator = torch.Generator(device).manual_seed(seed)

    @abstractmethod
    def draw(self) -> Any:
        """The next batch."""

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.generator.device)

    def _step_draws(self, speakers: int, count: int) -> Tensor:
        """Random numbers `(segments, count)` in 0..1 for this process's segments of a number of speakers."""
        return self._rand(speakers, self.batch, count)[:, self.share].flatten(0, 1)

    def _draw_targets(self, speakers: int) -> Tensor:
        """Index `(segments,)` of another speaker, drawn uniformly, for each of this process's segments of all speakers.

        The n-th segments of all speakers have different targets, so that all speakers are targets equally often.
        """
        shifts = 1 + (self._rand(self.batch)[self.share] * (speakers - 1)).long()
        return ((torch.arange(speakers, device=shifts.device)[:, None] + shifts) % speakers).flatten()


class SegmentSampler(BatchSampler):
    """Draws batches of speakers' segments, independently.

    Parameters
    ----------
    segments : sequence of Segments
        One for each speaker.
    options
        As of BatchSampler.
    """

    def __init__(self, segments: Sequence[Segments], **options: Any):
        super().__init__(segments[0].frames.device, **options)
        self.segments = segments

    @classmethod
    def from_features(cls, experiment: Any, features: Features, device: torch.device, share: slice) -> "SegmentSampler":
        """Build the sampler of an experiment (vc/train/experiment.py) from features."""
        settings, segments = experiment.training, []
        for speaker in experiment.speakers:
            normaliser, utterances = features.speakers[speaker].normaliser, features.frames(speaker)
            masks = find_speech([features.config.to_mel_cepstrum(frames) for frames in utterances])
            normalised = [normaliser.transform(frames) for frames in utterances]
            segments.append(Segments(normalised, settings.segment, device, speaker, speech=masks))
        return cls(segments, batch=settings.batch, seed=settings.seed, share=share)

    def _draw_segments(self) -> list[Tensor]:
        """Segments `(batch, bands, frames)` of each speaker."""
        return [segments.draw(self.batch, self.generator)[self.share] for segments in self.segments]


class PairSampler(SegmentSampler):
    """Draws batches of two speakers, independently of each other."""

    def draw(self) -> Batch:
        return Batch(*self._draw_segments(), partial(self._step_draws, 1))


class MultiSpeakerSampler(SegmentSampler):
    """Draws batches of any number of speakers, each segment with another speaker as its target."""

    def draw(self) -> MultiSpeakerBatch:
        count, frames = len(self.segments), torch.cat(self._draw_segments())
        speakers = torch.arange(count, device=frames.device).repeat_interleave(len(frames) // count)
        return MultiSpeakerBatch(frames, speakers, self._draw_targets(count), partial(self._step_draws, count))


@dataclass(frozen=True)
class WaveBatch:
    """Segments of waveforms and their log-mel frames."""

    mel: Tensor  # (batch, bands, frames)
    samples: Tensor  # (batch, frames * hop), aligned with them


class WaveSampler(BatchSampler):
    """Draws batches of random segments of recordings for a vocoder.

    Log-mel frames are computed after drawing and equal those of the whole recording: a segment is drawn with enough
    samples beyond either end that no window reaches the reflection padding of `log_mel`.

    Parameters
    ----------
    recordings : sequence of np.ndarray
        Shape `(samples,)` each, at the sample rate of `mel`.
    mel : MelConfig
    device : torch.device
    frames : int
        Length of a segment.
    options
        As of BatchSampler.
    """

    def __init__(
        self, recordings: Sequence[np.ndarray], mel: MelConfig, device: torch.device, *, frames: int, **options: Any
    ):
        super().__init__(device, **options)
        self.mel, self.margin = mel, math.ceil(mel.margin / mel.hop)  # frames beyond either end
        length = (frames + 2 * self.margin) * mel.hop
        columns = [samples[:, None] for samples in recordings]
        self.segments = Segments(columns, length, device, "the data", unit=f"samples at {mel.sample_rate} Hz")

    def draw(self) -> WaveBatch:
        samples = self.segments.draw(self.batch, self.generator)[self.share, 0]
        inner, hop = slice(self.margin, -self.margin or None), self.mel.hop
        frames = log_mel(samples, self.mel)[:, :, inner]
        return WaveBatch(frames, samples.unflatten(1, (-1, hop))[:, inner].flatten(1))


class DecodedWaveSampler(BatchSampler):
    """Draws batches of random segments of recordings and of log-mel frames that a decoder made of them.

    Parameters
    ----------
    recordings : sequence of np.ndarray
        Shape `(samples,)` each.
    log_mels : sequence of np.ndarray
        Of each recording, shape `(ceil(samples / hop), bands)`.
    hop : int
        Samples of a frame.
    device : torch.device
    frames : int
        Length of a segment.
    options
        As of BatchSampler.
    """

    def __init__(
        self,
        recordings: Sequence[np.ndarray],
        log_mels: Sequence[np.ndarray],
        hop: int,
        device: torch.device,
        *,
        frames: int,
        **options: Any,
    ):
        super().__init__(device, **options)
        self.log_mels = Segments(log_mels, frames, device, "the data")
        hops = [  # of the same recordings as are in `log_mels`
            np.pad(samples, (0, len(decoded) * hop - len(samples))).reshape(-1, hop)
            for samples, decoded in zip(recordings, log_mels, strict=True)
            if len(decoded) >= frames
        ]
        self.hops = Segments(hops, frames, device, "the data")

    def draw(self) -> WaveBatch:
        positions = self.log_mels.draw_positions(self.batch, self.generator)[self.share]
        samples = self.hops.at(positions).transpose(1, 2).flatten(1)
        return WaveBatch(self.log_mels.at(positions), samples)
