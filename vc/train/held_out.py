"""Utterances held out of training: the best scores of their conversions decide which model is kept."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from vc import metrics, phrases
from vc.config import difference
from vc.convert.converter import Converter
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.speakers import MeanVariance
from vc.features.store import Features, read_features
from vc.metrics.arrays import evenly_spread

MAX_SCORED = 20  # recordings of each speaker, evenly spread: exact alignments take time
PARALLEL_SHARE = 0.8  # of sentences that all speakers must say for the sets to count as parallel
CONTENT_WEIGHT = 4.0  # of lost content relative to distances; see docs/experiments.md
Utterances = dict[str, np.ndarray]  # sentence -> mel-cepstrum (frames, order + 1)


class AbstractHeldOut(ABC):
    """Recordings that no loss uses, by which the models of one run are compared; as text, what they are.

    Attributes
    ----------
    digest : str
        Of the features that they come from.
    """

    digest: str

    @classmethod
    @abstractmethod
    def read(cls, directory: Path, training: Features, speakers: tuple[str, ...]) -> "AbstractHeldOut":
        """Read held-out recordings from a features directory.

        Parameters
        ----------
        directory : Path
            Extracted with the settings of the training features, from none of their recordings.
        training : Features
            Features of the training set.
        speakers : tuple of str
            Those of the model.

        Raises
        ------
        ConfigError
            If the settings differ, or one of the recordings is in the training set.
        """

    @abstractmethod
    def score(self, converter: Converter) -> dict[str, float]:
        """Score a converter; the lower `score` is, the better. The other scores are its parts."""


@dataclass(frozen=True)
class HeldOut(AbstractHeldOut):
    """Utterances of all speakers of a model, by sentence, to convert in all directions."""

    utterances: dict[str, Utterances]  # by speaker
    digest: str = ""  # of the features that they come from

    def __str__(self) -> str:
        if self.parallel:
            return f"{phrases.count(len(self.parallel), 'sentence')} of all speakers"
        return " and ".join(
            f"{phrases.count(len(sentences), 'utterance')} of {name}" for name, sentences in self.utterances.items()
        )

    @classmethod
    def read(cls, directory: Path, training: Features, speakers: tuple[str, ...]) -> "HeldOut":
        features = read_held_out(directory, training)
        utterances = {}
        for speaker in speakers:
            utterances[speaker] = dict(zip(features.sentences(speaker), features.frames(speaker)))
        shared = cls(utterances).parallel
        if len(shared) < PARALLEL_SHARE * max(map(len, utterances.values())):  # a few names may agree by chance
            utterances = {
                name: {f"{name}-{sentence}": frames for sentence, frames in by_sentence.items()}
                for name, by_sentence in utterances.items()
            }
            shared = []
        largest = max(1, MAX_SCORED // (len(speakers) - 1))  # more directions take no more time for each speaker
        for name, by_sentence in utterances.items():
            sentences = sorted(shared or by_sentence)
            sentences = [sentences[index] for index in evenly_spread(len(sentences), largest)]
            utterances[name] = {sentence: by_sentence[sentence] for sentence in sentences}
        return cls(utterances, features.digest)

    @property
    def parallel(self) -> list[str]:
        """The sentences that all speakers say."""
        first, *others = self.utterances.values()
        return [sentence for sentence in first if all(sentence in other for other in others)]

    def score(self, converter: Converter) -> dict[str, float]:
        """Score a converter by its conversions of these utterances.

        Scores are means over all directions, for choosing among the models of one run. Those named `held_out_...` are
        computed on frames in the target's own scale; vc-evaluate's measures normalise by the reference and divide lost
        content by that of unrelated sentences. In logs of older runs, their names lack `held_out_`.

        Returns
        -------
        dict of str to float
            `msd`, modulation-spectra distance; `held_out_frechet_distance`; `held_out_content_lost`, in 0..1; if
            sentences are shared, also `mcd`, mel-cepstral distortion in dB. `score`, lower is better, is the sum of
            `mcd` and `msd` if sentences are shared, else that of the others, with content weighted: by distances
            alone, a model that loses every word would do well.
        """
        directions = [self._score_direction(converter, *pair) for pair in permutations(self.utterances, 2)]
        means = {name: float(np.mean([scores[name] for scores in directions])) for name in directions[0]}
        if self.parallel:
            score = means["mcd"] + means["msd"]
        else:
            lost = CONTENT_WEIGHT * means["held_out_content_lost"]
            score = means["held_out_frechet_distance"] + means["msd"] + lost
        return {"score": score, **means}

    def _score_direction(self, converter: Converter, source: str, target: str) -> dict[str, float]:
        features = converter.model.features
        originals = self.utterances[source]
        converted = {name: converter.convert_frames(frames, source, target) for name, frames in originals.items()}
        originals, converted = _mel_cepstra(originals, features), _mel_cepstra(converted, features)
        references = _mel_cepstra(self.utterances[target], features)
        normaliser = converter.model.speakers[target].normaliser
        if features.cepstral is False:  # the speaker's statistics are not of mel-cepstra
            normaliser = MeanVariance().fit(references.values())

        def audible(utterances: Utterances, loudness: Utterances) -> np.ndarray:
            """The frames of all utterances at which those in `loudness` are audible, `(frames, bands)`."""
            masks = {name: metrics.audible(loudness[name]) for name in utterances}
            return np.concatenate([frames[masks[name]] for name, frames in utterances.items()])

        before, after = audible(originals, originals), audible(converted, originals)
        normalised = [normaliser.transform(frames)[:, 1:] for frames in (after, audible(references, references))]
        scores = {
            "msd": _modulation_distance(converted, references, features.frame_rate),
            "held_out_frechet_distance": metrics.frechet_distance(*normalised),
            "held_out_content_lost": metrics.content_lost(after[:, 1:], before[:, 1:]),
        }
        if self.parallel:
            distortions = [metrics.mel_cepstral_distortion(converted[key], references[key]) for key in self.parallel]
            scores["mcd"] = float(np.mean(distortions))
        return scores


@dataclass(frozen=True)
class HeldOutResynthesis(AbstractHeldOut):
    """Recordings of the targets, each to be decoded from its content and prosody in its own voice."""

    recordings: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]  # speaker -> content, F0, log-mel
    digest: str = ""

    def __str__(self) -> str:
        return " and ".join(
            f"{phrases.count(len(recordings), 'recording')} of {name}" for name, recordings in self.recordings.items()
        )

    @classmethod
    def read(cls, directory: Path, training: Features, speakers: tuple[str, ...]) -> "HeldOutResynthesis":
        features = read_held_out(directory, training)
        recordings = {}
        for name in speakers:
            all_recordings = list(zip(features.content(name), features.f0(name), features.frames(name), strict=True))
            indices = evenly_spread(len(all_recordings), MAX_SCORED)
            recordings[name] = [all_recordings[index] for index in indices]
        return cls(recordings, features.digest)

    def score(self, converter: Converter) -> dict[str, float]:
        """Score a decoder by its resyntheses: `mcd` in dB, `msd`, and their sum `score`; lower is better."""
        config, distortions, distances = converter.model.features, [], []
        for name, recordings in self.recordings.items():
            decoded = {str(n): converter.resynthesise(*recording, name) for n, recording in enumerate(recordings)}
            originals = {str(n): log_mel for n, (_, _, log_mel) in enumerate(recordings)}
            decoded, originals = _mel_cepstra(decoded, config), _mel_cepstra(originals, config)
            distortions += [metrics.mel_cepstral_distortion(decoded[key], originals[key]) for key in decoded]
            distances.append(_modulation_distance(decoded, originals, config.frame_rate))
        mcd, msd = float(np.mean(distortions)), float(np.mean(distances))
        return {"score": mcd + msd, "mcd": mcd, "msd": msd}


def read_held_out(directory: Path, training: Features) -> Features:
    """Read features; ConfigError if settings differ from the training features', or a recording is among theirs."""
    features = read_features(directory)
    if features.config != training.config:
        different = difference(training.config, features.config)
        raise ConfigError(f"{directory}: extracted with other settings than {training.directory}: {different}")
    seen = sorted(set(features.utterances) & set(training.utterances))
    if seen:
        raise ConfigError(f"{directory}: training learns from {seen[0]} too; hold out other utterances")
    by_digest = {digest: id for id, digest in training.recordings.items()}
    copies = [f"{id} is {by_digest[digest]}" for id, digest in features.recordings.items() if digest in by_digest]
    if copies:
        listed = f"{phrases.count(len(copies), 'recording')} under other names, such as {copies[0]}"
        raise ConfigError(f"{directory}: training learns from them too: {listed}; hold out other utterances")
    return features


def _mel_cepstra(utterances: Utterances, config: FeatureConfig) -> Utterances:
    return {name: config.to_mel_cepstrum(frames) for name, frames in utterances.items()}


def _modulation_distance(one: Utterances, other: Utterances, frame_rate: float) -> float:
    """Distance between the mean modulation spectra of two sets."""
    spectra = (
        np.mean([metrics.modulation_spectrum(frames, frame_rate) for frames in utterances.values()], axis=0)
        for utterances in (one, other)
    )
    return metrics.modulation_spectra_distance(*spectra)
