"""An evaluation as one page of HTML that needs no network: verdict, players, grades, sentences, figures."""

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
from vc.evaluate.measure import NO_RECOGNISER
from vc.evaluate.results import Evaluation
from vc.evaluate.run import ENOUGH
from vc.evaluate.verdict import BAD, DOUBTFUL, GOOD, MIN_SENTENCES, MODEL, UNCHECKED, Finding
from vc.files import write_text
from vc.metrics.arrays import evenly_spread
from vc.metrics.registry import METRICS
from vc.plots import Panel, picture, require_matplotlib
from vc.report.curves import ABOUT_CURVES, draw_curves, names_of_curves
from vc.report.html import as_number, as_unicode, data_url, name_of, render
from vc.report.tables import definitions, differences, figures, ranking_metric, sentences, settings

MAX_EXAMPLES = 10  # sentences to play, spread over the ranking
WORST, BEST = 3, 2  # of them, those that are not folded away
MAX_SECONDS = 20  # of a recording that are played and drawn
MAX_PANELS = 3  # converted systems in a picture
log = logging.getLogger(__name__)


class Player(NamedTuple):
    """A recording to play."""

    label: str
    seconds: float
    address: str


class Example(NamedTuple):
    """A sentence to play and to look at."""

    name: str
    place: str  # in the ranking
    text: str  # transcript, empty where it is not known
    players: list[Player]  # source, converted, target
    anchors: list[Player]
    picture: str  # an address, empty where nothing is drawn
    described: str

    @property
    def closer(self) -> str:
        """What else there is of the sentence."""
        parts = ["Spectrograms"] * bool(self.picture) + [each.label.lower() for each in self.anchors]
        text = ", ".join(parts)
        return text[:1].upper() + text[1:]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all; without matplotlib it has no pictures."""
    # That there is no recogniser stands with what was measured
    notes = [note for note in evaluation.notes if note != NO_RECOGNISER]
    drawn, lines = True, [*notes, *(f"failed: {failure}" for failure in evaluation.failures)]
    try:
        require_matplotlib()
    except ConfigError as error:
        drawn = False
        lines.append(f"the page has no pictures: {error}")
        log.warning(lines[-1])
    log.info("writing %s", path)

    # Sentences by rank, the first system's best first: the median, then some from the worst to the best
    first, metric = evaluation.systems[0], METRICS[ranking_metric(evaluation)]
    rows = evaluation.scores[first].rows
    faults = [metric.fault(row[ranking_metric(evaluation)]) for row in rows]
    ranking = np.argsort(faults, kind="stable").tolist()
    middle = len(ranking) // 2
    ranks = [rank for rank in evenly_spread(len(ranking), MAX_EXAMPLES)[::-1] if rank != middle]
    folded = ranks[WORST:-BEST]
    examples = {rank: _example(evaluation, ranking, rank, drawn=drawn and rank not in folded) for rank in ranks}
    whose = f" of {name_of(first)}" if len(evaluation.systems) > 1 else ""

    date, model = datetime.date.fromisoformat(evaluation.configuration["date"]), evaluation.configuration["model"]
    about = [
        f"Voice conversion, {evaluation.title}",
        *([f"model {Path(model['file']).name}"] if model else []),
        f"{len(evaluation.sentences)} sentence{'s' * (len(evaluation.sentences) > 1)}",
        f"{date.day} {date:%B %Y}",
    ]
    curves = draw_curves(evaluation.training) if drawn else None
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
        "median": _example(evaluation, ranking, middle, drawn=drawn, with_anchors=True),
        "notes": [line.partition(extras.COMMAND)[0] for line in lines],
        "ranked": f"Sentences are ranked by the {metric.label}{whose} ({metric.best});"
        " the median one stands at the top.",
        "worst_and_best": [examples[rank] for rank in ranks if rank not in folded],
        "between": [examples[rank] for rank in folded],
        "figures": figures(evaluation),
        "anchors": [anchor for anchor in ANCHORS if anchor in evaluation.scores],
        "few": len(ranking) if len(ranking) < ENOUGH else 0,
        "fewest": MIN_SENTENCES,
        "differences": differences(evaluation),
        "sentences": sentences(evaluation),
        "training": data_url("image/png", curves) if curves else "",
        "about_training": ABOUT_CURVES,
        "training_described": f"Losses by step, a panel each: {', '.join(names_of_curves(evaluation.training))}",
        "measured": _measured(evaluation),
        "definitions": definitions(evaluation),
        "settings": settings(evaluation.configuration),
    }
    write_text(path, render("vc.report", "report.html", **content))


def _measured(evaluation: Evaluation) -> list[tuple[str, str]]:
    """The settings that a reader looks for first."""
    about = evaluation.configuration
    folders, model = about["folders"], about["model"]
    which = "the same sentences" if evaluation.parallel else "other sentences"
    packages = [f"{name} {version}" for name, version in about["measure_packages"].items()]
    return [
        *((f"{name_of(system)} recordings", folder) for system, folder in folders["systems"].items()),
        ("Converted by", model["file"] if model else "not told"),
        (f"Target, {evaluation.target}", f"{folders['reference']}, {which}"),
        *([(f"Source, {evaluation.source}", folders["source"])] if folders["source"] else []),
        ("Analysis", about["summary"]),
        ("Models of speech", ", ".join(packages) or "none"),
        *([("Not measured", NO_RECOGNISER)] if NO_RECOGNISER in evaluation.notes else []),
        ("Measured on", f"{about['date']}, vc {about['vc_version']}"),
        ("Sounds on this page", f"Ogg Opus at the rate at which they were measured, {about['sample_rate_hz']} Hz"),
    ]


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """What was not checked stands behind what is bad or doubtful, before what is good."""
    return sorted(findings, key=lambda finding: (BAD, DOUBTFUL, UNCHECKED, GOOD).index(finding.grade))


def _example(
    evaluation: Evaluation, ranking: Sequence[int], rank: int, *, drawn: bool, with_anchors: bool = False
) -> Example:
    """Players and picture of the sentence of a rank."""
    index, rate = ranking[rank], evaluation.configuration["sample_rate_hz"]
    sentence = evaluation.sentences[index]

    # System -> the name of its recording, in the order of the players; where the target says others, one of those
    recordings, labels, samples = {}, {}, {}
    names = {UNCONVERTED: f"Source, {evaluation.source}", REFERENCE: f"Target, {evaluation.target}"}
    for system in (UNCONVERTED, MEAN_VARIANCE, *evaluation.systems, REFERENCE, COPY_SYNTHESIS):
        if system in evaluation.recordings:
            own, same = list(evaluation.recordings[system]), evaluation.parallel or says_source(system)
            recordings[system] = own[index] if same else own[index % len(own)]
            labels[system] = names.get(system, name_of(system)) + ("" if same else ", another sentence")
            utterance = evaluation.recordings[system][recordings[system]]
            samples[system] = utterance.read(rate)[0][: MAX_SECONDS * rate]
    main = [system for system in (UNCONVERTED, *evaluation.systems, REFERENCE) if system in samples]
    anchors = [system for system in samples if with_anchors and system not in main]

    described, image = "", ""
    if drawn:
        shift = evaluation.configuration["frame_shift_ms"] / 1000
        systems = [name for name in (UNCONVERTED, *evaluation.systems[:MAX_PANELS], REFERENCE) if name in samples]
        tracks = {name: evaluation.f0[name][recordings[name]][: round(MAX_SECONDS / shift)] for name in systems}
        panels = [Panel(as_unicode(labels[name]), samples[name], tracks[name]) for name in systems]
        image = data_url("image/webp", picture(panels, rate, shift, "webp"))
        described = f"Spectrograms, with F0, of {', '.join(labels[name].lower() for name in systems)}"

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
        anchors=_players(anchors, labels, samples, rate),
        picture=image,
        described=described,
    )


def _players(
    systems: Iterable[str], labels: Mapping[str, str], samples: Mapping[str, np.ndarray], rate: int
) -> list[Player]:
    return [
        Player(labels[name], len(samples[name]) / rate, data_url("audio/ogg", audio.encode_opus(samples[name], rate)))
        for name in systems
    ]
