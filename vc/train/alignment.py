"""Frames of two speakers who share no sentence, brought together by their nearest neighbours.

Distances are taken on mel-cepstra in their natural scale, where they are the mel-cepstral distortion: with every band
brought to variance 1, the many high coefficients, which say little, decide (docs/experiments.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vc.errors import DataError
from vc.features import speech
from vc.features.base import FeatureConfig
from vc.features.speakers import MeanVariance
from vc.features.store import Features

ROWS = 1024  # of a distance matrix at a time, fewer where they are long:
ENTRIES = 2**24  # of it at most, 64 MiB


@dataclass(frozen=True)
class SpeakerFrames:
    """A speaker's frames, the utterances end to end, normalised."""

    frames: Tensor  # (frames, bands)
    lengths: list[int]  # of the utterances
    audible: Tensor  # (frames,), true for a frame that is speech
    spoken: Tensor  # (frames,), true from an utterance's first audible frame to its last, but for digital silence
    deviation: Tensor  # (bands,), by which normalisation divided
    cepstral: bool = True  # whether an all-pass can warp them

    @classmethod
    def from_utterances(
        cls, utterances: Sequence[np.ndarray], normaliser: MeanVariance, device: torch.device, config: FeatureConfig
    ) -> "SpeakerFrames":
        """From arrays `(frames, bands)`.

        In digital silence, which is made by an editor or a gate and not by the speaker, the last frame before it is
        held.
        """
        mel_cepstra = [config.to_mel_cepstrum(utterance) for utterance in utterances]
        audible = speech.speech(mel_cepstra)
        sounding = [~speech.silent(mel_cepstrum) for mel_cepstrum in mel_cepstra]
        spoken = [speech.from_first_to_last(mask) & sound for mask, sound in zip(audible, sounding)]
        held = [utterance[speech.forward_fill(sound)] for utterance, sound in zip(utterances, sounding)]
        frames = np.concatenate([normaliser.transform(utterance).astype(np.float32) for utterance in held])
        masks = (torch.from_numpy(np.concatenate(mask)).to(device) for mask in (audible, spoken))
        deviation = torch.tensor(normaliser.deviation_, dtype=torch.float32, device=device)
        lengths = [len(utterance) for utterance in utterances]
        return cls(torch.from_numpy(frames).to(device), lengths, *masks, deviation, config.cepstral)

    @classmethod
    def read(cls, features: Features, name: str, device: torch.device) -> "SpeakerFrames":
        """From a speaker's features."""
        normaliser = features.speakers[name].normaliser
        return cls.from_utterances(features.frames(name), normaliser, device, features.config)

    def sample(self, largest: int) -> Tensor:
        """`(indices,)` of the audible frames, or of `largest` of them, evenly spread."""
        indices = torch.nonzero(self.audible)[:, 0]
        chosen = torch.linspace(0, len(indices) - 1, min(largest, len(indices)), device=indices.device)
        return indices[chosen.round().long().clamp(max=len(indices) - 1)]  # above 2**24 float32 has no odd numbers

    def contexts(self, indices: Tensor, offsets: Iterable[int]) -> Tensor:
        """`(indices, offsets * bands)`: the frames around each index, those of its own utterance alone."""
        lengths = torch.tensor(self.lengths, device=indices.device)
        ends = lengths.cumsum(0)
        utterance = torch.searchsorted(ends, indices, right=True)
        around = indices[:, None] + torch.tensor(list(offsets), device=indices.device)
        first, last = (ends - lengths)[utterance], ends[utterance] - 1
        return self.frames[around.clamp(first[:, None], last[:, None])].flatten(1)


def neighbours(queries: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `(queries, dimensions)` its nearest of `(others, dimensions)`: index and squared distance."""
    squares = others.square().sum(1)
    rows = max(1, min(ROWS, ENTRIES // len(others)))
    nearest = [torch.min(squares - 2 * part @ others.T, dim=1) for part in queries.split(rows)]
    distances = torch.cat([part.values for part in nearest]) + queries.square().sum(1)
    return torch.cat([part.indices for part in nearest]), distances


@dataclass(frozen=True)
class Aligner:
    """What two frames are compared by: their surroundings, each band as wide as both speakers have it on average."""

    reach: int = 16  # frames to each side
    stride: int = 4  # every so many of them
    loudness: float = 0.5  # weight of c0 beside the other bands
    max_frames: int = 8_000  # of each speaker

    def pairs(self, source: SpeakerFrames, target: SpeakerFrames) -> tuple[Tensor, Tensor, float]:
        """Each frame of one speaker with its nearest of the other, in both directions.

        After Erro, Moreno and Bonafonte, "INCA algorithm for training voice conversion systems from nonparallel
        corpora", IEEE Trans. ASLP 18, 2010. They compare single frames; what is compared here, and how it is weighted,
        is ours.

        Returns
        -------
        source_indices, target_indices : Tensor
            `(pairs,)` each.
        distance : float
            Mean squared distance of the pairs.

        Raises
        ------
        DataError
            If a speaker has fewer than two audible frames.
        """
        indices = source.sample(self.max_frames), target.sample(self.max_frames)
        if min(map(len, indices)) < 2:
            raise DataError("a voice of fewer than two audible frames cannot be aligned")
        weights = (source.deviation + target.deviation) / 2
        weights[0] *= self.loudness
        offsets = range(-self.reach, self.reach + 1, self.stride)
        weights = weights.repeat(len(offsets))
        source_contexts, target_contexts = (
            speaker.contexts(places, offsets) * weights for speaker, places in zip((source, target), indices)
        )
        of_source, source_distances = neighbours(source_contexts, target_contexts)
        of_target, target_distances = neighbours(target_contexts, source_contexts)
        source_indices = torch.cat([indices[0], indices[0][of_target]])
        target_indices = torch.cat([indices[1][of_source], indices[1]])
        return source_indices, target_indices, float(torch.cat([source_distances, target_distances]).mean())
