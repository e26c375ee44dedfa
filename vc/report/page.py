"""An evaluation as one page of HTML that needs no network: verdict, figures to read, sentences to hear and to see."""

import base64
from pathlib import Path

import numpy as np

from vc import audio
from vc.evaluate.measure import MODEL, says_source
from vc.evaluate.scoreboard import Evaluation
from vc.evaluate.verdict import Finding
from vc.files import write_text
from vc.metrics.registry import METRICS
from vc.report.curves import ABOUT_CURVES, draw_curves, names_of_curves
from vc.report.html import name_of, number, safe, shown
from vc.report.spectrogram import Panel, picture
from vc.report.tables import comparisons, definitions, figures, mapping, ranked_by, sentences
from vc.report.template import PAGE, READING

SHOWN = 10  # sentences to hear, spread over the ranking
LONGEST = 20  # seconds of a recording that are played and drawn
DRAWN = 3  # converted systems in a picture, at most
MARKS = {"good": "&#10003;", "doubtful": "?", "bad": "&#10007;"}


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all."""
    parts = {
        "title": safe(f"Voice conversion: {evaluation.title}"),
        "lead": _lead(evaluation),
        "notes": _notes(evaluation),
        "verdict": _verdict(evaluation),
        "figures": figures(evaluation),
        "comparisons": comparisons(evaluation),
        "reading": READING,
        "training": _training(evaluation),
        "listening": "\n".join(_sentence(evaluation, *chosen) for chosen in _spread(evaluation)),
        "sentences": sentences(evaluation),
        "definitions": definitions(evaluation),
        "configuration": mapping(evaluation.configuration),
    }
    write_text(path, PAGE.substitute(parts))


def _lead(evaluation: Evaluation) -> str:
    """What was held against what."""
    systems = ", ".join(f"<strong>{safe(name_of(system))}</strong>" for system in evaluation.systems)
    kind = "its own recordings of the same sentences" if evaluation.parallel else "its recordings of other sentences"
    return (
        f"<p>{len(evaluation.sentences)} sentences: {systems}, held against the target by {kind}, and against simpler"
        " things that say what the figures are worth.</p>"
    )


def _notes(evaluation: Evaluation) -> str:
    lines = [*evaluation.notes, *(f"failed: {failure}" for failure in evaluation.failures)]
    items = "".join(f"<li>{safe(line)}</li>" for line in lines)
    return f"<ul class='notes'>{items}</ul>" if lines else ""


def _verdict(evaluation: Evaluation) -> str:
    """One system's findings; of several, a table of all, and each one's folded up below; then the model's."""
    verdicts = {system: evaluation.verdicts[system] for system in evaluation.systems}
    model = evaluation.verdicts.get(MODEL, [])
    if len(verdicts) == 1:
        return _findings([*verdicts[evaluation.systems[0]], *model])
    aspects = list(dict.fromkeys(each.aspect for found in verdicts.values() for each in found))
    heads = "".join(f"<th scope='col'>{aspect}</th>" for aspect in aspects)
    rows = ""
    for system, found in verdicts.items():
        grades = {each.aspect: each.grade for each in found}
        cells = "".join(f"<td>{_mark(grades[aspect]) if aspect in grades else '-'}</td>" for aspect in aspects)
        rows += f"<tr><th scope='row'>{safe(name_of(system))}</th>{cells}</tr>"
    table = f"<table><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    folded = "".join(
        f"<details><summary>{safe(name_of(system))} in words</summary>{_findings(found)}</details>"
        for system, found in verdicts.items()
    )
    return f"<div class='wide' tabindex='0' role='region' aria-label='Verdict'>{table}</div>{folded}{_findings(model)}"


def _findings(found: list[Finding]) -> str:
    """The worst first."""
    if not found:
        return ""
    ordered = sorted(found, key=lambda each: list(MARKS).index(each.grade), reverse=True)
    items = "".join(
        f"<li class='{each.grade}'>{safe(each.text)}<small>{each.aspect}: {_mark(each.grade)}</small></li>"
        for each in ordered
    )
    return f"<ul class='verdict'>{items}</ul>"


def _mark(grade: str) -> str:
    return f"<span aria-hidden='true'>{MARKS[grade]}</span> {grade}"


def _training(evaluation: Evaluation) -> str:
    image = draw_curves(evaluation.training)
    if image is None:
        return ""
    described = "Training losses by step, a panel each: " + ", ".join(names_of_curves(evaluation.training))
    return f"<h2>Training</h2><p>{ABOUT_CURVES}</p>{_image(image, described)}"


def _spread(evaluation: Evaluation) -> list[tuple[int, int]]:
    """Index and rank of up to SHOWN sentences, from the first system's best to its worst in even steps of rank."""
    metric = ranked_by(evaluation)
    rows = evaluation.scores[evaluation.systems[0]].rows
    ranking = np.argsort([METRICS[metric].fault(row[metric]) for row in rows], kind="stable")
    ranks = np.unique(np.linspace(0, len(ranking) - 1, min(SHOWN, len(ranking))).round().astype(int))
    return [(int(ranking[rank]), int(rank) + 1) for rank in ranks]


def _sentence(evaluation: Evaluation, index: int, rank: int) -> str:
    """Players and picture of one sentence."""
    sentence, count = evaluation.sentences[index], len(evaluation.sentences)
    rate = evaluation.configuration["sample_rate_hz"]
    heard = _heard(evaluation, index)
    played = {
        system: evaluation.recordings[system][own].read(rate)[0][: LONGEST * rate] for system, own in heard.items()
    }
    labels = {system: _label(evaluation, system) for system in played}
    players = "".join(_player(labels[system], samples, rate) for system, samples in played.items())
    drawn = [name for name in ("unconverted", *evaluation.systems[:DRAWN], "reference") if name in played]
    shift = evaluation.configuration["frame_shift_ms"] / 1000
    tracks = {name: evaluation.f0[name][heard[name]][: round(LONGEST / shift)] for name in drawn}
    image = picture([Panel(shown(labels[name]), played[name], tracks[name]) for name in drawn], rate, shift)
    described = f"Spectrograms of {sentence}: {', '.join(labels[name].lower() for name in drawn)}"
    return (
        f"<section class='sentence'><h3>{safe(sentence)}</h3><p>{_place(evaluation, index, rank, count)}</p>"
        f"<div class='players'>{players}</div>{_image(image, described)}</section>"
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
    other = not evaluation.parallel and not says_source(system)
    return name_of(system) + ", another sentence" * other


def _place(evaluation: Evaluation, index: int, rank: int, count: int) -> str:
    metric = ranked_by(evaluation)
    value = evaluation.scores[evaluation.systems[0]].rows[index][metric]
    place = {1: ", the best", count: ", the worst"}.get(rank, "")
    return f"{METRICS[metric].label} {number(value, metric)} {METRICS[metric].unit}, rank {rank} of {count}{place}"


def _player(label: str, samples: np.ndarray, rate: int) -> str:
    sound = _data("audio/flac", audio.encode(samples, rate, format="FLAC"))
    return (
        f"<figure><figcaption>{safe(label)}</figcaption>"
        f"<audio controls preload='none' aria-label='{safe(label)}' src='{sound}'></audio></figure>"
    )


def _image(image: bytes, described: str) -> str:
    return f"<img alt='{safe(described)}' src='{_data('image/png', image)}'>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
