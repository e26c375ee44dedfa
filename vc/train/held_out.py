"""Utterances that training does not see: how near their conversions come tells which model to keep."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from vc import metrics
from vc.config import difference
from vc.convert.converter import Converter
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.speakers import MeanVariance
from vc.features.store import Features, read_features

MOST = 20  # conversions of each speaker, spread over all: exact alignments take time
ALIKE = 0.8  # share of sentences that all speakers must have for theirs to be taken for the same
LOST_WEIGHT = 4.0  # of lost content beside distances; see docs/experiments.md
Utterances = dict[str, np.ndarray]  # sentence -> mel-cepstrum (frames, order + 1)


@dataclass(frozen=True)
class HeldOut:
    """Frames of all speakers of a model, by sentence."""

    utterances: dict[str, Utterances]  # speaker -> his
    digest: str = ""  # of the features that they come from

    def __str__(self) -> str:
        if self.parallel:
            return f"{len(self.parallel)} sentences of all speakers"
        return " and ".join(f"{len(own)} utterances of {name}" for name, own in self.utterances.items())

    @classmethod
    def read(cls, directory: Path, learnt: Features, speakers: tuple[str, ...]) -> "HeldOut":
        """From a features directory made with the settings of the training features, of none of their utterances."""
        features = _unseen(directory, learnt)
        utterances = {}
        for speaker in speakers:
            ids = [id for id, owner in features.utterances.items() if owner == speaker]
            sentences = [Utterance(id, speaker, Path()).sentence for id in ids]
            utterances[speaker] = dict(zip(sentences, features.frames(speaker)))
        shared = cls(utterances).parallel
        if len(shared) < ALIKE * max(map(len, utterances.values())):  # a few names may be alike by chance
            utterances = {name: {f"{name}-{key}": own[key] for key in own} for name, own in utterances.items()}
            shared = []
        most = max(1, MOST // (len(speakers) - 1))  # so that more directions do not take more time for each speaker
        kept = {name: _spread(own, shared or own, most) for name, own in utterances.items()}
        return cls(kept, features.digest)

    @property
    def parallel(self) -> list[str]:
        """The sentences that all speakers say."""
        first, *others = self.utterances.values()
        return [sentence for sentence in first if all(sentence in other for other in others)]

    def score(self, converter: Converter) -> dict[str, float]:
        """Each measure's mean over all directions, and their sum `score`: lower is better.

        Mel-cepstral distortion and modulation-spectra distance where sentences are shared; else Frechet distance,
        modulation-spectra distance and lost content: a distance alone would have a voice that says nothing.
        """
        found = [self._measure(converter, *direction) for direction in permutations(self.utterances, 2)]
        means = {name: float(np.mean([measures[name] for measures in found])) for name in found[0]}
        if self.parallel:
            score = means["mcd"] + means["msd"]
        else:
            score = means["frechet_distance"] + means["msd"] + LOST_WEIGHT * means["content_lost"]
        return {"score": score, **means}

    def _measure(self, converter: Converter, source: str, target: str) -> dict[str, float]:
        theirs, wanted = self.utterances[source], self.utterances[target]
        made = {name: converter.convert_frames(frames, source, target) for name, frames in theirs.items()}
        theirs, wanted, made = (_mel_cepstra(each, converter.model.features) for each in (theirs, wanted, made))
        normaliser = converter.model.speakers[target].normaliser
        if not converter.model.features.cepstral:  # the speaker's statistics are of other features
            normaliser = MeanVariance().fit(wanted.values())
        before, after = _heard(theirs, theirs), _heard(made, theirs)
        frame_rate = converter.model.features.frame_rate
        measures = {
            "msd": metrics.modulation_spectra_distance(_movement(made, frame_rate), _movement(wanted, frame_rate)),
            "frechet_distance": metrics.frechet_distance(
                normaliser.transform(after)[:, 1:], normaliser.transform(_heard(wanted, wanted))[:, 1:]
            ),
            "content_lost": metrics.content_lost(after[:, 1:], before[:, 1:]),
        }
        if self.parallel:
            distortions = [metrics.mel_cepstral_distortion(made[name], wanted[name]) for name in self.parallel]
            measures["mcd"] = float(np.mean(distortions))
        return measures


@dataclass(frozen=True)
class HeldOutResynthesis:
    """Recordings of the targets, each to be said again in its own voice from its content and prosody."""

    recordings: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]  # speaker -> content, F0, log-mel
    digest: str = ""

    def __str__(self) -> str:
        return " and ".join(f"{len(own)} recordings of {name}" for name, own in self.recordings.items())

    @classmethod
    def read(cls, directory: Path, learnt: Features, speakers: tuple[str, ...]) -> "HeldOutResynthesis":
        """From a features directory made with the settings of the training features, of none of their utterances."""
        features = _unseen(directory, learnt)
        recordings = {}
        for name in speakers:
            own = list(zip(features.content(name), features.f0(name), features.frames(name), strict=True))
            places = np.unique(np.linspace(0, len(own) - 1, min(MOST, len(own))).round().astype(int))
            recordings[name] = [own[place] for place in places]
        return cls(recordings, features.digest)

    def score(self, converter: Converter) -> dict[str, float]:
        """Mel-cepstral distortion, modulation-spectra distance, and their sum `score`: lower is better."""
        config, distortions, distances = converter.model.features, [], []
        for name, recordings in self.recordings.items():
            said = {str(n): converter.resynthesise(*each, name) for n, each in enumerate(recordings)}
            wanted = {str(n): log_mel for n, (_, _, log_mel) in enumerate(recordings)}
            said, wanted = _mel_cepstra(said, config), _mel_cepstra(wanted, config)
            distortions += [metrics.mel_cepstral_distortion(said[key], wanted[key]) for key in said]
            movement = (_movement(each, config.frame_rate) for each in (said, wanted))
            distances.append(metrics.modulation_spectra_distance(*movement))
        mcd, msd = float(np.mean(distortions)), float(np.mean(distances))
        return {"score": mcd + msd, "mcd": mcd, "msd": msd}


def _unseen(directory: Path, learnt: Features) -> Features:
    """Features made with the settings of the training features, of none of their utterances; others are refused."""
    features = read_features(directory)
    if features.config != learnt.config:
        different = difference(learnt.config, features.config)
        raise ConfigError(f"{directory}: extracted with other settings than {learnt.directory}: {different}")
    seen = sorted(set(features.utterances) & set(learnt.utterances))
    if seen:
        raise ConfigError(f"{directory}: training learns from {seen[0]} too; hold out other utterances")
    learnt_from = {digest: id for id, digest in learnt.recordings.items()}
    copies = [f"{id} is {learnt_from[digest]}" for id, digest in features.recordings.items() if digest in learnt_from]
    if copies:
        said = f"{len(copies)} recordings under other names, such as {copies[0]}"
        raise ConfigError(f"{directory}: training learns from them too: {said}; hold out other utterances")
    return features


def _spread(utterances: Utterances, names: Iterable[str], most: int) -> Utterances:
    """`most` of the names at most, evenly."""
    names = sorted(names)
    places = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))
    return {names[place]: utterances[names[place]] for place in places}


def _mel_cepstra(utterances: Utterances, config: FeatureConfig) -> Utterances:
    return {name: config.to_mel_cepstrum(frames) for name, frames in utterances.items()}


def _heard(utterances: Utterances, loudness: Utterances) -> np.ndarray:
    """All frames, end to end, where `loudness` is audible."""
    return np.concatenate([frames[metrics.audible(loudness[name])] for name, frames in utterances.items()])


def _movement(utterances: Utterances, frame_rate: float) -> np.ndarray:
    return np.mean([metrics.modulation_spectrum(frames, frame_rate) for frames in utterances.values()], axis=0)
