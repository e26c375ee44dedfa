"""The figures of one utterance, and those of a system over its utterances."""

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
MODULATION_RATES = {"movement_slow": (1.0, 8.0), "movement_fast": (8.0, 25.0)}  # Hz: syllables, and what is within them
SAME_PACE = 0.02  # share of the frames by which a conversion at the source's pace may differ in length
EMBEDDING = 256  # dims of a speaker embedding


@dataclass(frozen=True)
class Track:
    """The analysis of a recording."""

    mel_cepstrum: np.ndarray  # (frames, order + 1)
    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced

    @property
    def speech_frames(self) -> int:
        """Frames from the first audible one to the last."""
        audible = np.flatnonzero(distortion.audible(self.mel_cepstrum))
        return int(audible[-1] - audible[0] + 1)


@dataclass(frozen=True)
class Observation:
    """What is kept of a recording until its system is summarised."""

    figures: dict[str, float]  # metric -> figure, those that the utterance has by itself
    mel_cepstrum: np.ndarray  # (frames, order + 1)
    variance: np.ndarray  # (D,)
    spectrum: np.ndarray  # (D, frequencies) dB
    source_moments: Moments | None  # of each speech frame of the source with the frame converted from it
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
        """Observe a recording.

        Parameters
        ----------
        track : Track
            Of the recording.
        frame_rate : float
            Frames per second.
        reference, source : Track, optional
            Of the target's recording of the same sentence, and of the recording that this one was converted from.
        figures : dict, optional
            Metric -> figure, of those measured elsewhere.
        embedding : np.ndarray, optional
            Of the speaker, by `vc.metrics.speaker`.
        content : Content, optional
            By `vc.metrics.content`.
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
        """c1..D and their slopes, `(speech frames, 2 * D)`."""
        return sets.moving(self.mel_cepstrum)[distortion.audible(self.mel_cepstrum)]


@dataclass(frozen=True)
class Scores:
    """One system's figures; NaN where one is unknown."""

    means: dict[str, float]  # metric -> figure
    intervals: dict[str, Interval]  # metric -> 95 % interval
    rows: list[dict[str, float]]  # metric -> figure, for each utterance


def compare(converted: Track, reference: Track) -> dict[str, float]:
    """Metric -> figure, of those that two recordings of a sentence have by themselves."""
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
    """All figures of a system.

    The figure of a system is the mean over the utterances that have one; figures of whole sets stand beside.

    Parameters
    ----------
    system : sequence of Observation
        One for each utterance.
    reference : sequence of Observation
        The target's recordings, in the same order if they are `paired`; `system` itself for the target's own figures.
    source : sequence of Observation or None
        The recordings that were converted, in the same order.
    paired : bool
        Whether the target says the same sentences.
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
            own, target = (
                sets.different_sentences([each.mel_cepstrum for each in side]) for side in (system, reference)
            )
            figures["diversity"] = sets.with_interval(
                lambda subset, references: sets.diversity(own[subset], target[references]),
                len(own),
                len(target),
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
    """Metric -> figure, for each utterance; parameters as those of `summarise`."""
    usual = np.mean([each.variance for each in reference], axis=0)
    rows = []
    for each in system:
        row = {**each.figures, "gv_ratio": distortion.gv_ratio(each.variance, usual)}
        for name, (first, last) in GV_BANDS.items():
            if len(each.variance) >= first:
                row[name] = distortion.gv_ratio(each.variance[first - 1 : last], usual[first - 1 : last])
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
    if origin is not None and len(origin) > 1 and all(each.content for each in origin):
        contents = [each.content for each in origin]
        centre = content.centre_of(contents)
        unrelated = content.different_sentences(contents, centre)
        for row, each, other in zip(rows, system, contents, strict=True):
            if each.content:
                row["content_distance"] = content.distance(each.content, other, centre) / unrelated

    if source is not None:
        for row, each in zip(rows, source, strict=True):
            if "phone_error" in row and "phone_error" in each.figures:
                row["phone_error_added"] = row["phone_error"] - each.figures["phone_error"]
    return rows


def set_figures(
    system: Sequence[Observation],
    reference: Sequence[Observation],
    *,
    source: Sequence[Observation] | None,
    paired: bool,
) -> dict[str, Figure]:
    """Metric -> figure of the whole set, by the utterances that are kept; parameters as those of `summarise`."""
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
            # Beside each source sentence what was converted from another one, frame by frame from the beginning
            half = len(system) // 2
            unrelated = [
                _moments_with_source(other.mel_cepstrum, each.mel_cepstrum, simultaneous=True)
                for each, other in zip(source, [*system[half:], *system[:half]], strict=True)
            ]
            own = [each.source_moments for each in system]
            figures["content_lost"] = sets.relative_content_lost(own, unrelated)
    return figures


def _moments_with_source(converted: np.ndarray, source: np.ndarray, *, simultaneous: bool = False) -> Moments:
    """Of a source's speech frames with the frames converted from them.

    Those at the same time if `simultaneous`, or if the conversion has kept the pace; otherwise those that DTW finds.
    """
    if simultaneous or abs(len(converted) - len(source)) <= SAME_PACE * len(source):
        rows = columns = np.flatnonzero(distortion.audible(source)[: len(converted)])
    else:
        rows, columns = distortion.speech_path(converted, source)
    return Moments.of(np.column_stack([source[columns, 1:], converted[rows, 1:]]))


def _embeddings(side: Sequence[Observation]) -> np.ndarray:
    """`(utterances, EMBEDDING)`, NaN where there is none."""
    return np.array([np.full(EMBEDDING, np.nan) if each.embedding is None else each.embedding for each in side])
