"""What an evaluation found: as data, as JSON, and as a table for the terminal."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vc import __version__
from vc.config import digest
from vc.evaluate.anchors import Direction
from vc.evaluate.match import Recordings
from vc.features.world import F0Range, WorldConfig
from vc.metrics import distortion, intervals
from vc.metrics.scores import METRICS, Scores

DEFINITIONS = {
    "mcd": "(10 / ln 10) * sqrt(2 * sum over c1..D of squared differences), mean over the path",
    "msd": "root mean square over c1..D and modulation frequencies of the two sets' mean modulation spectra",
    "gv_ratio": "variance in speech over the reference set's mean variance, mean over c1..D",
    "log_f0_rmse": "root mean square difference of natural log F0, pairs of the path that are voiced on both sides",
    "log_f0_corr": "Pearson's correlation of log F0 over the same pairs",
    "voicing_error": "share of the path's pairs that are voiced on one side only",
    "duration_ratio": "first to last speech frame, over the reference's",
}


@dataclass(frozen=True)
class Evaluation:
    """Figures of the converted set and of its anchors, and what a report needs to show and play them."""

    title: str
    sentences: list[str]
    scores: dict[str, Scores]  # `converted` first, then the anchors there are; their rows go along the sentences
    recordings: dict[str, Recordings]  # of each system and of `reference`
    f0: dict[str, dict[str, np.ndarray]]  # the same, by sentence: (frames,) Hz
    configuration: dict[str, Any]
    counts: dict[str, int]
    unmatched: dict[str, list[str]]  # side -> names
    failures: list[str]  # one line each
    notes: list[str]  # what a reader must know: what is left out, what was decided


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of metrics.json: strict JSON, null for what cannot be told."""
    systems = {name: {**scores.means, "intervals": scores.intervals} for name, scores in evaluation.scores.items()}
    shown = ("title", "counts", "configuration", "notes", "failures", "unmatched")
    content = {**systems.pop("converted"), "anchors": systems, **{name: getattr(evaluation, name) for name in shown}}
    content["utterances"] = [
        {
            "sentence": sentence,
            **evaluation.scores["converted"].rows[index],
            "anchors": {name: evaluation.scores[name].rows[index] for name in systems},
        }
        for index, sentence in enumerate(evaluation.sentences)
    ]
    return _strict(content)


def format_table(evaluation: Evaluation) -> str:
    """A line a metric and a column a system, each figure with half of its 95 % interval; then the settings."""
    lines = [["", *evaluation.scores]]
    for name, metric in METRICS.items():
        label = f"{name} [{metric.unit}]" if metric.unit else name
        lines.append([label, *(_cell(scores, name) for scores in evaluation.scores.values())])
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    heading = f"{evaluation.title}, {len(evaluation.sentences)} sentences, ± half of the 95 % interval"
    return "\n".join([heading, *table, evaluation.configuration["summary"]])


def _cell(scores: Scores, name: str) -> str:
    value, (low, high) = scores.means[name], scores.intervals[name]
    decimals = METRICS[name].decimals
    return "-" if math.isnan(value) else f"{value:.{decimals}f} ± {(high - low) / 2:.{decimals}f}"


def _strict(value: Any) -> Any:
    """Numbers that JSON has not become null; six significant digits are more than any figure holds."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def configuration(
    config: WorldConfig, ranges: dict[str, F0Range], folders: dict[str, Path | None], direction: Direction | None
) -> dict[str, Any]:
    """All that the figures depend on, units in the names. The digest is that of the settings, not of the folders."""
    settings = {
        "vc_version": __version__,
        "sample_rate_hz": config.sample_rate,
        "frame_shift_ms": config.frame_shift,
        "fft_samples": config.fft_size,
        "mel_cepstrum_order": config.order,
        "all_pass_constant": config.warping,
        "f0_method": config.f0_method,
        "f0_ranges_hz": {system: [found.floor, found.ceiling] for system, found in ranges.items()},
        "speech": "frames whose c0 is within dynamic_range_db of the loudest frame's, on each side",
        "dynamic_range_db": distortion.DYNAMIC_RANGE,
        "path": "exact DTW on c1..D of the speech frames, Euclidean, steps (1, 1), (1, 0), (0, 1) of weight 1",
        "modulation_fft_frames": distortion.MODULATION_FFT,
        "highest_modulation_hz": distortion.HIGHEST_MODULATION,
        "intervals": f"{intervals.CONFIDENCE:.0%} over sentences, {intervals.RESAMPLES} bootstrap resamples",
        "seed": intervals.SEED,
        "metrics": DEFINITIONS,
        "units": {name: metric.unit or "plain number" for name, metric in METRICS.items()},
    }
    given = {name: None if folder is None else str(folder) for name, folder in folders.items()}
    model = (
        {"file": str(direction.model), "source": direction.source, "target": direction.target} if direction else None
    )
    about = {"summary": _summary(config), "digest": digest(settings), "folders": given, "model": model}
    return {**settings, **about}


def _summary(config: WorldConfig) -> str:
    return (
        f"WORLD at {config.sample_rate} Hz, {config.frame_shift:g} ms; mel-cepstrum of order {config.order}, all-pass"
        f" {config.warping}, c0 left out; frames within {distortion.DYNAMIC_RANGE:g} dB of the loudest; exact DTW;"
        f" F0 by {config.f0_method}"
    )
