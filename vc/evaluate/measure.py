"""Measurement of one sentence: every system's recording is analysed alike, by signal processing and speech models."""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc import __version__
from vc.config import require_known
from vc.corpus import audio
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError, DataError
from vc.evaluate.anchors import REFERENCE, UNCONVERTED, says_source
from vc.evaluate.match import Recordings, Sentence
from vc.evaluate.score_cache import ScoreCache
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.metrics import content, mos, phones, quality, speaker, utmos, words
from vc.metrics.content import Content
from vc.metrics.conventions import compared_frames, frames_distortion
from vc.metrics.registry import METRICS, convention_metric
from vc.metrics.scores import Observation, Scores, Track, summarise

MEASURES = {
    "speaker": speaker,
    "content": content,
    "phones": phones,
    "quality": quality,
    "mos": mos,
    "utmos": utmos,
    "wer": words,
}
OWN_MODELS = {  # measures that take a path, and to what
    "utmos": utmos.NEEDED,
    "wer": words.NEEDED,
}
NO_OWN_MODELS = "measures that need a model of your own: " + "; ".join(
    f"{name} ({needed})" for name, needed in OWN_MODELS.items()
)
OVERSAMPLING = 2  # by which recordings at the common rate are resampled, and back, if others had a higher rate


class SpeechModelScores(NamedTuple):
    """Results of the speech models for one recording; None for a measure not chosen, or without a result."""

    embedding: np.ndarray | None = None  # (256,)
    content: Content | None = None
    phones: list[str] | None = None
    words: str | None = None
    quality: float | None = None
    mos: float | None = None
    utmos: float | None = None
    remarks: tuple[str, ...] = ()  # why a measure has no result, or results are not kept


class Measurement(NamedTuple):
    """One recording's figures, and its F0 for plotting."""

    observation: Observation
    f0: np.ndarray  # (frames,) Hz
    remarks: list[str]  # why a measure has no result, or results are not kept


class MeasureSettings(NamedTuple):
    """Settings of the measurement, the same for all recordings."""

    config: WorldConfig
    ranges: dict[str, F0Range | None]  # system -> search range; None: without F0
    measures: Sequence[str]  # of MEASURES
    conventions: Mapping[str, int]  # of metrics.CONVENTIONS -> sample rate in Hz
    mixed_rates: bool = False  # whether recordings differ in sample rate
    cache: Path | None = None  # folder of the speech models' results


def choose_measures(requested: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Choose the speech models to measure with.

    Parameters
    ----------
    requested : sequence of str or None
        Keys of MEASURES; those of OWN_MODELS with a path, as in `wer=PATH`. None: all others that are installed.

    Returns
    -------
    list of str
        The measures.
    list of str
        A note on each that is left out.

    Raises
    ------
    ConfigError
        If a requested measure is unknown or not installed.
    """
    if requested is not None:
        chosen = list(dict.fromkeys(requested))
        for measure in chosen:
            _require(measure)
        absent = [name for name in MEASURES if name not in map(_name, chosen)]
        return chosen, [f"measures not requested: {', '.join(absent)}"] if absent else []
    chosen, notes = [], []
    for name in (name for name in MEASURES if name not in OWN_MODELS):
        try:
            _require(name)
            chosen.append(name)
        except ConfigError as error:
            notes.append(f"measure {name} is left out: {error}")
    return chosen, [*notes, NO_OWN_MODELS]


def measure_versions(measures: Sequence[str]) -> dict[str, str]:
    """Versions of the measures' packages, of the content encoder and of UTMOS's weights, by name."""
    from vc.encoders import utmos as published_utmos
    from vc.encoders.choice import DISTILLED

    versions = {}
    for measure in measures:
        name, _, path = measure.partition("=")
        package = MEASURES[name].MODULES[0]
        if name == "content":
            versions[f"content encoder {DISTILLED}"] = f"of vc {__version__}"
        elif name == "utmos":
            versions[Path(path).name] = f"SHA-256 {published_utmos.digest(path)[:16]}"
        else:
            versions[package] = version(package)
    return versions


def speech_model_scores(
    samples: np.ndarray, rate: int, measures: Sequence[str], *, common_rate: int, cache: Path | None = None
) -> SpeechModelScores:
    """Run the speech models on a recording.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`; full scale is 1.
    rate : int
        Sample rate in Hz.
    measures : sequence of str
        As returned by `choose_measures`.
    common_rate : int
        Sample rate in Hz at which content and timbre of all recordings are compared.
    cache : Path, optional
        Folder of results from earlier evaluations, to which new ones are added.

    Returns
    -------
    SpeechModelScores
    """
    store = cache and measures and ScoreCache(cache, samples, rate)
    functions = {
        "speaker": ("embedding", speaker.embed),
        "content": (
            "content",
            lambda *recording: content.analyse(audio.resample(*recording, common_rate), common_rate),
        ),
        "phones": ("phones", phones.recognise),
        "quality": ("quality", lambda *recording: quality.dnsmos(*recording)["overall"]),
        "mos": ("mos", mos.distillmos),
        "utmos": ("utmos", utmos.utmos),
        "wer": ("words", words.transcribe),
    }
    scores, remarks = {}, []
    for measure in measures:
        name, _, path = measure.partition("=")
        field, function = functions[name]
        try:
            compute = partial(function, samples, rate, *([path] if name in OWN_MODELS else []))
            scores[field] = store.get(name, compute) if store else compute()
        except DataError as error:
            remarks.append(f"measure {name}: {error}")
    try:
        if store:
            store.write()
    except OSError as error:
        remarks.append(f"results of speech models are not kept: {cache}: {error.strerror}")
    return SpeechModelScores(**scores, remarks=tuple(remarks))


def measure(sentence: Sentence, settings: MeasureSettings) -> dict[str, Measurement]:
    """Analyse every recording of a sentence, and compare it with the target's and the source's.

    Parameters
    ----------
    sentence : Sentence
        With the recordings of all systems that have it.
    settings : MeasureSettings
        The same for all sentences.

    Returns
    -------
    dict
        System -> measurement.

    Raises
    ------
    DataError
        If a recording cannot be read or analysed.
    """
    recordings = sentence.recordings
    tracks = {system: _track(utterance, settings, system) for system, utterance in recordings.items()}
    rate = settings.config.sample_rate
    by_models = {
        system: speech_model_scores(*utterance.read(), settings.measures, common_rate=rate, cache=settings.cache)
        for system, utterance in recordings.items()
    }
    remarks = {system: list(scores.remarks) for system, scores in by_models.items()}
    by_conventions = _distortions_by_conventions(recordings, settings.conventions, remarks)
    by_plugins = _figures_by_plugins(recordings, rate, remarks)
    phones_expected = expected_phones(sentence, by_models, remarks)
    words_expected = expected_words(sentence, by_models)
    measured = {}
    for system, track in tracks.items():
        scores = by_models[system]
        observation = Observation.of(
            track,
            settings.config.frame_rate,
            reference=tracks.get(REFERENCE),
            source=tracks.get(UNCONVERTED) if says_source(system) else None,
            figures={
                **by_conventions.get(system, {}),
                **by_plugins[system],
                **_figures_by_models(scores, phones_expected, words_expected),
            },
            embedding=scores.embedding,
            content=scores.content,
        )
        measured[system] = Measurement(observation, track.f0, remarks[system])
    return measured


def expected_phones(
    sentence: Sentence, scores: Mapping[str, SpeechModelScores], remarks: Mapping[str, list[str]]
) -> list[str] | None:
    """The phones that the recordings of a sentence should have.

    Those of the transcript; without a usable one, those recognised in the source's recording or, without a source, in
    the target's.
    """
    origin = next((system for system in (UNCONVERTED, REFERENCE) if system in scores), None)
    if sentence.text is not None and any(recording.phones is not None for recording in scores.values()):
        try:
            return phones.from_text(sentence.text)
        except DataError as error:
            remarks[origin or next(iter(scores))].append(f"measure phones: the text is ignored: {error}")
    return scores[origin].phones if origin else None


def expected_words(sentence: Sentence, scores: Mapping[str, SpeechModelScores]) -> str | None:
    """The transcript or, without one, the words recognised in the source's recording, else in the target's."""
    origin = next((system for system in (UNCONVERTED, REFERENCE) if system in scores), None)
    text = sentence.text if sentence.text is not None else scores[origin].words if origin else None
    return text if text is None else words.normalise(text)


def score_systems(
    recordings: Mapping[str, Recordings], measured: Mapping[str, Mapping[str, Measurement]], *, parallel: bool
) -> dict[str, Scores]:
    """Summarise the measurements of each system.

    Parameters
    ----------
    recordings : dict
        System -> sentence -> recording, of the sentences to include.
    measured : dict
        Sentence -> system -> measurement.
    parallel : bool
        Whether the target says the source's sentences.

    Returns
    -------
    dict
        System -> scores.
    """
    observations = {
        system: [measured[sentence][system].observation for sentence in sentences]
        for system, sentences in recordings.items()
    }
    source = observations.get(UNCONVERTED)
    return {
        system: summarise(
            utterances,
            observations[REFERENCE],
            source=source if parallel or says_source(system) else None,
            paired=parallel or not says_source(system),
        )
        for system, utterances in observations.items()
    }


def _require(measure: str) -> None:
    name, equals, path = measure.partition("=")
    require_known("measure", name, MEASURES)
    if name not in OWN_MODELS:
        if equals:
            raise ConfigError(f"measure {name} takes no path, got {measure!r}")
        MEASURES[name].require()
    elif not path:
        raise ConfigError(f"measure {name} needs {OWN_MODELS[name]}: {name}=PATH")
    else:
        MEASURES[name].require(path)


def _name(measure: str) -> str:
    return measure.partition("=")[0]


def _track(utterance: Utterance, settings: MeasureSettings, system: str) -> Track:
    rate = settings.config.sample_rate
    samples, _ = utterance.read(rate)
    if settings.mixed_rates and audio.info(utterance.path).sample_rate == rate:
        # Resampling the others to this rate attenuates the band just below the Nyquist frequency, a difference that
        # mel-cepstra would show as another voice.
        samples = audio.resample(audio.resample(samples, rate, OVERSAMPLING * rate), OVERSAMPLING * rate, rate)
    f0, frames = settings.config.extract(samples, settings.ranges[system])
    return Track(frames, f0)


def _figures_by_models(
    scores: SpeechModelScores, phones_expected: Sequence[str] | None, words_expected: str | None
) -> dict[str, float]:
    """Metric -> figure of one recording; error rates only where the expected phones or words are known."""
    opinions = {"dnsmos": scores.quality, "distillmos": scores.mos, "utmos": scores.utmos}
    figures = {name: value for name, value in opinions.items() if value is not None}
    if scores.phones is not None and phones_expected:
        figures["phone_error"] = phones.error_rate(scores.phones, phones_expected)
    if scores.words is not None and words_expected:
        recognised = words.normalise(scores.words)
        figures["word_error"] = phones.error_rate(recognised.split(), words_expected.split())
        figures["character_error"] = phones.error_rate(recognised, words_expected)
    return figures


def _figures_by_plugins(
    recordings: Recordings, rate: int, remarks: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """System -> metric -> figure, for the metrics of plug-ins."""
    figures: dict[str, dict[str, float]] = {system: {} for system in recordings}
    measures = {name: metric.figure for name, metric in METRICS.items() if metric.figure}
    if not measures:
        return figures
    samples = {system: utterance.read(rate)[0] for system, utterance in recordings.items()}
    for system, recording in samples.items():
        reference = None if system == REFERENCE else samples.get(REFERENCE)
        for name, figure in measures.items():
            try:
                value = figure(recording, reference, rate)
            except DataError as error:
                remarks[system].append(f"metric {name}: {error}")
                continue
            if value is not None:
                figures[system][name] = float(value)
    return figures


def _distortions_by_conventions(
    recordings: Recordings, conventions: Mapping[str, int], remarks: Mapping[str, list[str]]
) -> dict[str, dict[str, float]]:
    """System -> metric -> distortion, if the target has a recording of the sentence."""
    figures: dict[str, dict[str, float]] = {system: {} for system in recordings}
    if REFERENCE not in recordings or len(recordings) == 1:
        return figures
    for name, rate in conventions.items():
        frames = {}
        for system, utterance in recordings.items():
            try:
                frames[system] = compared_frames(name, utterance.read(rate)[0], rate)
            except DataError as error:
                remarks[system].append(str(error))
        for system in frames.keys() - {REFERENCE}:
            if REFERENCE in frames:
                figures[system][convention_metric(name)] = frames_distortion(frames[system], frames[REFERENCE])
    return figures
