"""Batches for a decoder of content vectors: segments of the targets, each with content from which to decode it.

In a conversion the content is another speaker's, and a decoder trained on the target's own alone overfits to it. So a
segment's content is drawn from three kinds: its own; its frames' nearest neighbours in the target's other recordings;
and those in other speakers' recordings, if there are any. Matched content carries the same words and fits less well, as
another speaker's does (prematched training, after Baas, van Niekerk and Kamper, "Voice conversion with just nearest
neighbors", Interspeech 2023, sec. 3.2, who match a vocoder's inputs). If speakers share sentences, there is a fourth
kind: another speaker's rendering of the sentence, aligned in time, as a conversion will have it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, cycle, islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vc.config import require
from vc.features.content import normalise_content, prosody, standard_loudness
from vc.features.speech import speech
from vc.features.store import Features
from vc.metrics.alignment import align
from vc.models.base import RandomDraws
from vc.train.sampling import BatchSampler, Segments, spread_indices

CHUNK = 2048  # content frames that are matched at a time
MAX_CANDIDATES = 40_000  # content frames among which neighbours are searched: about fifteen minutes
UNSEEN_EVERY = 10  # every tenth recording is excluded from the losses, if there are at least twice as many
UNSEEN_SHARE = 4  # segments of a batch for each one of the excluded recordings
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ContentBatch:
    """Segments of the targets, each with content from which to decode it."""

    content: Tensor  # (batch, dims, frames)
    prosody: Tensor  # (batch, bands + 3, frames)
    log_mel: Tensor  # (batch, bands, frames), normalised
    speakers: Tensor  # (batch,) indices
    own_content: Tensor | None = None  # (batch, dims, frames), each segment's own, if there are conversions
    targets: Tensor | None = None  # (batch,) indices of the other speakers to whom segments are converted, if any
    unseen: "ContentBatch | None" = None  # of recordings excluded from the losses, to measure the decoder's variance
    random_draws: RandomDraws | None = None  # for the step


class ContentSampler(BatchSampler):
    """Draws batches of the speakers' segments.

    Parameters
    ----------
    recordings : sequence of Recordings
        One for each speaker.
    weights : sequence of float
        Relative frequencies of the kinds of content.
    conversions : bool, optional
        Whether each segment also has its own content, and another speaker as its target.
    options
        As of BatchSampler.
    """

    def __init__(
        self,
        recordings: Sequence["Recordings"],
        weights: Sequence[float],
        *,
        conversions: bool = False,
        **options: Any,
    ):
        device = recordings[0].segments.frames.device
        super().__init__(device, **options)
        self.recordings, self.conversions = recordings, conversions
        self.bounds = torch.cumsum(torch.tensor(weights, dtype=torch.float64, device=device), 0) / sum(weights)

    @classmethod
    def from_features(cls, experiment: Any, features: Features, device: torch.device, share: slice) -> "ContentSampler":
        """Build the sampler for the speakers of an experiment, and match their content."""
        objective, settings = experiment.objective, experiment.training
        speakers = {name: SpeakerContent.from_features(features, name, device) for name in experiment.speakers}
        partners = {
            name: [other for other in speakers.values() if other.shares_sentence(speaker)]
            for name, speaker in speakers.items()
        }
        most_partners, recordings = max(map(len, partners.values())), []
        for name, speaker in speakers.items():
            others = [other for other in speakers.values() if other is not speaker]
            prematched = match(speaker, [speaker], objective.neighbours)
            kinds_of_content = [(objective.unmatched, speaker.frames), (objective.prematched, prematched)]
            if others:
                kinds_of_content.append((objective.matched, match(speaker, others, objective.neighbours)))
            if objective.aligned > 0:
                require(bool(partners[name]), f"objective.aligned: {name} shares no sentence with another speaker")
                weight, fallback = objective.aligned / most_partners, kinds_of_content[-1][1]
                for partner in islice(cycle(partners[name]), most_partners):  # as many kinds for each speaker
                    kinds_of_content.append((weight, align_renderings(speaker, partner, fallback)))
            weights, contents = zip(*kinds_of_content)
            recordings.append(Recordings.from_features(features, name, contents, settings.segment, device))
        converts = len(speakers) > 1 and bool(objective.conversion_losses)
        size = {"batch": settings.batch, "seed": settings.seed, "share": share}
        return cls(recordings, weights, **size, conversions=converts)

    def draw(self) -> ContentBatch:
        draws = [recordings.draw(self.batch, self.bounds, self.generator) for recordings in self.recordings]
        parts = [recordings.parts(*draw) for recordings, draw in zip(self.recordings, draws)]
        speakers = len(self.recordings)
        batch = replace(_join(parts, self.share), random_draws=partial(self._step_draws, speakers))
        if self.conversions:
            targets = self._draw_targets(speakers)
            contents = [recordings.content(rows[self.share]) for recordings, (rows, _) in zip(self.recordings, draws)]
            batch = replace(batch, own_content=torch.cat(contents), targets=targets)
        count = max(1, self.batch // UNSEEN_SHARE)
        unseen = [recordings.parts(*recordings.draw_unseen(count, self.generator)) for recordings in self.recordings]
        return replace(batch, unseen=_join(unseen, slice(None)))  # the same in all processes


def _join(parts: Sequence[tuple[Tensor, Tensor, Tensor]], share: slice) -> ContentBatch:
    """Join the content, prosody and log-mel of each speaker's segments, equally many of each."""
    content, prosodies, log_mels = (torch.cat([part[share] for part in kind]) for kind in zip(*parts))
    indices = torch.arange(len(parts), device=content.device)
    return ContentBatch(content, prosodies, log_mels, indices.repeat_interleave(len(content) // len(parts)))


@dataclass(frozen=True)
class SpeakerContent:
    """A speaker's content, recording after recording."""

    frames: Tensor  # (content frames, dims), normalised by the speaker's own statistics, whoever is the target
    recording: Tensor  # (content frames,) index of the recording
    sentences: tuple[str, ...] = ()  # of the recordings, by index

    @classmethod
    def from_features(cls, features: Features, name: str, device: torch.device) -> "SpeakerContent":
        """Read a speaker's content and normalise it."""
        contents, statistics = features.content(name), features.speakers[name].content
        frames = normalise_content(np.concatenate(contents), statistics, statistics)
        indices = torch.from_numpy(np.repeat(np.arange(len(contents)), [len(content) for content in contents]))
        frames = torch.from_numpy(frames.astype(np.float32)).to(device)
        return cls(frames, indices.to(device), tuple(features.sentences(name)))

    def shares_sentence(self, other: "SpeakerContent") -> bool:
        """Whether another speaker says one of the sentences."""
        return other is not self and bool(set(self.sentences) & set(other.sentences))


def match(speaker: SpeakerContent, others: Sequence[SpeakerContent], neighbours: int) -> Tensor:
    """Replace each content frame by the mean of its nearest neighbours by cosine in other recordings.

    Parameters
    ----------
    speaker : SpeakerContent
    others : sequence of SpeakerContent
        Where neighbours are searched; the speaker may be among them. At most MAX_CANDIDATES frames, evenly spread, are
        searched.
    neighbours : int
        Number of neighbours.

    Returns
    -------
    Tensor
        Shape `(content frames, dims)`.

    Raises
    ------
    ConfigError
        If there is only one recording, which would be matched to itself.
    """
    candidates = torch.cat([other.frames for other in others])
    recordings = torch.cat(
        [other.recording if other is speaker else torch.full_like(other.recording, -1) for other in others]
    )
    indices = spread_indices(len(candidates), MAX_CANDIDATES, candidates.device)
    candidates, recordings = candidates[indices], recordings[indices]
    single = all(other is speaker for other in others) and len(recordings.unique()) == 1
    require(not single, "one recording alone cannot be matched: give two or more, or cut it into several")
    directions = normalize(candidates, dim=1).T.contiguous()
    matched = torch.empty_like(speaker.frames)
    for first in range(0, len(speaker.frames), CHUNK):
        chunk = slice(first, first + CHUNK)
        cosines = normalize(speaker.frames[chunk], dim=1) @ directions
        cosines.masked_fill_(speaker.recording[chunk, None] == recordings, -torch.inf)
        cosines, nearest = cosines.topk(min(neighbours, len(candidates)), dim=1)
        usable = cosines.isfinite()[..., None]  # of two short recordings, one may have fewer frames than neighbours
        matched[chunk] = (candidates[nearest] * usable).sum(1) / usable.sum(1)
    return matched


def align_renderings(speaker: SpeakerContent, other: SpeakerContent, fallback: Tensor) -> Tensor:
    """Align another speaker's content of the same sentences with the speaker's, frame by frame.

    Of several frames of the other that are aligned with one, the last is taken.

    Parameters
    ----------
    speaker, other : SpeakerContent
    fallback : Tensor
        Content for sentences that the other does not say, `(content frames, dims)`.

    Returns
    -------
    Tensor
        Shape `(content frames, dims)`.
    """
    aligned = fallback.clone()
    for index, sentence in enumerate(speaker.sentences):
        if sentence in other.sentences:
            mask = speaker.recording == index
            rendering = other.frames[other.recording == other.sentences.index(sentence)]
            path, other_path = align(speaker.frames[mask].cpu().numpy(), rendering.cpu().numpy())
            last = np.searchsorted(path, np.arange(int(mask.sum())), side="right") - 1
            aligned[mask] = rendering[torch.from_numpy(other_path[last]).to(rendering.device)]
    return aligned


@dataclass(frozen=True)
class Recordings:
    """A speaker's recordings as segments, and the content from which to decode them.

    The rows of a segment are `bands` of normalised log-mel, `bands + 3` of prosody, and 2 of the position in content
    frames: its whole part and its fraction. Content is interpolated only when it is drawn, which saves memory.
    """

    segments: Segments
    contents: Tensor  # (kinds, content frames, dims), float16: the kinds of content from which to decode segments
    bands: int
    unseen: Segments  # of recordings excluded from the losses; where there are too few, `segments`

    @classmethod
    def from_features(
        cls, features: Features, name: str, contents: Sequence[Tensor], length: int, device: torch.device
    ) -> "Recordings":
        """Build segments of `length` frames of a speaker.

        Each of `contents` is a kind of content of all recordings, one after the other, `(content frames, dims)`.
        """
        speaker, config = features.speakers[name], features.config
        log_mels, start, rows = features.frames(name), 0, []
        for log_mel, f0, content in zip(log_mels, features.f0(name), features.content(name), strict=True):
            positions = start + config.content_positions(len(log_mel), len(content))
            start += len(content)
            rows.append(
                np.column_stack(
                    [
                        speaker.normaliser.transform(log_mel),
                        prosody(f0, standard_loudness(log_mel, speaker.content), speaker.log_f0, config),
                        positions.astype(int),  # and the fraction: a float32 holds whole numbers up to 2**24
                        positions % 1,
                    ]
                )
            )
        require(start < 2**24, f"{name}: more recordings than one run can hold; leave some out")
        masks = speech([config.to_mel_cepstrum(frames) for frames in log_mels])
        contents = torch.stack([content.half() for content in contents])
        excluded = np.arange(len(rows)) % UNSEEN_EVERY == UNSEEN_EVERY - 1
        usable = any(len(rows[index]) >= length and masks[index].any() for index in np.flatnonzero(excluded))
        if len(rows) < 2 * UNSEEN_EVERY or not usable:
            log.info("%s: too few recordings to keep some out of the losses: variance is measured on all", name)
            segments = Segments(rows, length, device, name, speech=masks)
            return cls(segments, contents, config.bands, segments)
        seen, unseen = (
            Segments([*compress(rows, part)], length, device, name, speech=[*compress(masks, part)])
            for part in (~excluded, excluded)
        )
        return cls(seen, contents, config.bands, unseen)

    def draw(self, count: int, bounds: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw rows of segments `(count, ..., length)` and their kinds of content `(count, 1)`.

        `bounds` are the cumulative probabilities of the kinds.
        """
        rows = self.segments.draw(count, generator)
        draws = torch.rand(count, 1, generator=generator, device=rows.device, dtype=torch.float64)
        return rows, (draws >= bounds[:-1]).sum(1)[:, None]

    def draw_unseen(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw from recordings excluded from the losses, with the last kind of content, the least like their own."""
        rows = self.unseen.draw(count, generator)
        return rows, torch.full((count, 1), len(self.contents) - 1, device=rows.device)

    def parts(self, rows: Tensor, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Content, prosody and log-mel of rows of segments, `(count, ..., length)` each."""
        return self.content(rows, kind), rows[:, self.bands : -2], rows[:, : self.bands]

    def content(self, rows: Tensor, kind: Tensor | int = 0) -> Tensor:
        """Content `(count, dims, length)` of rows of segments: their own, kind 0, or that of kinds `(count, 1)`."""
        before, fraction = rows[:, -2].long(), rows[:, -1:]
        after = (before + 1).clamp(max=self.contents.shape[1] - 1)
        ends = (self.contents[kind, index].float().transpose(1, 2) for index in (before, after))
        return torch.lerp(*ends, fraction)
