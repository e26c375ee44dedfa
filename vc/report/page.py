"""An evaluation as one page of HTML that needs no network: verdict, players, grades, sentences, figures."""

import datetime
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc import extras
from vc.corpus import audio
from vc.errors import ConfigError
from vc.evaluate.hearing import NOT_NAMED
from vc.evaluate.measure import ANCHORS, MODEL, says_source
from vc.evaluate.run import ENOUGH
from vc.evaluate.scoreboard import Evaluation
from vc.evaluate.verdict import BAD, DOUBTFUL, FEWEST, GOOD, UNCHECKED, Finding
from vc.files import write_text
from vc.metrics.registry import METRICS
from vc.plots import Panel, picture, require_matplotlib
from vc.report.curves import ABOUT_CURVES, draw_curves, names_of_curves
from vc.report.html import data, name_of, number, render, shown
from vc.report.tables import definitions, differences, figures, ranked_by, sentences, settings

SHOWN = 10  # sentences to hear, spread over the ranking
WORST, BEST = 3, 2  # of them, those that are seen at first
LONGEST = 20  # seconds of a recording that are played and drawn
DRAWN = 3  # converted systems in a picture, at most
log = logging.getLogger(__name__)


class Player(NamedTuple):
    """A recording to hear."""

    label: str
    seconds: float
    address: str


class Example(NamedTuple):
    """A sentence to hear and to see."""

    name: str
    place: str  # in the ranking
    text: str  # empty where it is not known
    players: list[Player]  # source, converted, target
    anchors: list[Player]
    picture: str  # an address, empty where nothing is drawn
    described: str

    @property
    def closer(self) -> str:
        """What else there is of the sentence."""
        told = ["Spectrograms"] * bool(self.picture) + [each.label.lower() for each in self.anchors]
        text = ", ".join(told)
        return text[:1].upper() + text[1:]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all; without matplotlib it has no pictures."""
    notes = [note for note in evaluation.notes if note != NOT_NAMED]  # that stands with what was measured
    drawn, lines = True, [*notes, *(f"failed: {failure}" for failure in evaluation.failures)]
    try:
        require_matplotlib()
    except ConfigError as error:
        drawn = False
        lines.append(f"the page has no pictures: {error}")
        log.warning(lines[-1])
    log.info("writing %s", path)
    ranking = _ranking(evaluation)
    middle = len(ranking) // 2
    spread = np.unique(np.linspace(0, len(ranking) - 1, min(SHOWN, len(ranking))).round().astype(int)).tolist()
    ranks = [rank for rank in spread[::-1] if rank != middle]
    folded = ranks[WORST:-BEST]
    examples = {rank: _example(evaluation, ranking, rank, drawn and rank not in folded) for rank in ranks}
    curves = draw_curves(evaluation.training) if drawn else None
    content = {
        "title": f"Voice conversion: {evaluation.title}",
        "about": _about(evaluation),
        "systems": [
            {
                "name": name_of(system),
                "headline": evaluation.headline(system),
                "findings": _worst_first(evaluation.verdicts[system]),
            }
            for system in evaluation.systems
        ],
        "model": _worst_first(evaluation.verdicts.get(MODEL, [])),
        "median": _example(evaluation, ranking, middle, drawn, with_anchors=True),
        "notes": [line.partition(extras.COMMAND)[0] for line in lines],
        "ranked": _ranked(evaluation),
        "worst_and_best": [examples[rank] for rank in ranks if rank not in folded],
        "between": [examples[rank] for rank in folded],
        "figures": figures(evaluation),
        "anchors": [anchor for anchor in ANCHORS if anchor in evaluation.scores],
        "few": len(ranking) if len(ranking) < ENOUGH else 0,
        "fewest": FEWEST,
        "differences": differences(evaluation),
        "sentences": sentences(evaluation),
        "training": data("image/png", curves) if curves else "",
        "about_training": ABOUT_CURVES,
        "training_described": f"Losses by step, a panel each: {', '.join(names_of_curves(evaluation.training))}",
        "measured": _measured(evaluation),
        "definitions": definitions(evaluation),
        "settings": settings(evaluation.configuration),
    }
    write_text(path, render("vc.report", "report.html", **content))


def _about(evaluation: Evaluation) -> list[str]:
    count, date = len(evaluation.sentences), datetime.date.fromisoformat(evaluation.configuration["date"])
    model = evaluation.configuration["model"]
    return [
        f"Voice conversion, {evaluation.title}",
        *([f"model {Path(model['file']).name}"] if model else []),
        f"{count} sentence{'s' * (count > 1)}",
        f"{date.day} {date:%B %Y}",
    ]


def _measured(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What a reader asks first of the settings."""
    about = evaluation.configuration
    folders, model = about["folders"], about["model"]
    said = "the same sentences" if evaluation.parallel else "other sentences"
    packages = [f"{name} {version}" for name, version in about["measure_packages"].items()]
    return [
        *((f"{name_of(system)} recordings", folder) for system, folder in folders["systems"].items()),
        ("Converted by", model["file"] if model else "not told"),
        (f"Target, {evaluation.target}", f"{folders['reference']}, {said}"),
        *([(f"Source, {evaluation.source}", folders["source"])] if folders["source"] else []),
        ("Analysis", about["summary"]),
        ("Models of speech", ", ".join(packages) or "none"),
        *([("Not measured", NOT_NAMED)] if NOT_NAMED in evaluation.notes else []),
        ("Measured on", f"{about['date']}, vc {about['vc_version']}"),
        ("Sounds on this page", f"Ogg Opus at the rate at which they were measured, {about['sample_rate_hz']} Hz"),
    ]


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """What was not checked stands behind what is bad or doubtful, before what is good."""
    return sorted(findings, key=lambda each: (BAD, DOUBTFUL, UNCHECKED, GOOD).index(each.grade))


def _ranking(evaluation: Evaluation) -> list[int]:
    """Indices of the sentences, the first system's best first."""
    metric = ranked_by(evaluation)
    rows = evaluation.scores[evaluation.systems[0]].rows
    return [*np.argsort([METRICS[metric].fault(row[metric]) for row in rows], kind="stable").tolist()]


def _ranked(evaluation: Evaluation) -> str:
    metric = METRICS[ranked_by(evaluation)]
    whose = f" of {name_of(evaluation.systems[0])}" if len(evaluation.systems) > 1 else ""
    return f"Sentences are ranked by the {metric.label}{whose} ({metric.best}); the median one stands at the top."


def _example(
    evaluation: Evaluation, ranking: Sequence[int], rank: int, drawn: bool, with_anchors: bool = False
) -> Example:
    """Players and picture of the sentence of a rank."""
    index = ranking[rank]
    sentence, rate = evaluation.sentences[index], evaluation.configuration["sample_rate_hz"]
    heard = _heard(evaluation, index)
    played = {
        system: evaluation.recordings[system][own].read(rate)[0][: LONGEST * rate] for system, own in heard.items()
    }
    main = [name for name in ("unconverted", *evaluation.systems, "reference") if name in played]
    labels = {system: _label(evaluation, system) for system in played}
    described, image = "", ""
    if drawn:
        shift = evaluation.configuration["frame_shift_ms"] / 1000
        names = [name for name in ("unconverted", *evaluation.systems[:DRAWN], "reference") if name in played]
        tracks = {name: evaluation.f0[name][heard[name]][: round(LONGEST / shift)] for name in names}
        panels = [Panel(shown(labels[name]), played[name], tracks[name]) for name in names]
        image = data("image/webp", picture(panels, rate, shift, "webp"))
        described = f"Spectrograms, with F0, of {', '.join(labels[name].lower() for name in names)}"
    return Example(
        evaluation.called[sentence],
        _place(evaluation, index, rank, len(ranking)),
        evaluation.texts.get(sentence, ""),
        _players(main, labels, played, rate),
        _players([name for name in played if with_anchors and name not in main], labels, played, rate),
        image,
        described,
    )


def _heard(evaluation: Evaluation, index: int) -> dict[str, str]:
    """System -> its sentence, in the order of the players; where the target says others, one of those."""
    heard = {}
    for system in ("unconverted", "mean_variance", *evaluation.systems, "reference", "copy_synthesis"):
        if system in evaluation.recordings:
            own = list(evaluation.recordings[system])
            heard[system] = own[index] if evaluation.parallel or says_source(system) else own[index % len(own)]
    return heard


def _label(evaluation: Evaluation, system: str) -> str:
    people = {"unconverted": f"Source, {evaluation.source}", "reference": f"Target, {evaluation.target}"}
    other = not evaluation.parallel and not says_source(system)
    return people.get(system, name_of(system)) + ", another sentence" * other


def _place(evaluation: Evaluation, index: int, rank: int, count: int) -> str:
    metric = ranked_by(evaluation)
    value = evaluation.scores[evaluation.systems[0]].rows[index][metric]
    names = {0: "the best", count - 1: "the worst"}
    place = names.get(rank, f"rank {rank + 1} of {count}") if count > 1 else "the only sentence"
    median = "the median sentence, " * (rank == count // 2)
    return f"{median}{place}, {METRICS[metric].label} {number(value, metric)} {METRICS[metric].unit}".rstrip()


def _players(systems: Iterable[str], labels: dict[str, str], played: dict[str, np.ndarray], rate: int) -> list[Player]:
    return [
        Player(labels[name], len(played[name]) / rate, data("audio/ogg", audio.encode_opus(played[name], rate)))
        for name in systems
    ]
