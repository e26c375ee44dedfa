"""The report of one evaluation as a self-contained HTML page: headline, players, grades, sentences, figures."""

import datetime
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc import extras
from vc.corpus import audio
from vc.errors import ConfigError
from vc.evaluate.anchors import ANCHORS, COPY_SYNTHESIS, MEAN_VARIANCE, REFERENCE, UNCONVERTED, says_source
from vc.evaluate.measure import NO_OWN_MODELS
from vc.evaluate.results import Evaluation
from vc.evaluate.run import ENOUGH_SENTENCES
from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, MIN_SENTENCES, MODEL, UNCHECKED, Finding
from vc.files import write_text
from vc.metrics.arrays import evenly_spread
from vc.metrics.registry import METRICS
from vc.plots import Panel, picture, require_matplotlib
from vc.report.curves import ABOUT_CURVES, draw_curves, names_of_curves
from vc.report.html import NAMES, as_number, as_unicode, data_url, name_of, render
from vc.report.tables import definitions, differences, figures, ranking_metric, sentences, settings

ENOUGH_SECONDS = 20  # of the target's recordings; with less, the page says what that means
MAX_EXAMPLES = 10  # sentences with audio, evenly spread over the ranking
WORST, BEST = 3, 2  # examples shown unfolded
MAX_SECONDS = 20  # of a recording that are played and plotted
MAX_SYSTEMS = 3  # converted ones whose recordings are plotted, and play without unfolding anything
log = logging.getLogger(__name__)


class Player(NamedTuple):
    """A recording to play."""

    label: str
    seconds: float
    address: str  # data URL


class Example(NamedTuple):
    """A sentence with its recordings and spectrograms."""

    name: str
    place: str  # in the ranking
    text: str  # transcript, empty if unknown
    players: list[Player]  # source, up to MAX_SYSTEMS converted, target
    others: list[Player]  # further converted systems, and anchors
    picture: str  # data URL, empty without a plot
    description: str  # of the picture

    @property
    def details(self) -> str:
        """Heading of the folded part: spectrograms and other recordings."""
        labels = [player.label for player in self.others]
        labels = [label.lower() if label in NAMES.values() else label for label in labels]
        text = ", ".join(["Spectrograms"] * bool(self.picture) + labels)
        return text[:1].upper() + text[1:]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all; without matplotlib it has no plots.

    Parameters
    ----------
    evaluation : Evaluation
        With its recordings still in place.
    path : Path
        The page.
    """
    # Measures that need a model of the user's own are mentioned under "What was measured"
    notes = [note for note in evaluation.notes if note != NO_OWN_MODELS]
    plots, lines = True, [*notes, *(f"failed: {failure}" for failure in evaluation.failures)]
    try:
        require_matplotlib()
    except ConfigError as error:
        plots = False
        lines.append(f"the page has no plots: {error}")
        log.warning(lines[-1])
    log.info("writing %s", path)

    # Sentences ranked by the first system's figure, best first; examples are the median, then from worst to best
    first, metric = evaluation.systems[0], METRICS[ranking_metric(evaluation)]
    rows = evaluation.scores[first].rows
    faults = [metric.fault(row[ranking_metric(evaluation)]) for row in rows]
    ranking = np.argsort(faults, kind="stable").tolist()
    middle = len(ranking) // 2
    seconds = sum(map(len, evaluation.f0[REFERENCE].values())) * evaluation.configuration["frame_shift_ms"] / 1000
    ranks = [rank for rank in evenly_spread(len(ranking), MAX_EXAMPLES)[::-1] if rank != middle]
    folded = ranks[WORST:-BEST]
    examples = {rank: _example(evaluation, ranking, rank, plots=plots and rank not in folded) for rank in ranks}
    of_system = f" of {name_of(first)}" if len(evaluation.systems) > 1 else ""

    date, model = datetime.date.fromisoformat(evaluation.configuration["date"]), evaluation.configuration["model"]
    about = [
        f"Voice conversion, {evaluation.title}",
        *([f"model {Path(model['file']).name}"] if model else []),
        f"{len(evaluation.sentences)} sentence{'s' * (len(evaluation.sentences) > 1)}",
        f"{date.day} {date:%B %Y}",
    ]
    curves = draw_curves(evaluation.training) if plots else None
    content = {
        "title": f"Voice conversion: {evaluation.title}",
        "about": about,
        "systems": [
            {
                "name": name_of(system),
                "headline": evaluation.headline(system),
                "findings": _worst_first(evaluation.verdicts[system]),
            }
            for system in evaluation.systems
        ],
        "model": _worst_first(evaluation.verdicts.get(MODEL, [])),
        "median": _example(evaluation, ranking, middle, plots=plots, with_anchors=True),
        "notes": [line.partition(extras.COMMAND)[0] for line in lines],
        "ranked": f"Sentences are ranked by the {metric.label}{of_system} ({metric.best});"
        " the median one is at the top of the page.",
        "worst_and_best": [examples[rank] for rank in ranks if rank not in folded],
        "between": [examples[rank] for rank in folded],
        "figures": figures(evaluation),
        "anchors": [anchor for anchor in ANCHORS if anchor in evaluation.scores],
        "few": len(ranking) if len(ranking) < ENOUGH_SENTENCES else 0,
        "fewest": MIN_SENTENCES,
        "enough": ENOUGH_SECONDS,
        "short": seconds if seconds < ENOUGH_SECONDS else 0,
        "differences": differences(evaluation),
        "sentences": sentences(evaluation),
        "training": data_url("image/png", curves) if curves else "",
        "about_training": ABOUT_CURVES,
        "training_description": f"Losses by step, one panel each: {', '.join(names_of_curves(evaluation.training))}",
        "measured": _main_settings(evaluation),
        "definitions": definitions(evaluation),
        "settings": settings(evaluation.configuration),
    }
    write_text(path, render("vc.report", "report.html", **content))


def _main_settings(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The most important settings."""
    about = evaluation.configuration
    folders, model = about["folders"], about["model"]
    which = "the same sentences" if evaluation.parallel else "other sentences"
    packages = [f"{name} {version}" for name, version in about["measure_packages"].items()]
    return [
        *((f"{name_of(system)} recordings", folder) for system, folder in folders["systems"].items()),
        ("Converted by", model["file"] if model else "not given"),
        (f"Target, {evaluation.target}", f"{folders['reference']}, {which}"),
        *([(f"Source, {evaluation.source}", folders["source"])] if folders["source"] else []),
        ("Analysis", about["summary"]),
        ("Speech models", ", ".join(packages) or "none"),
        *([("Not measured", NO_OWN_MODELS)] if NO_OWN_MODELS in evaluation.notes else []),
        ("Measured on", f"{about['date']}, vc {about['vc_version']}"),
        ("Audio on this page", f"Ogg Opus at the sample rate of the measurements, {about['sample_rate_hz']} Hz"),
    ]


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Sort by grade: bad, doubtful, not checked, good."""
    return sorted(findings, key=lambda finding: (BAD, DOUBTFUL, UNCHECKED, GOOD).index(finding.grade))


def _example(
    evaluation: Evaluation, ranking: Sequence[int], rank: int, *, plots: bool, with_anchors: bool = False
) -> Example:
    """Players and plot of the sentence at a rank."""
    index, rate = ranking[rank], evaluation.configuration["sample_rate_hz"]
    sentence = evaluation.sentences[index]

    # System -> sentence of its recording, in the order of the players; if the target has other sentences, one of those
    recordings, labels, samples = {}, {}, {}
    names = {UNCONVERTED: f"Source, {evaluation.source}", REFERENCE: f"Target, {evaluation.target}"}
    for system in (UNCONVERTED, MEAN_VARIANCE, *evaluation.systems, REFERENCE, COPY_SYNTHESIS):
        if system in evaluation.recordings:
            names_of_system, same = list(evaluation.recordings[system]), evaluation.parallel or says_source(system)
            recordings[system] = names_of_system[index if same else index % len(names_of_system)]
            labels[system] = names.get(system, name_of(system)) + ("" if same else ", another sentence")
            utterance = evaluation.recordings[system][recordings[system]]
            samples[system] = utterance.read(rate)[0][: MAX_SECONDS * rate]
    main = [name for name in (UNCONVERTED, *evaluation.systems[:MAX_SYSTEMS], REFERENCE) if name in samples]
    others = [name for name in samples if name not in main and (with_anchors or name not in ANCHORS)]

    description, image = "", ""
    if plots:
        shift = evaluation.configuration["frame_shift_ms"] / 1000
        tracks = {name: evaluation.f0[name][recordings[name]][: round(MAX_SECONDS / shift)] for name in main}
        panels = [Panel(as_unicode(labels[name]), samples[name], tracks[name]) for name in main]
        image = data_url("image/webp", picture(panels, rate, shift, "webp"))
        description = f"Spectrograms, with F0, of {', '.join(labels[name] for name in main)}"

    count, name = len(ranking), ranking_metric(evaluation)
    place = {0: "the best", count - 1: "the worst"}.get(rank, f"rank {rank + 1} of {count}")
    if count == 1:
        place = "the only sentence"
    median = "the median sentence, " * (rank == count // 2)
    value = as_number(evaluation.scores[evaluation.systems[0]].rows[index][name], name)
    return Example(
        name=evaluation.recording_names[sentence],
        place=f"{median}{place}, {METRICS[name].label} {value} {METRICS[name].unit}".rstrip(),
        text=evaluation.texts.get(sentence, ""),
        players=_players(main, labels, samples, rate),
        others=_players(others, labels, samples, rate),
        picture=image,
        description=description,
    )


def _players(
    systems: Iterable[str], labels: Mapping[str, str], samples: Mapping[str, np.ndarray], rate: int
) -> list[Player]:
    return [
        Player(labels[name], len(samples[name]) / rate, data_url("audio/ogg", audio.encode_opus(samples[name], rate)))
        for name in systems
    ]
