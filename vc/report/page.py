"""An evaluation as one page of HTML that needs no network: figures to read, sentences to hear and to see."""

import base64
import html
import math
from pathlib import Path
from typing import Any

import numpy as np

from vc import audio
from vc.evaluate.scoreboard import DEFINITIONS, Evaluation
from vc.files import write_text
from vc.metrics.scores import METRICS, Scores
from vc.report.spectrogram import Panel, picture
from vc.report.template import PAGE, READING

SHOWN = 10  # sentences to hear, spread over the ranking
LONGEST = 20  # seconds of a recording that are played and drawn
NAMES = {
    "converted": "Converted",
    "unconverted": "Source as it is",
    "mean_variance": "Mean and variance only",
    "copy_synthesis": "Target through the vocoder",
    "reference": "Target",
}
UNITS = {"hz": "Hz", "ms": "ms", "db": "dB", "samples": "samples", "frames": "frames"}
PLAYED = ("unconverted", "mean_variance", "converted", "reference", "copy_synthesis")
DRAWN = ("unconverted", "converted", "reference")


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the page, whole or not at all."""
    title = _safe(f"Voice conversion: {evaluation.title}")
    parts = {
        "title": title,
        "lead": _lead(evaluation),
        "notes": _notes(evaluation),
        "figures": _figures(evaluation),
        "reading": READING,
        "listening": "\n".join(_sentence(evaluation, *chosen) for chosen in _spread(evaluation)),
        "sentences": _sentences(evaluation),
        "configuration": _mapping(evaluation.configuration),
    }
    write_text(path, PAGE.substitute(parts))


def _safe(text: object) -> str:
    """Any text as HTML; bytes of a file name that are not UTF-8 become question marks."""
    return html.escape(str(text).encode("utf-8", "replace").decode())


def _number(value: float, metric: str) -> str:
    return "-" if math.isnan(value) else f"{value:.{METRICS[metric].decimals}f}"


def _lead(evaluation: Evaluation) -> str:
    """What the main figures say, in a sentence each."""
    distortion = {name: f"{_number(scores.means['mcd'], 'mcd')} dB" for name, scores in evaluation.scores.items()}
    clauses = [f"the converted speech lies <strong>{distortion['converted']}</strong> from the target's"]
    told = {
        "unconverted": "the source as it is {}",
        "mean_variance": "the source moved by means and variances alone {}",
        "copy_synthesis": "the target's own recordings {} after a passage through the vocoder",
    }
    clauses += [text.format(distortion[name]) for name, text in told.items() if name in distortion]
    variance = _number(evaluation.scores["converted"].means["gv_ratio"], "gv_ratio")
    return (
        f"<p>{len(evaluation.sentences)} sentences. By mel-cepstral distortion, {', '.join(clauses)}."
        f" The converted spectrum moves with <strong>{variance}</strong> times the variance of the target's; well below"
        " 1 it is smoothed, and sounds so, however small its distortion is.</p>"
    )


def _notes(evaluation: Evaluation) -> str:
    lines = [*evaluation.notes, *(f"failed: {failure}" for failure in evaluation.failures)]
    items = "".join(f"<li>{_safe(line)}</li>" for line in lines)
    return f"<ul class='notes'>{items}</ul>" if lines else ""


def _figures(evaluation: Evaluation) -> str:
    heads = "".join(
        f"<th scope='col'><abbr title='{_safe(DEFINITIONS[name])}'>{metric.label}</abbr>"
        f"<small>{metric.unit}{', ' * bool(metric.unit)}{metric.best}</small></th>"
        for name, metric in METRICS.items()
    )
    rows = "".join(_figures_row(name, scores) for name, scores in evaluation.scores.items())
    return f"<table class='figures'><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _figures_row(system: str, scores: Scores) -> str:
    cells = ""
    for name in METRICS:
        low, high = (_number(end, name) for end in scores.intervals[name])
        cells += f"<td>{_number(scores.means[name], name)}<small>{low} to {high}</small></td>"
    return f"<tr class='{system}'><th scope='row'>{NAMES[system]}</th>{cells}</tr>"


def _spread(evaluation: Evaluation) -> list[tuple[int, int]]:
    """Index and rank of up to SHOWN sentences, from the lowest distortion to the highest in even steps of rank."""
    ranking = np.argsort([row["mcd"] for row in evaluation.scores["converted"].rows], kind="stable")
    ranks = np.unique(np.linspace(0, len(ranking) - 1, min(SHOWN, len(ranking))).round().astype(int))
    return [(int(ranking[rank]), int(rank) + 1) for rank in ranks]


def _sentence(evaluation: Evaluation, index: int, rank: int) -> str:
    """Players and picture of one sentence."""
    sentence, count = evaluation.sentences[index], len(evaluation.sentences)
    rate = evaluation.configuration["sample_rate_hz"]
    systems = [system for system in PLAYED if system in evaluation.recordings]
    played = {name: evaluation.recordings[name][sentence].read(rate)[0][: LONGEST * rate] for name in systems}
    players = "".join(_player(NAMES[name], samples, rate) for name, samples in played.items())
    drawn = [name for name in DRAWN if name in played]
    shift = evaluation.configuration["frame_shift_ms"] / 1000
    tracks = {name: evaluation.f0[name][sentence][: round(LONGEST / shift)] for name in drawn}
    image = picture([Panel(NAMES[name], played[name], tracks[name]) for name in drawn], rate, shift)
    place = {1: "the nearest to the target", count: "the farthest"}.get(rank, "")
    distortion = _number(evaluation.scores["converted"].rows[index]["mcd"], "mcd")
    described = f"Spectrograms of {sentence}: {', '.join(NAMES[name].lower() for name in drawn)}"
    return (
        f"<section class='sentence'><h3>{_safe(sentence)}</h3>"
        f"<p>{distortion} dB, rank {rank} of {count}{', ' * bool(place)}{place}</p><div class='players'>{players}</div>"
        f"<img alt='{_safe(described)}' src='{_data('image/png', image)}'></section>"
    )


def _player(label: str, samples: np.ndarray, rate: int) -> str:
    sound = _data("audio/flac", audio.encode(samples, rate, format="FLAC"))
    return f"<figure><figcaption>{label}</figcaption><audio controls preload='none' src='{sound}'></audio></figure>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _sentences(evaluation: Evaluation) -> str:
    """Every sentence, worst distortion first; a click on a heading sorts."""
    anchors = [name for name in evaluation.scores if name != "converted"]
    own = [name for name in METRICS if name != "msd"]
    titles = ["sentence", *(METRICS[name].label for name in own), *(f"MCD, {NAMES[name].lower()}" for name in anchors)]
    heads = "".join(f"<th scope='col'><button type='button'>{title}</button></th>" for title in titles)
    rows = []
    for index, sentence in enumerate(evaluation.sentences):
        figures = [(name, evaluation.scores["converted"].rows[index][name]) for name in own]
        figures += [("mcd", evaluation.scores[name].rows[index]["mcd"]) for name in anchors]
        cells = "".join(f"<td>{_number(value, name)}</td>" for name, value in figures)
        rows.append((figures[0][1], f"<tr><th scope='row'>{_safe(sentence)}</th>{cells}</tr>"))
    body = "\n".join(row for _, row in sorted(rows, key=lambda row: -row[0]))
    return f"<table class='sortable'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _mapping(content: dict[str, Any]) -> str:
    """Nested settings as nested lists of terms."""
    items = ""
    for key, value in content.items():
        shown = _mapping(value) if isinstance(value, dict) else _safe(_plain(value))
        items += f"<dt>{_safe(_term(key))}</dt><dd>{shown}</dd>"
    return f"<dl>{items}</dl>"


def _term(key: str) -> str:
    """`sample_rate_hz` becomes `sample rate, Hz`."""
    *words, last = key.split("_")
    return " ".join(words) + f", {UNITS[last]}" if last in UNITS else " ".join([*words, last])


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(str, value))
    return "not given" if value is None else str(value)
