"""The metrics of one utterance, and their summary over a system's utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vc.metrics import content, distortion, f0, sets
from vc.metrics.content import Content
from vc.metrics.registry import METRICS
from vc.metrics.sets import Figure, Moments
from vc.metrics.statistics import UNKNOWN, Interval, clip, mean_interval

GV_BANDS = {"gv_ratio_low": (1, 8), "gv_ratio_middle": (9, 24), "gv_ratio_high": (25, None)}  # first and last c
MODULATION_RATES = {"movement_slow": (1.0, 8.0), "movement_fast": (8.0, 25.0)}  # Hz: syllable rate, and faster
SAME_PACE = 0.02  # relative difference in length up to which a conversion has the source's timing
EMBEDDING = 256  # dims of a speaker embedding


@dataclass(frozen=True)
class Track:
    """The analysis of a recording."""

    mel_cepstrum: np.ndarray  # (frames, order + 1)
    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced

    @property
    def speech_frames(self) -> int:
        """Number of frames from the first to the last audible one."""
        audible = np.flatnonzero(distortion.audible(self.mel_cepstrum))
        return int(audible[-1] - audible[0] + 1)


@dataclass(frozen=True)
class Observation:
    """Measurements of one recording, from which a system's scores are computed."""

    figures: dict[str, float]  # metric -> figure of this utterance
    mel_cepstrum: np.ndarray  # (frames, order + 1)
    variance: np.ndarray  # (D,) global variance
    spectrum: np.ndarray  # (D, frequencies) modulation spectrum, dB
    source_moments: Moments | None  # joint moments of the source's speech frames and the frames converted from them
    embedding: np.ndarray | None  # (EMBEDDING,) of the speaker
    content: Content | None

    @classmethod
    def of(
        cls,
        track: Track,
        frame_rate: float,
        *,
        reference: Track | None = None,
        source: Track | None = None,
        figures: dict[str, float] | None = None,
        embedding: np.ndarray | None = None,
        content: Content | None = None,
    ) -> "Observation":
        """Measure a recording.

        Parameters
        ----------
        track : Track
            Its analysis.
        frame_rate : float
            Frames per second.
        reference, source : Track, optional
            The target's recording of the same sentence, and the recording from which this one was converted.
        figures : dict, optional
            Metric -> figure, for metrics computed elsewhere.
        embedding : np.ndarray, optional
            Shape `(EMBEDDING,)`, from `vc.metrics.speaker`.
        content : Content, optional
            From `vc.metrics.content`.

        Returns
        -------
        Observation
        """
        compared = {} if reference is None or reference is track else compare(track, reference)
        return cls(
            {**compared, **(figures or {})},
            track.mel_cepstrum.astype(np.float32),
            distortion.global_variance(track.mel_cepstrum),
            distortion.modulation_spectrum(track.mel_cepstrum, frame_rate).astype(np.float32),
            None if source is None else _moments_with_source(track.mel_cepstrum, source.mel_cepstrum),
            embedding,
            content,
        )

    @property
    def frames(self) -> np.ndarray:
        """c1..D and their slopes over speech frames, `(frames, 2 * D)`."""
        return sets.moving(self.mel_cepstrum)[distortion.audible(self.mel_cepstrum)]


@dataclass(frozen=True)
class Scores:
    """One system's figures; NaN where unknown."""

    means: dict[str, float]  # metric -> figure
    intervals: dict[str, Interval]  # metric -> 95 % interval
    rows: list[dict[str, float]]  # metric -> figure, for each utterance


def compare(converted: Track, reference: Track) -> dict[str, float]:
    """Compare two recordings of a sentence: metric -> figure."""
    path = distortion.speech_path(converted.mel_cepstrum, reference.mel_cepstrum)
    return {
        "mcd": distortion.mel_cepstral_distortion(converted.mel_cepstrum, reference.mel_cepstrum, path),
        "log_f0_rmse": f0.log_f0_rmse(converted.f0, reference.f0, path),
        "log_f0_corr": f0.log_f0_correlation(converted.f0, reference.f0, path),
        "voicing_error": f0.voicing_error(converted.f0, reference.f0, path),
        "duration_ratio": converted.speech_frames / reference.speech_frames,
    }


def summarise(
    system: Sequence[Observation],
    reference: Sequence[Observation],
    *,
    source: Sequence[Observation] | None,
    paired: bool,
) -> Scores:
    """Summarise a system: means over the utterances that have a figure, and figures of the whole set.

    Parameters
    ----------
    system : sequence of Observation
        One for each utterance.
    reference : sequence of Observation
        The target's recordings, in the same order if `paired`; `system` itself for the target's own figures.
    source : sequence of Observation or None
        The unconverted recordings, in the same order.
    paired : bool
        Whether the target says the same sentences.

    Returns
    -------
    Scores
    """
    rows = utterance_figures(system, reference, source=source, paired=paired)
    figures = {}
    for name in METRICS:
        values = np.array([row[name] for row in rows if math.isfinite(row.get(name, math.nan))])
        interval = mean_interval(values) if len(values) > 1 else UNKNOWN
        figures[name] = (float(values.mean()) if len(values) else math.nan, interval)
    if system is not reference:
        for name, figure in set_figures(system, reference, source=source, paired=paired).items():
            figures[name] = sets.with_interval(figure, len(system), len(reference), paired=paired)
        if min(len(system), len(reference)) > 1:
            distances, target_distances = (
                sets.different_sentences([utterance.mel_cepstrum for utterance in side]) for side in (system, reference)
            )
            figures["diversity"] = sets.with_interval(
                lambda subset, references: sets.diversity(distances[subset], target_distances[references]),
                len(distances),
                len(target_distances),
                paired=paired,
            )
    means = {name: figures[name][0] for name in METRICS}
    intervals = {name: clip(figures[name][1], METRICS[name].limits) for name in METRICS}
    return Scores(means, intervals, rows)


def utterance_figures(
    system: Sequence[Observation],
    reference: Sequence[Observation],
    *,
    source: Sequence[Observation] | None,
    paired: bool,
) -> list[dict[str, float]]:
    """Metric -> figure, for each utterance; parameters as in `summarise`."""
    reference_variance = np.mean([utterance.variance for utterance in reference], axis=0)
    rows = []
    for utterance in system:
        variance = utterance.variance
        row = {**utterance.figures, "gv_ratio": distortion.gv_ratio(variance, reference_variance)}
        for name, (first, last) in GV_BANDS.items():
            if len(variance) >= first:
                row[name] = distortion.gv_ratio(variance[first - 1 : last], reference_variance[first - 1 : last])
        rows.append(row)

    embeddings = _embeddings(system)
    to_target = sets.similarities(embeddings, _embeddings(reference), leave_one_out=paired)
    for row, similarity in zip(rows, to_target, strict=True):
        if np.isfinite(similarity):
            row["speaker_similarity"] = float(similarity)
    if source is not None:
        to_source = sets.similarities(embeddings, _embeddings(source), leave_one_out=True)
        for row, similarity, other in zip(rows, to_target, to_source):
            if np.isfinite(similarity + other):
                row["nearer_target"] = float(similarity > other)

    origin = reference if source is None and paired else source
    if origin is not None and len(origin) > 1 and all(utterance.content for utterance in origin):
        contents = [utterance.content for utterance in origin]
        centre = content.centre_of(contents)
        unrelated = content.different_sentences(contents, centre)
        for row, utterance, original in zip(rows, system, contents, strict=True):
            if utterance.content and unrelated > content.COPIES:
                row["content_distance"] = content.distance(utterance.content, original, centre) / unrelated

    if source is not None:
        for row, utterance in zip(rows, source, strict=True):
            if "phone_error" in row and "phone_error" in utterance.figures:
                row["phone_error_added"] = row["phone_error"] - utterance.figures["phone_error"]
    return rows


def set_figures(
    system: Sequence[Observation],
    reference: Sequence[Observation],
    *,
    source: Sequence[Observation] | None,
    paired: bool,
) -> dict[str, Figure]:
    """Metric -> figure of the whole set, as a function of a subset of utterances; parameters as in `summarise`."""
    frames, target_frames = ([each.frames for each in side] for side in (system, reference))
    unit = np.maximum(np.concatenate(target_frames).std(axis=0), sets.MIN_VARIANCE)
    spectra = [np.stack([each.spectrum for each in side]) for side in (system, reference)]
    figures = {
        "msd": sets.modulation(*spectra),
        **{
            name: sets.movement(*spectra, lowest=lowest, highest=highest)
            for name, (lowest, highest) in MODULATION_RATES.items()
        },
        "frechet_distance": sets.frechet(frames, target_frames, unit),
        "sound_score": sets.sound_score(frames, target_frames, unit),
        "kernel_distance": sets.sampled_kernel(frames, target_frames, unit, paired=paired),
    }
    embeddings = [_embeddings(side) for side in (system, reference)]
    if all(np.isfinite(side).any() for side in embeddings):
        figures["speaker_eer"] = sets.equal_error_rate(*embeddings, paired=paired)
    contents = [[each.content for each in side] for side in (system, reference)]
    if all(map(all, contents)) and min(map(len, contents)) > 1:
        figures["timbre_distance"] = sets.timbre(*contents, paired=paired)
    if source is not None:
        to_source = sets.frechet(frames, [each.frames for each in source], unit)
        figures["approach"] = sets.approach_by(to_source, figures["frechet_distance"])
        if all(each.source_moments for each in system) and len(system) > 1:
            # Each source sentence with the conversion of another one, frame by frame from the beginning
            half = len(system) // 2
            unrelated = [
                _moments_with_source(other.mel_cepstrum, each.mel_cepstrum, simultaneous=True)
                for each, other in zip(source, [*system[half:], *system[:half]], strict=True)
            ]
            related = [utterance.source_moments for utterance in system]
            figures["content_lost"] = sets.relative_content_lost(related, unrelated)
    return figures


def _moments_with_source(converted: np.ndarray, source: np.ndarray, *, simultaneous: bool = False) -> Moments:
    """Joint moments of a source's speech frames and the frames converted from them.

    Frames at the same time if `simultaneous`, or if the conversion kept the timing; otherwise frames paired by DTW.
    """
    if simultaneous or abs(len(converted) - len(source)) <= SAME_PACE * len(source):
        rows = columns = np.flatnonzero(distortion.audible(source)[: len(converted)])
    else:
        rows, columns = distortion.speech_path(converted, source)
    return Moments.of(np.column_stack([source[columns, 1:], converted[rows, 1:]]))


def _embeddings(side: Sequence[Observation]) -> np.ndarray:
    """Speaker embeddings `(utterances, EMBEDDING)`, NaN where missing."""
    return np.array([np.full(EMBEDDING, np.nan) if each.embedding is None else each.embedding for each in side])
