"""What is kept of a recording, the figures of one utterance, and those of a system over its utterances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vc.metrics import content, distortion, distribution, pitch, sets
from vc.metrics.content import Content
from vc.metrics.distribution import Moments
from vc.metrics.diversity import different_sentences, diversity
from vc.metrics.intervals import Interval, mean_interval, within
from vc.metrics.registry import METRICS
from vc.metrics.sets import Figure

NOTHING = (math.nan, math.nan)
GV_BANDS = {"gv_ratio_low": (1, 8), "gv_ratio_middle": (9, 24), "gv_ratio_high": (25, None)}  # first and last c
MOVEMENT = {"movement_slow": (1.0, 8.0), "movement_fast": (8.0, 25.0)}  # Hz: syllables, and what is within them
SAME_PACE = 0.02  # share of the frames by which a system that keeps the pace may differ


@dataclass(frozen=True)
class Track:
    """What is measured of a recording."""

    mel_cepstrum: np.ndarray  # (frames, order + 1)
    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced

    @property
    def speech_frames(self) -> int:  # from the first audible frame to the last
        heard = np.flatnonzero(distortion.audible(self.mel_cepstrum))
        return int(heard[-1] - heard[0] + 1)


@dataclass(frozen=True)
class Observation:
    """What is kept of a recording until its system is summarised."""

    figures: dict[str, float]  # metric -> figure, those that the utterance has by itself
    mel_cepstrum: np.ndarray  # (frames, order + 1)
    variance: np.ndarray  # (D,)
    spectrum: np.ndarray  # (D, frequencies) dB
    content: Moments | None  # of each speech frame of the source with the frame made of it
    embedding: np.ndarray | None  # (256,) of the speaker
    spoken: Content | None = None  # what a content encoder hears

    @classmethod
    def of(
        cls,
        track: Track,
        frame_rate: float,
        reference: Track | None = None,
        source: Track | None = None,
        more: dict[str, float] | None = None,
        embedding: np.ndarray | None = None,
        spoken: Content | None = None,
    ) -> "Observation":
        """Of a recording, the target's of the same sentence, and the one that it was made of, where there are such.

        `more` has figures that others have found, `embedding` is metrics.speaker's, `spoken` metrics.content's.
        """
        compared = {} if reference is None or reference is track else compare(track, reference)
        return cls(
            {**compared, **(more or {})},
            track.mel_cepstrum.astype(np.float32),
            distortion.global_variance(track.mel_cepstrum),
            distortion.modulation_spectrum(track.mel_cepstrum, frame_rate).astype(np.float32),
            None if source is None else _content(track.mel_cepstrum, source.mel_cepstrum),
            embedding,
            spoken,
        )

    @property
    def frames(self) -> np.ndarray:  # (speech frames, 2 * D), c1..D and their movement
        return distribution.moving(self.mel_cepstrum)[distortion.audible(self.mel_cepstrum)]


@dataclass(frozen=True)
class Scores:
    """One system's figures; NaN where one cannot be told."""

    means: dict[str, float]  # metric -> figure
    intervals: dict[str, Interval]  # metric -> 95 % interval
    rows: list[dict[str, float]]  # metric -> figure, an utterance each


def compare(converted: Track, reference: Track) -> dict[str, float]:
    """The figures that two recordings of a sentence give by themselves."""
    path = distortion.speech_path(converted.mel_cepstrum, reference.mel_cepstrum)
    return {
        "mcd": distortion.mel_cepstral_distortion(converted.mel_cepstrum, reference.mel_cepstrum, path),
        "log_f0_rmse": pitch.log_f0_rmse(converted.f0, reference.f0, path),
        "log_f0_corr": pitch.log_f0_correlation(converted.f0, reference.f0, path),
        "voicing_error": pitch.voicing_error(converted.f0, reference.f0, path),
        "duration_ratio": converted.speech_frames / reference.speech_frames,
    }


def _content(converted: np.ndarray, source: np.ndarray, same_time: bool = False) -> Moments:
    """Of a source's speech frames with the frames made of them: those of the `same_time`, or, where a system has
    changed the pace, those that DTW finds.
    """
    if same_time or abs(len(converted) - len(source)) <= SAME_PACE * len(source):
        kept = np.flatnonzero(distortion.audible(source)[: len(converted)])
        pairs = kept, kept
    else:
        pairs = distortion.speech_path(converted, source)
    return Moments.of(np.column_stack([source[pairs[1], 1:], converted[pairs[0], 1:]]))


def summarise(
    own: Sequence[Observation], reference: Sequence[Observation], source: Sequence[Observation] | None, paired: bool
) -> Scores:
    """A system's figures. `source` is in the order of `own`; so is `reference` if they are `paired`.

    The figure of a system is the mean over the utterances that have one; the set's own figures stand beside.
    """
    rows = _rows(own, reference, source, paired)
    figures = {name: _mean(rows, name) for name in METRICS}
    if own is not reference:
        for name, figure in _set_figures(own, reference, source, paired).items():
            figures[name] = sets.told(figure, len(own), len(reference), paired)
        if min(len(own), len(reference)) > 1:
            figures["diversity"] = _diversity(own, reference, paired)
    means = {name: figures[name][0] for name in METRICS}
    intervals = {name: within(figures[name][1], METRICS[name].limits) for name in METRICS}
    return Scores(means, intervals, rows)


def _rows(
    own: Sequence[Observation], reference: Sequence[Observation], source: Sequence[Observation] | None, paired: bool
) -> list[dict[str, float]]:
    usual = np.mean([each.variance for each in reference], axis=0)
    rows = [{**each.figures, **_liveliness(each.variance, usual)} for each in own]
    origin = reference if source is None and paired else source
    for row, *more in zip(rows, _voices(own, reference, source, paired), _contents(own, origin), strict=True):
        for figures in more:
            row |= figures
    if source is not None:
        for row, each in zip(rows, source, strict=True):
            if "phone_error" in row and "phone_error" in each.figures:
                row["phone_error_added"] = row["phone_error"] - each.figures["phone_error"]
    return rows


def _voices(
    own: Sequence[Observation], reference: Sequence[Observation], source: Sequence[Observation] | None, paired: bool
) -> list[dict[str, float]]:
    """How alike each utterance's voice is to the target's in other sentences, and whether less to the source's."""
    embeddings = [_embeddings(side) for side in (own, reference)]
    likeness = sets.likeness(*embeddings, apart=paired)
    rows = [{"speaker_similarity": float(each)} if np.isfinite(each) else {} for each in likeness]
    if source is not None:
        to_source = sets.likeness(embeddings[0], _embeddings(source), apart=True)
        for row, target, other in zip(rows, likeness, to_source):
            if np.isfinite(target + other):
                row["nearer_target"] = float(target > other)
    return rows


def _liveliness(variance: np.ndarray, usual: np.ndarray) -> dict[str, float]:
    """Global variance over the target's, of all coefficients and of the bands that there are."""
    figures = {"gv_ratio": distortion.gv_ratio(variance, usual)}
    for name, (first, last) in GV_BANDS.items():
        if len(variance) >= first:
            figures[name] = distortion.gv_ratio(variance[first - 1 : last], usual[first - 1 : last])
    return figures


def _contents(own: Sequence[Observation], origin: Sequence[Observation] | None) -> list[dict[str, float]]:
    """How far what each utterance says is from the `origin`'s of the same place, over that of different sentences."""
    told = origin is not None and len(origin) > 1 and all(each.spoken for each in origin)
    if not told:
        return [{} for _ in own]
    said = [each.spoken for each in origin]
    centre = content.centre_of(said)
    chance = content.different_sentences(said, centre)
    return [
        {"content_distance": content.distance(each.spoken, other, centre) / chance} if each.spoken else {}
        for each, other in zip(own, said, strict=True)
    ]


def _embeddings(side: Sequence[Observation]) -> np.ndarray:
    """`(utterances, 256)`, NaN where there is none."""
    return np.array([np.full(256, np.nan) if each.embedding is None else each.embedding for each in side])


def _set_figures(
    own: Sequence[Observation], reference: Sequence[Observation], source: Sequence[Observation] | None, paired: bool
) -> dict[str, Figure]:
    frames, wanted = ([each.frames for each in side] for side in (own, reference))
    unit = np.maximum(np.concatenate(wanted).std(axis=0), distribution.FAINTEST)
    spectra = [np.stack([each.spectrum for each in side]) for side in (own, reference)]
    figures = {
        "msd": sets.modulation(*spectra),
        **{name: sets.movement(*spectra, *rates) for name, rates in MOVEMENT.items()},
        "frechet_distance": sets.frechet(frames, wanted, unit),
        "kernel_distance": sets.kernel(frames, wanted, unit, paired),
    }
    voices = [_embeddings(side) for side in (own, reference)]
    if all(np.isfinite(side).any() for side in voices):
        figures["speaker_eer"] = sets.equal_error_rate(*voices, paired)
    spoken = [[each.spoken for each in side] for side in (own, reference)]
    if all(map(all, spoken)) and min(map(len, spoken)) > 1:
        figures["timbre_distance"] = sets.timbre(*spoken, paired)
    if source is not None:
        to_source = sets.frechet(frames, [each.frames for each in source], unit)
        figures["approach"] = sets.approach(to_source, figures["frechet_distance"])
        if all(each.content for each in own) and len(own) > 1:
            figures["content_lost"] = sets.content([each.content for each in own], _by_chance(own, source))
    return figures


def _by_chance(own: Sequence[Observation], source: Sequence[Observation]) -> list[Moments]:
    """Each source sentence with what was made of another one, frame by frame from the beginning."""
    half = len(own) // 2
    others = [*own[half:], *own[:half]]
    return [_content(other.mel_cepstrum, each.mel_cepstrum, True) for each, other in zip(source, others, strict=True)]


def _diversity(own: Sequence[Observation], reference: Sequence[Observation], paired: bool) -> tuple[float, Interval]:
    apart, wanted = (different_sentences([each.mel_cepstrum for each in side]) for side in (own, reference))
    return sets.told(lambda kept, others: diversity(apart[kept], wanted[others]), len(apart), len(wanted), paired)


def _mean(rows: Sequence[dict[str, float]], name: str) -> tuple[float, Interval]:
    known = np.array([row[name] for row in rows if math.isfinite(row.get(name, math.nan))])
    if len(known) == 0:
        return math.nan, NOTHING
    return float(known.mean()), mean_interval(known) if len(known) > 1 else NOTHING
