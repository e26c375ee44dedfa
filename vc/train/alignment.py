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
    deviation: Tensor  # (bands,), which normalisation took out
    cepstral: bool = True  # an all-pass can warp them

    @classmethod
    def of(
        cls,
        utterances: Sequence[np.ndarray],
        normaliser: MeanVariance,
        device: torch.device,
        config: FeatureConfig,
    ) -> "SpeakerFrames":
        """From arrays `(frames, bands)`.

        In digital silence, which tells of an editor or a gate and not of the voice, the last frame before it is held.
        """
        mel_cepstra = [config.to_mel_cepstrum(utterance) for utterance in utterances]
        audible = speech.speech(mel_cepstra)
        sounding = [~speech.silent(mel_cepstrum) for mel_cepstrum in mel_cepstra]
        spoken = [speech.from_first_to_last(heard) & there for heard, there in zip(audible, sounding)]
        frames = [utterance[speech.forward_fill(there)] for utterance, there in zip(utterances, sounding)]
        frames = np.concatenate([normaliser.transform(each).astype(np.float32) for each in frames])
        masks = (torch.from_numpy(np.concatenate(mask)).to(device) for mask in (audible, spoken))
        deviation = torch.tensor(normaliser.deviation_, dtype=torch.float32, device=device)
        lengths = [len(utterance) for utterance in utterances]
        return cls(torch.from_numpy(frames).to(device), lengths, *masks, deviation, config.cepstral)

    @classmethod
    def read(cls, features: Features, name: str, device: torch.device) -> "SpeakerFrames":
        """Of a speaker's features."""
        return cls.of(features.frames(name), features.speakers[name].normaliser, device, features.config)

    def places(self, most: int) -> Tensor:
        """`(places,)`: `most` of the audible frames at most, evenly."""
        heard = torch.nonzero(self.audible)[:, 0]
        chosen = torch.linspace(0, len(heard) - 1, min(most, len(heard)), device=heard.device)
        return heard[chosen.round().long().clamp(max=len(heard) - 1)]  # above 2**24 float32 has no odd numbers

    def contexts(self, places: Tensor, offsets: Iterable[int]) -> Tensor:
        """`(places, offsets * bands)`: the frames around each place, those of its own utterance alone."""
        lengths = torch.tensor(self.lengths, device=places.device)
        ends = lengths.cumsum(0)
        owner = torch.searchsorted(ends, places, right=True)
        around = places[:, None] + torch.tensor(list(offsets), device=places.device)
        first, last = (ends - lengths)[owner], ends[owner] - 1
        return self.frames[around.clamp(first[:, None], last[:, None])].flatten(1)


def neighbours(queries: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each of `(queries, dimensions)` its nearest of `(others, dimensions)`: index and squared distance."""
    squares = others.square().sum(1)
    at_once = max(1, min(ROWS, ENTRIES // len(others)))
    found = [torch.min(squares - 2 * rows @ others.T, dim=1) for rows in queries.split(at_once)]
    distances = torch.cat([row.values for row in found]) + queries.square().sum(1)
    return torch.cat([row.indices for row in found]), distances


@dataclass(frozen=True)
class Aligner:
    """What two frames are compared by: their surroundings, each band as wide as both voices have it on average."""

    reach: int = 16  # frames to each side
    stride: int = 4  # every so many of them
    loudness: float = 0.5  # weight of c0 beside the other bands
    most: int = 8_000  # frames of each voice

    def pairs(self, source: SpeakerFrames, target: SpeakerFrames) -> tuple[Tensor, Tensor, float]:
        """Places `(pairs,)` in both voices, and their mean squared distance.

        Each frame of the one with its nearest of the other, and each of the other with its nearest of the one: Erro,
        Moreno and Bonafonte, "INCA algorithm for training voice conversion systems from nonparallel corpora", IEEE
        Trans. ASLP 18, 2010. They compare single frames; what is compared here, and how it is weighted, is ours.
        """
        places = source.places(self.most), target.places(self.most)
        if min(map(len, places)) < 2:
            raise DataError("a voice of fewer than two audible frames cannot be aligned")
        weights = (source.deviation + target.deviation) / 2
        weights[0] *= self.loudness
        there, here = (self._looks(voice, where, weights) for voice, where in zip((source, target), places))
        (onto, far), (back, near) = neighbours(there, here), neighbours(here, there)
        one = torch.cat([places[0], places[0][back]])
        other = torch.cat([places[1][onto], places[1]])
        return one, other, float(torch.cat([far, near]).mean())

    def _looks(self, voice: SpeakerFrames, places: Tensor, weights: Tensor) -> Tensor:
        offsets = range(-self.reach, self.reach + 1, self.stride)
        return voice.contexts(places, offsets) * weights.repeat(len(offsets))
