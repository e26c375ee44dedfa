"""Frame alignment of two speakers: by nearest neighbours, or by dynamic time warping of shared sentences.

Distances are of mel-cepstra in their natural scale, where they are the mel-cepstral distortion: with every band scaled
to variance 1, the many high coefficients, which carry little information, would dominate (docs/experiments.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vc.errors import DataError
from vc.features import speech
from vc.features.base import FeatureConfig
from vc.features.speakers import MeanVariance
from vc.features.store import Features
from vc.metrics.alignment import align
from vc.metrics.arrays import evenly_spread
from vc.train.sampling import spread_indices

MAX_ROWS = 1024  # of a distance matrix that are computed at a time
MAX_ENTRIES = 2**24  # in these rows, 64 MiB: with long rows they are fewer
MAX_COMPARED = 10  # sentences by which it is checked that equal names are equal sentences


@dataclass(frozen=True)
class SpeakerFrames:
    """A speaker's normalised frames, utterance after utterance."""

    frames: Tensor  # (frames, bands)
    lengths: list[int]  # of the utterances
    audible: Tensor  # (frames,), true for speech
    spoken: Tensor  # (frames,), true from an utterance's first audible frame to its last, but for digital silence
    deviation: Tensor  # (bands,), the normaliser's
    cepstral: bool = True  # whether an all-pass can warp them
    sentences: Sequence[str] = ()  # names of the utterances' sentences; empty: not known

    @classmethod
    def from_utterances(
        cls, utterances: Sequence[np.ndarray], normaliser: MeanVariance, device: torch.device, config: FeatureConfig
    ) -> "SpeakerFrames":
        """Normalise arrays `(frames, bands)`.

        During digital silence, which comes from an editor or a gate and not from the speaker, the last frame before it
        is held.
        """
        mel_cepstra = [config.to_mel_cepstrum(utterance) for utterance in utterances]
        audible = speech.speech(mel_cepstra)
        sound = [~speech.silent(mel_cepstrum) for mel_cepstrum in mel_cepstra]
        spoken = [speech.from_first_to_last(mask) & not_silent for mask, not_silent in zip(audible, sound)]
        filled = [utterance[speech.forward_fill(not_silent)] for utterance, not_silent in zip(utterances, sound)]
        frames = np.concatenate([normaliser.transform(utterance).astype(np.float32) for utterance in filled])
        masks = (torch.from_numpy(np.concatenate(mask)).to(device) for mask in (audible, spoken))
        deviation = torch.tensor(normaliser.deviation_, dtype=torch.float32, device=device)
        lengths = [len(utterance) for utterance in utterances]
        return cls(torch.from_numpy(frames).to(device), lengths, *masks, deviation, config.cepstral)

    @classmethod
    def read(cls, features: Features, name: str, device: torch.device) -> "SpeakerFrames":
        """Read a speaker's frames and the names of the sentences."""
        normaliser = features.speakers[name].normaliser
        speaker = cls.from_utterances(features.frames(name), normaliser, device, features.config)
        return replace(speaker, sentences=features.sentences(name))

    def utterance(self, sentence: str) -> Tensor:
        """Indices `(spoken frames,)` of the spoken frames of the utterance of a sentence."""
        number = self.sentences.index(sentence)
        start = sum(self.lengths[:number])
        return start + torch.nonzero(self.spoken[start : start + self.lengths[number]])[:, 0]

    def sample(self, largest: int) -> Tensor:
        """Indices `(indices,)` of the audible frames, or of `largest` of them, evenly spread."""
        indices = torch.nonzero(self.audible)[:, 0]
        return indices[spread_indices(len(indices), largest, indices.device)]

    def contexts(self, indices: Tensor, offsets: Iterable[int]) -> Tensor:
        """The frames at `offsets` from each index, `(indices, offsets * bands)`, clamped to its utterance."""
        lengths = torch.tensor(self.lengths, device=indices.device)
        ends = lengths.cumsum(0)
        utterance = torch.searchsorted(ends, indices, right=True)
        context = indices[:, None] + torch.tensor(list(offsets), device=indices.device)
        first, last = (ends - lengths)[utterance], ends[utterance] - 1
        return self.frames[context.clamp(first[:, None], last[:, None])].flatten(1)


def nearest_neighbours(queries: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Find the nearest of `(others, dimensions)` for each of `(queries, dimensions)`.

    Returns
    -------
    indices, distances : Tensor
        Of the nearest, and squared, `(queries,)` each.
    """
    squares = others.square().sum(1)
    rows = max(1, min(MAX_ROWS, MAX_ENTRIES // len(others)))
    nearest = [torch.min(squares - 2 * part @ others.T, dim=1) for part in queries.split(rows)]
    distances = torch.cat([part.values for part in nearest]) + queries.square().sum(1)
    return torch.cat([part.indices for part in nearest]), distances


def band_weights(source: SpeakerFrames, target: SpeakerFrames, loudness: float) -> Tensor:
    """Weights `(bands,)` of normalised bands in a distance: the mean deviation, for c0 times `loudness`."""
    weights = (source.deviation + target.deviation) / 2
    weights[0] *= loudness
    return weights


@dataclass(frozen=True)
class Aligner:
    """Nearest-neighbour alignment of frames with their context, bands scaled by both speakers' mean deviations."""

    reach: int = 16  # frames to each side
    stride: int = 4  # between frames that are compared
    loudness: float = 0.5  # weight of c0 relative to the other bands
    max_frames: int = 8_000  # of each speaker

    def pairs(self, source: SpeakerFrames, target: SpeakerFrames) -> tuple[Tensor, Tensor, float]:
        """Pair each frame of one speaker with its nearest of the other, in both directions.

        After Erro, Moreno and Bonafonte, "INCA algorithm for training voice conversion systems from nonparallel
        corpora", IEEE Trans. ASLP 18, 2010. They compare single frames; context and weights are ours.

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
        largest = self.reach // self.stride * self.stride
        offsets = range(-largest, largest + 1, self.stride)  # the frame itself among them
        weights = band_weights(source, target, self.loudness).repeat(len(offsets))
        source_contexts, target_contexts = (
            speaker.contexts(frames, offsets) * weights for speaker, frames in zip((source, target), indices)
        )
        target_neighbours, source_distances = nearest_neighbours(source_contexts, target_contexts)
        source_neighbours, target_distances = nearest_neighbours(target_contexts, source_contexts)
        source_indices = torch.cat([indices[0], indices[0][source_neighbours]])
        target_indices = torch.cat([indices[1][target_neighbours], indices[1]])
        return source_indices, target_indices, float(torch.cat([source_distances, target_distances]).mean())


@dataclass(frozen=True)
class SentenceAligner:
    """Alignment of the sentences that both speakers say by dynamic time warping."""

    loudness: float = Aligner.loudness  # weight of c0 relative to the other bands

    def pairs(self, source: SpeakerFrames, target: SpeakerFrames) -> tuple[Tensor, Tensor, float]:
        """Pair the audible frames on the paths of all shared sentences.

        Returns
        -------
        source_indices, target_indices : Tensor
            `(pairs,)` each.
        distance : float
            Mean distance of the pairs.

        Raises
        ------
        DataError
            If no sentence is shared, or none has speech.
        """
        paths = [self._path(source, target, name, name) for name in shared_sentences(source, target)]
        source_indices, target_indices, distances = (torch.cat(parts) for parts in zip(*paths))
        audible = source.audible[source_indices] & target.audible[target_indices]
        if not audible.any():
            raise DataError("the shared sentences have no speech")
        return source_indices[audible], target_indices[audible], float(distances[audible].mean())

    def check(self, source: SpeakerFrames, target: SpeakerFrames) -> None:
        """Raise DataError if utterances of equal names are no nearer to each other than to those of other names."""
        names = shared_sentences(source, target)
        names = [names[index] for index in evenly_spread(len(names), MAX_COMPARED)]
        if len(names) > 1:
            equal, unequal = (  # mean distances of sentences of equal and of different names
                torch.cat([self._path(source, target, *pair)[2] for pair in pairs]).mean()
                for pairs in (zip(names, names), zip(names, names[1:] + names[:1]))
            )
            if equal >= unequal:
                raise DataError(
                    f"utterances of equal names, such as {names[0]}, do not say the same: frames are {equal:.2f} apart,"
                    f" those of other names {unequal:.2f}; method nearest needs no shared sentences"
                )

    def _path(self, source: SpeakerFrames, target: SpeakerFrames, one: str, other: str) -> tuple[Tensor, ...]:
        """Indices of source and target frames on the path of two sentences, `(pairs,)` each, and their distances."""
        indices = source.utterance(one), target.utterance(other)
        weights = band_weights(source, target, self.loudness)
        sides = [speaker.frames[frames] * weights for speaker, frames in zip((source, target), indices)]
        if not all(map(len, indices)):
            return (indices[0][:0], indices[1][:0], weights[:0])
        paths = [torch.from_numpy(path).to(weights.device) for path in align(*(side.cpu().numpy() for side in sides))]
        distances = (sides[0][paths[0]] - sides[1][paths[1]]).norm(dim=1)
        return indices[0][paths[0]], indices[1][paths[1]], distances


def shared_sentences(source: SpeakerFrames, target: SpeakerFrames) -> list[str]:
    """Names of the sentences that both speakers say; DataError if there are none."""
    shared = sorted(set(source.sentences) & set(target.sentences))
    if not shared:
        raise DataError(
            "the speakers share no sentence, by the names of their utterances: method parallel learns from shared"
            " sentences alone, method nearest needs none"
        )
    return shared
