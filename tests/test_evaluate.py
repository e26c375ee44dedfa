"""Evaluation: what is matched with what, known answers on made-up voices, and the command from folders to page."""

import base64
import configparser
import html
import io
import json
import logging
import math
import os
import pickle
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, ROOT, command, vowel

from vc import __version__, model_file
from vc.cli.evaluate import main
from vc.convert.level import speech_level
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import CEILING
from vc.errors import ConfigError, DataError
from vc.evaluate import Evaluation, Request, anchors, evaluate, format_table
from vc.evaluate.match import Sentence, match, read_side
from vc.evaluate.measure import (
    MEASURES,
    NO_OWN_MODELS,
    OWN_MODELS,
    SpeechModelScores,
    choose_measures,
    expected_phones,
    measure_versions,
)
from vc.features import store
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.metrics import crossed_interval, mel_cepstral_distortion_by
from vc.metrics.registry import METRICS
from vc.metrics.scores import Scores
from vc.metrics.statistics import UNKNOWN
from vc.plots import LOWEST, RANGE, ROWS, spectrogram
from vc.report import write_report
from vc.report.tables import sentences

RATE = 16000
QUICK = ("--measures", "none")
STRANGE = "a & <b>'c'\"d"  # a file name that would break a page


@pytest.fixture(autouse=True)
def handlers():
    """The command's log handler writes to a stderr that pytest takes away."""
    kept = logging.getLogger("vc").handlers
    yield
    logging.getLogger("vc").handlers = kept


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def directory_of(folder: Path, speaker: str, *ids: str) -> Path:
    """Of recordings that need only exist."""
    paths = [touch(folder.parent / "audio", f"{id}.wav") / f"{id}.wav" for id in ids]
    data_directory.write(folder, [Utterance(id, speaker, path) for id, path in zip(ids, paths)])
    return folder


def matched(**folders: Path) -> tuple[list[str], dict[str, list[str]]]:
    found = match({name: read_side(folder) for name, folder in folders.items()})
    (sentences,) = {tuple(own) for own in found.recordings.values()}
    assert found.parallel
    return list(sentences), found.left_over


def test_folders_match_by_path_without_ending(tmp_path):
    converted = touch(tmp_path / "a", "eval/2.wav", "eval/1.wav", "3.wav", "notes.txt")
    reference = touch(tmp_path / "b", "eval/1.flac", "eval/2.ogg", "eval/4.wav")
    sentences, left_over = matched(converted=converted, reference=reference)
    assert sentences == ["eval-1", "eval-2"] and left_over == {"converted": ["3"], "reference": ["eval-4"]}


def test_data_directories_match_without_the_speaker(tmp_path):
    source = directory_of(tmp_path / "s", "SF1", "SF1-eval-1", "SF1-eval-2")
    reference = directory_of(tmp_path / "r", "TM3", "TM3-eval-1", "TM3-eval-2")
    assert matched(converted=source, reference=reference)[0] == ["eval-1", "eval-2"]


@pytest.mark.parametrize(
    "names", [("SF1-eval-1.wav", "SF1-eval-2.wav"), ("eval/1.wav", "eval/2.wav"), ("TM3/eval/1.wav",)]
)
def test_converted_files_may_be_named_by_the_utterances_of_either_speaker(tmp_path, names):
    source = directory_of(tmp_path / "s", "SF1", "SF1-eval-1", "SF1-eval-2")
    reference = directory_of(tmp_path / "r", "TM3", "TM3-eval-1", "TM3-eval-2")
    sentences, _ = matched(converted=touch(tmp_path / "c", *names), reference=reference, source=source)
    assert sentences == ["eval-1", "eval-2"][: len(names)]


@pytest.mark.parametrize("names", [("1_gen", "2_gen"), ("2_gen",), ("SF1-1.out", "SF1-2.out"), ("1-a", "1-b", "2-a")])
def test_one_ending_more_of_names_is_left_out(tmp_path, names):
    reference, source = touch(tmp_path / "r", "1.wav", "2.wav"), directory_of(tmp_path / "s", "SF1", "SF1-1", "SF1-2")
    converted = touch(tmp_path / "c", *(f"{name}.wav" for name in names))
    sentences, left_over = matched(converted=converted, reference=reference, source=source)
    assert sentences == sorted({re.sub(r"\D+", "", name.removeprefix("SF1")) for name in names})
    assert left_over["converted"] == (["1-b"] if len(names) > 2 else [])


def test_endings_that_decide_nothing_are_not_left_out(tmp_path):
    converted, reference = touch(tmp_path / "c", "1_a.wav", "1_b.wav"), touch(tmp_path / "r", "1.wav")
    assert not match({"converted": read_side(converted), "reference": read_side(reference)}).parallel


@pytest.mark.parametrize("pattern", [r"\d+", r"gen(\d+)of"])
def test_a_pattern_says_what_of_a_name_is_the_sentence(tmp_path, pattern):
    converted, reference = touch(tmp_path / "c", "gen1of.wav", "gen2of.wav"), touch(tmp_path / "r", "1.wav", "2.wav")
    found = match({"converted": read_side(converted), "reference": read_side(reference)}, pattern=pattern)
    assert found.parallel and list(found.recordings["converted"]) == ["1", "2"]


@pytest.mark.parametrize(("pattern", "said"), [("(", "--match '\\('"), ("gen", "both of sentence gen")])
def test_a_pattern_that_tells_no_sentences_is_refused(tmp_path, pattern, said):
    converted = read_side(touch(tmp_path, "gen1.wav", "gen2.wav"))
    with pytest.raises((ConfigError, DataError), match=said):
        match({"converted": converted, "reference": converted}, pattern=pattern)


def test_no_match_is_refused_with_a_name_of_each_side(tmp_path):
    converted, source = touch(tmp_path / "a", "one.wav"), touch(tmp_path / "b", "two.wav")
    with pytest.raises(DataError, match="converted has 'one', source has 'two', reference has 'two'"):
        matched(converted=converted, source=source, reference=source)


def test_a_reference_of_other_sentences_stands_for_itself(tmp_path):
    source = directory_of(tmp_path / "s", "SF1", "SF1-1", "SF1-2")
    reference = directory_of(tmp_path / "r", "TM3", "TM3-7", "TM3-8", "TM3-9")
    sides = {"a": touch(tmp_path / "a", "SF1-1.wav", "SF1-2.wav"), "b": touch(tmp_path / "b", "2.wav", "3.wav")}
    found = match(
        {name: read_side(folder) for name, folder in {**sides, "source": source, "reference": reference}.items()}
    )
    assert not found.parallel and found.left_over == {"a": ["1"], "b": ["3"], "source": ["1"], "reference": []}
    assert {name: list(own) for name, own in found.recordings.items()} == {
        "a": ["2"], "b": ["2"], "source": ["2"], "reference": ["7", "8", "9"]
    }  # fmt: skip


def test_names_that_are_alike_by_chance_can_be_told_apart(tmp_path):
    converted, reference = touch(tmp_path / "c", "1.wav", "2.wav"), directory_of(tmp_path / "r", "TM3", "TM3-1")
    found = match({"converted": read_side(converted), "reference": read_side(reference)}, other_sentences=True)
    assert not found.parallel and list(found.recordings["reference"]) == ["TM3-1"]


def test_two_recordings_of_a_sentence_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"x-1\.wav .*x/1\.wav|x/1\.wav .*x-1\.wav"):
        read_side(touch(tmp_path, "x/1.wav", "x-1.wav"))


def test_two_speakers_on_a_side_are_refused(tmp_path):
    paths = [touch(tmp_path, f"{name}.wav") / f"{name}.wav" for name in ("a-1", "b-1")]
    data_directory.write(tmp_path / "d", [Utterance("a-1", "a", paths[0]), Utterance("b-1", "b", paths[1])])
    with pytest.raises(DataError, match="holds speakers a, b"):
        read_side(tmp_path / "d")


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no such folder"), ("empty", "no readable recordings in it")])
def test_folders_without_recordings_are_refused(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=said):
        read_side(tmp_path / name)


def voices(folder: Path, f0: float, names: str = "123", rate: int = RATE, seconds: float = 0.6) -> Path:
    """A folder of short vowels."""
    folder.mkdir()
    for seed, name in enumerate(names):
        audio.write(folder / f"{name}.wav", vowel(seconds, rate, f0, seed), rate)
    return folder


def measure(tmp_path: Path, converted: Path, reference: Path, source: Path | None = None):
    return evaluate(Request({"converted": converted}, reference, source=source, measures=()), tmp_path / "result")


@pytest.fixture(scope="module")
def ideal(tmp_path_factory) -> Evaluation:
    """Of the target's own recordings in place of converted ones."""
    folder = tmp_path_factory.mktemp("ideal")
    return measure(folder, *[voices(folder / "r", 120)] * 2)


def test_the_target_s_own_recordings_are_the_ideal(ideal):
    evaluation, means = ideal, ideal.scores["converted"].means
    assert means["mcd"] == means["msd"] == means["log_f0_rmse"] == means["voicing_error"] == 0
    assert (means["gv_ratio"], means["duration_ratio"]) == pytest.approx((1, 1))
    assert 0 < evaluation.scores["copy_synthesis"].means["mcd"] < 6
    assert list(evaluation.scores) == ["converted", "copy_synthesis", "reference"]
    assert evaluation.notes == [
        "only 3 sentences: figures, intervals and verdicts are rough",
        "no source was given: the unconverted source and figures that need it are left out",
        "measures not requested: speaker, content, phones, quality, mos, utmos, wer",
    ]


@pytest.mark.parametrize("added", [0.0, 0.25])
def test_figures_that_coincide_are_all_shown_but_phone_errors_added_to_none(ideal, added):
    """A perfect word error stands beside a perfect phone error, in the tables of systems and of sentences."""
    own = ideal.scores["converted"]
    figures = {"phone_error": 0.0, "word_error": 0.0, "character_error": 0.0, "phone_error_added": added}
    heard = Scores({**own.means, **figures}, own.intervals, [{**row, **figures} for row in own.rows])
    evaluation = replace(ideal, scores={**ideal.scores, "converted": heard})
    wanted = {name for name in figures if added or name != "phone_error_added"}
    assert set(figures) & {*evaluation.metrics} == wanted
    heads = {head.text for head in sentences(evaluation).heads}
    assert {name for name in figures if METRICS[name].label in heads} == wanted


def test_systems_whose_names_differ_in_case_alone_have_a_column_each_in_the_table_of_sentences(ideal):
    systems = ["First", "Base", "base"]
    scores = dict.fromkeys([*systems, "copy_synthesis"], ideal.scores["converted"])
    recordings = {"First": ideal.recordings["converted"]}
    table = sentences(replace(ideal, systems=systems, scores=scores, recordings=recordings))
    named = [head.text.rpartition(", ")[2] for head in table.heads if METRICS["mcd"].label + ", " in head.text]
    assert named == ["Base", "base", "target through the vocoder"]
    assert {len(row) for row in table.rows} == {len(table.heads)}


@pytest.mark.parametrize(
    ("value", "interval", "shown"),
    [
        (0.5, (0.4, 0.6), "0.50 ± 0.10"),
        (0.5, (0.0, 0.6), "0.50 (0.00 to 0.60)"),
        (0.5, UNKNOWN, "0.50"),
        (0.8, (0.52, 1.0), "0.80 (0.52 to 1.00)"),
        (-1e-4, (-1e-4, -1e-4), "0.00 ± 0.00"),
    ],
)
def test_the_table_shows_by_its_ends_an_interval_that_is_lopsided_or_meets_a_limit(ideal, value, interval, shown):
    own, name = ideal.scores["converted"], "log_f0_corr"
    changed = Scores({**own.means, name: value}, {**own.intervals, name: interval}, own.rows)
    table = format_table(replace(ideal, scores={**ideal.scores, "converted": changed}))
    (line,) = [line for line in table.splitlines() if line.startswith(name)]
    assert re.split("  +", line)[1] == shown


def test_measures_are_named_by_their_packages_and_content_by_its_encoder():
    assert measure_versions(["content"]) == {"content encoder distilled": f"of vc {__version__}"}


def test_known_ratio_of_f0_is_found_and_anchors_are_measured_alike(tmp_path):
    reference, other = voices(tmp_path / "r", 120), voices(tmp_path / "c", 180)
    evaluation = measure(tmp_path, other, reference, source=other)
    converted, unconverted = evaluation.scores["converted"], evaluation.scores["unconverted"]
    assert converted.means["log_f0_rmse"] == pytest.approx(math.log(1.5), abs=0.01)
    np.testing.assert_equal(converted, unconverted)
    table = format_table(evaluation)
    assert "frechet_distance" in evaluation.metrics and "phone_error" not in evaluation.metrics
    assert all(
        name in table for name in (*evaluation.metrics, *evaluation.scores, "16000 Hz", "order 24", "c0 left out")
    )


def test_a_bad_recording_is_named_and_the_rest_is_measured(tmp_path, capsys):
    reference, converted = voices(tmp_path / "r", 120), voices(tmp_path / "c", 150)
    (converted / "2.wav").write_bytes(b"no sound at all")
    audio.write(reference / "3.wav", np.zeros(RATE, np.float32), RATE)
    sides = ["--converted", str(converted), "--reference", str(reference)]
    assert main([*sides, "--output", str(tmp_path / "out"), "--jobs", "1", *QUICK]) == 1
    said = capsys.readouterr().err
    assert (
        f"error: 2: {converted / '2.wav'}" in said and f"error: 3: {reference / '3.wav'}: nothing but silence" in said
    )
    written = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [row["sentence"] for row in written["utterances"]] == ["1"] and written["counts"]["failed"] == 2
    assert (tmp_path / "out/report.html").is_file()


def test_nothing_but_bad_recordings_is_refused(tmp_path):
    reference, converted = voices(tmp_path / "r", 120, "1"), touch(tmp_path / "c", "1.wav")
    with pytest.raises(DataError, match=r"1: .*1\.wav"):
        measure(tmp_path, converted, reference)


def test_converted_recordings_of_two_rates_are_refused(tmp_path):
    reference, converted = voices(tmp_path / "r", 120, "12"), voices(tmp_path / "c", 150, "12")
    audio.write(converted / "2.wav", vowel(0.6, 22050), 22050)
    with pytest.raises(DataError, match="1 has 16000 Hz, 2 has 22050 Hz"):
        measure(tmp_path, converted, reference)


@pytest.mark.parametrize(("rate", "measured"), [(16000, 16000), (44100, 22050), (18000, 16000)])
def test_the_lowest_rate_is_measured_and_said(tmp_path, rate, measured):
    reference, converted = voices(tmp_path / "r", 120, "1", rate), voices(tmp_path / "c", 120, "1", 22050)
    evaluation = measure(tmp_path, converted, reference)
    assert evaluation.configuration["sample_rate_hz"] == measured
    assert any(f"measured at {measured} Hz" in note for note in evaluation.notes) == (measured < 22050)


def test_a_copy_at_another_rate_is_the_recording_itself(tmp_path, random):
    """Although the filter of its way back takes away what is close below half the rate."""
    reference, copies = voices(tmp_path / "r", 120), tmp_path / "c"
    copies.mkdir()
    for path in sorted(reference.iterdir()):
        samples, rate = audio.read(path)
        samples += random.normal(0, 0.01, len(samples)).astype(np.float32)  # up to half the rate
        audio.write(path, samples, rate)
        audio.write(copies / path.name, audio.resample(samples, rate, 22050), 22050)
    means = measure(tmp_path, copies, reference).scores["converted"].means
    assert means["mcd"] < 0.5 and means["gv_ratio"] == pytest.approx(1, abs=0.05)


def test_rates_below_all_that_can_be_measured_are_refused(tmp_path):
    folder = voices(tmp_path / "c", 120, "1", 6000)
    with pytest.raises(DataError, match="6000 Hz is below 8000 Hz"):
        measure(tmp_path, folder, folder)


def test_a_set_without_a_voice_is_measured_and_noted(tmp_path, random):
    reference, converted = voices(tmp_path / "r", 120), voices(tmp_path / "c", 120)
    for path in converted.iterdir():
        audio.write(path, random.uniform(-0.3, 0.3, 8000), RATE)
    evaluation = measure(tmp_path, converted, reference)
    assert any("converted: its recordings have no F0" in note for note in evaluation.notes)
    written = json.loads((tmp_path / "result/metrics.json").read_text(), parse_constant=pytest.fail)
    assert written["mcd"] > 0 and written["log_f0_corr"] is None


def test_a_second_run_does_not_measure_the_first_one_s_anchors(tmp_path):
    folder = voices(tmp_path / "c", 120, "1")
    for _ in range(2):
        evaluation = evaluate(Request({"converted": folder}, folder, source=folder, measures=()), folder)
        assert evaluation.counts["converted"] == 1 and evaluation.counts["unmatched"] == 0


def test_anchors_of_another_evaluation_are_no_recordings(tmp_path, caplog):
    folder = voices(tmp_path / "c", 120, "1")
    evaluate(Request({"converted": folder}, folder, source=folder, measures=()), folder / "result")
    other = evaluate(Request({"converted": folder}, folder, source=folder, measures=()), tmp_path / "other")
    assert other.counts["reference"] == 1 and other.counts["unmatched"] == 0
    assert f"{folder}: left out: anchors of another evaluation" in caplog.text


def test_anchors_of_the_same_output_cannot_be_measured(tmp_path):
    folder = voices(tmp_path / "c", 120, "1")
    measure(tmp_path, folder, folder)
    with pytest.raises(ConfigError, match="which is overwritten; choose another --output"):
        measure(tmp_path, tmp_path / "result/anchors/copy_synthesis", folder)


def test_texts_that_differ_show_that_names_are_alike_by_chance(tmp_path):
    for speaker, text in (("a", "So it is."), ("b", "so, IT is"), ("c", "It is not.")):
        folder = voices(tmp_path / speaker, 120, "1")
        data_directory.write(
            folder / "data", [Utterance(f"{speaker}-1", speaker, folder / "1.wav")], {f"{speaker}-1": text}
        )
    sides = {name: read_side(tmp_path / name / "data") for name in "abc"}
    assert match({"converted": sides["a"], "reference": sides["b"]}).parallel
    with pytest.raises(DataError, match=r"sentence 1: .*'So it is.', .*'It is not.'; .*give --other-sentences"):
        match({"converted": sides["a"], "reference": sides["c"]})
    assert not match({"converted": sides["a"], "reference": sides["c"]}, other_sentences=True).parallel


def test_a_system_of_any_printable_name_is_shown(tmp_path):
    """Signs that a picture's font lacks, that mean mathematics in it, or mark-up in a page."""
    folder, reference = voices(tmp_path / "c", 121, "1"), voices(tmp_path / "r", 120, "1")
    request = Request({"a$_$b": folder, "<script>\u58f0": folder}, reference, measures=())
    write_report(evaluate(request, tmp_path / "o"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "a$_$b" in page and "&lt;script&gt;\u58f0" in page and page.count("<script>") == 1


def test_recordings_and_speakers_are_shown_by_their_own_names(tmp_path):
    """A data directory has ids; two recordings of one name go by their sentences."""
    names, ids = ("Grüß Gott", "two", "x/same", "y/same"), ("b-1", "b-2", "b-x-same", "b-y-same")
    for name, seed in zip(names, range(4)):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(tmp_path / "a" / f"{name}.wav", vowel(0.6, RATE, 120, seed), RATE)
    utterances = [
        Utterance(id, "b", tmp_path / "a" / f"{name}.wav", None, None, "Bärbel") for id, name in zip(ids, names)
    ]
    data_directory.write(tmp_path / "d", utterances)
    evaluation = measure(tmp_path, tmp_path / "d", tmp_path / "d", tmp_path / "d")
    assert [*evaluation.recording_names.values()] == ["Grüß Gott", "two", "x-same", "y-same"]
    assert (evaluation.source, evaluation.target) == ("Bärbel", "Bärbel") and evaluation.title == "Bärbel to Bärbel"


def test_a_plain_install_gives_figures_and_a_page_without_pictures(monkeypatch, capsys, tmp_path):
    sides = ["--converted", voices(tmp_path / "c", 150), "--reference", voices(tmp_path / "r", 120)]
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg")
    extras = declared["options.extras_require"]
    required = "\n".join(text for name, text in extras.items() if name != "dev")
    distributions = {re.sub("[_.]", "-", name.lower()) for name in re.findall(r"^\s*([\w.-]+)", required, re.M)}
    modules = packages_distributions().items()
    extra = {
        name for name, owners in modules if {re.sub("[_.]", "-", owner.lower()) for owner in owners} & distributions
    }
    extra |= {"resemblyzer"}
    assert {"scipy", "matplotlib", "librosa", "hama", "onnxruntime"} < extra
    for name in {*extra, *(name for name in sys.modules if name.partition(".")[0] in extra)}:
        monkeypatch.setitem(sys.modules, name, None)
    assert main([*map(str, [*sides, "--output", tmp_path / "o", "--jobs", 1])]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "picture" in line]
    reason = "a picture needs matplotlib, of the extra eval"
    assert said == [
        f"vc-evaluate: warning: the page has no plots: {reason}; to install it: pip install 'nonparallel-vc[eval]'"
    ]
    page = (tmp_path / "o/report.html").read_text()
    assert "<img" not in page and f"the page has no plots: {reason}</li>" in page and "pip" not in page
    assert "mcd" in json.loads((tmp_path / "o/metrics.json").read_text())


def evaluated(folder: Path, title: str, voice: str, words: str) -> Path:
    """What an evaluation leaves, as far as a page about many reads it."""
    folder.mkdir(parents=True)
    content = {
        "title": title,
        "headlines": {"converted": f"Said of {title}."},
        "verdicts": {"converted": [{"aspect": "voice", "grade": voice}, {"aspect": "content", "grade": words}]},
        "systems": {"converted": dict.fromkeys(METRICS, 0.5)},
        "anchors": {},
        "utterances": [],
    }
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_many_evaluations_are_one_page(tmp_path, capsys):
    odd = Path(os.fsdecode(b"\xff a b/c"))
    folders = [
        evaluated(tmp_path / odd, "<script>", "good", "not checked"),
        evaluated(tmp_path / "d", "e to f", "bad", "good"),
    ]
    assert main(["--pairs", *map(str, folders), "--output", str(tmp_path / "all")]) == 0
    said = "2 conversions: 1 of 2 sound like their target; 1 of 1 checked keep the words (1 not checked)."
    text = (tmp_path / "all/report.html").read_text()
    page = Page(text)
    assert capsys.readouterr().out.startswith(said) and page.headings == [said]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["../%FF%20a%20b/c/report.html", "../d/report.html"]
    assert text.count("<script>") == 1 and "Said of e to f." in text


def test_a_page_about_many_has_means_with_intervals_over_pairs_and_sentences(tmp_path):
    """As recipes/utils/results.py has them; of one pair alone there is no mean."""
    random = np.random.default_rng(0)
    folders, figures = [], random.normal(7, 0.3, (3, 4))
    for number, row in enumerate(figures):
        folders.append(evaluated(tmp_path / f"pair{number}", f"a to {number}", "good", "good"))
        path = folders[-1] / "metrics.json"
        content = json.loads(path.read_text())
        content["systems"]["converted"]["mcd"] = row.mean()
        content["utterances"] = [
            {"sentence": str(sentence), "systems": {"converted": {"mcd": value}}} for sentence, value in enumerate(row)
        ]
        path.write_text(json.dumps(content))
    for count in (3, 1):
        assert main(["--pairs", *map(str, folders[:count]), "--output", str(tmp_path / f"all{count}")]) == 0
    low, high = crossed_interval(figures)
    text = (tmp_path / "all3/report.html").read_text()
    assert "Mean of 3, Converted" in text and f"{figures.mean():.2f} \u00b1 {(high - low) / 2:.2f}" in text
    assert "Mean of" not in (tmp_path / "all1/report.html").read_text()


@pytest.mark.parametrize(
    "fault",
    [
        {"utterances": [{}]},
        {"utterances": [{"sentence": "1", "systems": {"converted": {"mcd": "much"}}}]},
        {"systems": {"converted": {**dict.fromkeys(METRICS, 0.5), "intervals": {}}}},
    ],
)
def test_a_damaged_evaluation_is_named(tmp_path, capsys, fault):
    folders = [evaluated(tmp_path / name, "a to b", "good", "good") for name in ("whole", "damaged")]
    path = folders[1] / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fault}))
    assert main(["--pairs", *map(str, folders), "--output", str(tmp_path / "all")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{path}: not an evaluation of this version" in line


def test_a_page_about_many_never_takes_the_place_of_one_of_them(tmp_path, capsys):
    folder = evaluated(tmp_path / "one", "a to b", "good", "good")
    (folder / "report.html").write_text("its own")
    assert main(["--pairs", str(folder), "--output", str(tmp_path / "one/../one")]) == 2
    assert "choose another --output" in capsys.readouterr().err and (folder / "report.html").read_text() == "its own"


@pytest.mark.parametrize(("content", "more"), [("{}", []), ("[]", []), ("{", []), ("{}", ["--source", "s"])])
def test_what_is_no_evaluation_is_refused(tmp_path, capsys, content, more):
    (tmp_path / "metrics.json").write_text(content)
    assert main(["--pairs", str(tmp_path), "--output", str(tmp_path / "o"), *more]) == 1 + bool(more)
    (line,) = capsys.readouterr().err.splitlines()
    assert ("--pairs measures nothing" if more else "metrics.json") in line and not (tmp_path / "o").exists()


@pytest.mark.parametrize("given", [["--converted", "x"], ["--out", "x"], []])
def test_wrong_usage_exits_with_2(given):
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2


def test_spectrogram_shows_a_tone_at_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    levels = spectrogram(tone, RATE)
    brightest = np.geomspace(LOWEST, RATE / 2, ROWS)[levels[:, 100].argmax()]
    assert levels.shape[0] == ROWS and levels.max() == 0 and brightest == pytest.approx(1000, rel=0.03)
    assert spectrogram(0.001 * tone, RATE) == pytest.approx(levels, abs=1e-6)
    assert (spectrogram(np.zeros(RATE), RATE) == -RANGE).all()


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Path:
    """The command's result for two systems, the second of two runs, by another toolkit's convention, too."""
    folder = tmp_path_factory.mktemp("several")
    for name, f0, seconds in (("far", 180, 0.6), ("near", 121, 0.6), ("nearer", 120.5, 0.6), ("target", 120, 0.7)):
        voices(folder / name, f0, "123456", seconds=seconds)
    systems = (f"old={folder / 'far'}", f"new={folder / 'near'}", f"new={folder / 'nearer'}")
    sides = ("--reference", folder / "target", "--source", folder / "far", "--conventions", "parallel-wavegan")
    done = command("evaluate", "--converted", *systems, *sides, "--output", folder / "out", "--jobs", 2, *QUICK)
    (folder / "out.txt").write_bytes(done.stdout)
    return folder


def test_several_systems_are_measured_side_by_side(several):
    written = json.loads((several / "out/metrics.json").read_text(), parse_constant=pytest.fail)
    assert list(written["systems"]) == ["old", "new#1", "new#2"] and written["parallel"]
    assert written["mcd"] == written["systems"]["old"]["mcd"] == written["anchors"]["unconverted"]["mcd"]
    assert written["configuration"]["folders"]["systems"]["new#2"] == str(several / "nearer")
    assert written["systems"]["new#1"]["log_f0_rmse"] < written["mcd"]
    assert {*written["utterances"][0]["systems"]} == {"old", "new#1", "new#2"}
    said = (several / "out.txt").read_text()
    assert all(name in said.splitlines()[1] for name in ("old", "new#1", "new#2", "reference"))
    assert "old: voice, bad: Not converted" in said


def test_runs_of_a_system_are_summed_up_and_compared(several):
    written = json.loads((several / "out/metrics.json").read_text())
    figures = [written["systems"][run]["mcd"] for run in ("new#1", "new#2")]
    spread = written["runs"]["new"]["mcd"]
    assert list(written["runs"]) == ["new"] and spread["runs"] == 2
    assert spread["mean"] == pytest.approx(np.mean(figures), rel=1e-4)
    compared = {(each["metric"], each["one"], each["other"]): each for each in written["comparisons"]}
    found = compared["log_f0_rmse", "old", "new"]
    assert found["p"] == 2 / 2**6 and found["difference"] == pytest.approx(math.log(180 / 120) - 0.006, abs=0.01)
    assert found["p_holm"] >= found["p"] and found["interval"][0] <= found["difference"] <= found["interval"][1]


def test_distortion_by_another_convention_stands_beside_ours(several):
    written = json.loads((several / "out/metrics.json").read_text())
    for system, folder in (("old", "far"), ("new#1", "near")):
        pairs = [[audio.read(several / side / f"{name}.wav")[0] for side in (folder, "target")] for name in "123456"]
        expected = np.mean([mel_cepstral_distortion_by("parallel-wavegan", *pair, RATE) for pair in pairs])
        assert written["systems"][system]["mcd_parallel_wavegan"] == pytest.approx(expected, rel=1e-4)
    assert written["mcd_sprocket"] is None
    assert not any("compares at" in note for note in written["notes"])
    assert "Hamming frames" in written["configuration"]["metrics"]["mcd_parallel_wavegan"]


def test_a_convention_without_settings_for_the_rate_is_resampled_to_and_noted(tmp_path):
    folder, reference = voices(tmp_path / "c", 150, "1"), voices(tmp_path / "r", 120, "1")
    evaluation = evaluate(Request({"converted": folder}, reference, measures=(), conventions=["crank"]), tmp_path / "o")
    assert any("crank compares at 22050 Hz or more: recordings at 16000 Hz" in note for note in evaluation.notes)
    assert evaluation.scores["converted"].means["mcd_crank"] > 0


def test_a_target_that_says_other_sentences_is_measured_as_a_set(tmp_path):
    converted, source = voices(tmp_path / "c", 121), voices(tmp_path / "s", 180)
    reference = voices(tmp_path / "r", 120, "45678")
    evaluation = measure(tmp_path, converted, reference, source)
    assert not evaluation.parallel and any("has other sentences ('4', not '1')" in note for note in evaluation.notes)
    means = evaluation.scores["converted"].means
    assert (
        math.isnan(means["mcd"])
        and means["frechet_distance"] < evaluation.scores["unconverted"].means["frechet_distance"]
    )
    assert len(evaluation.recordings["reference"]) == 5 and evaluation.sentences == ["1", "2", "3"]
    written = json.loads((tmp_path / "result/metrics.json").read_text())
    assert written["mcd"] is None and set(written["utterances"][0]["anchors"]) == {"unconverted"}
    write_report(evaluation, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Target, r, another sentence" in page and "other sentences" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--converted", "a/x", "b/x"], "several folders are called 'x'"),
        (["--converted", "reference=a"], "'reference' cannot name a converted system"),
        (["--converted", "a\x1b=a"], "cannot name a converted system"),
        (["--converted", "x="], "'x=': expected NAME=DIR or DIR"),
        (["--converted", "a", "--model", "m"], "--model needs --source"),
        (["--converted", "a", "--conventions", "mine"], "convention: unknown 'mine'; known: sprocket"),
        (
            ["--converted", "a", "--measures", "taste"],
            "measure: unknown 'taste'; known: speaker, content, phones",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path, capsys, words, said):
    folder = voices(tmp_path / "a", 120, "1")
    words = [str(folder) if word == "a" else word for word in words]
    assert main([*words, "--reference", str(folder), "--output", str(tmp_path / "o")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "o/metrics.json").exists()


def test_measures_that_are_not_installed_are_named(tmp_path, monkeypatch):
    folder = voices(tmp_path / "a", 120, "1")
    monkeypatch.setitem(sys.modules, "hama", None)
    chosen, notes = choose_measures(None)
    assert "phones" not in chosen and len(notes) == len(MEASURES) - len(chosen) - len(OWN_MODELS) + 1
    assert any(
        re.search(r"phones is left out: .*needs hama, .*pip install 'nonparallel-vc\[eval\]'", note) for note in notes
    )
    with pytest.raises(ConfigError, match="needs hama"):
        evaluate(Request({"converted": folder}, folder, measures=["phones"]), tmp_path / "o")


def test_a_transcript_says_which_phones_are_expected():
    scores = {"converted": SpeechModelScores(phones=["h", "i"]), "unconverted": SpeechModelScores(phones=["o"])}
    sentence = Sentence("1", {}, None)
    remarks = {system: [] for system in scores}
    for text in (None, "in 1995"):
        assert expected_phones(sentence._replace(text=text), scores, remarks) == ["o"]
    assert "the text is ignored: 1 5 9 in 'in 1995'" in remarks["unconverted"][0] and not remarks["converted"]
    pytest.importorskip("hama")
    assert expected_phones(sentence._replace(text="hi"), scores, remarks) not in (None, ["o"])


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> Path:
    """The command's result with another speaker's recordings in place of converted ones; one name is strange."""
    folder = tmp_path_factory.mktemp("evaluate")
    for speaker in ("slt", "rms"):
        (folder / speaker).mkdir()
        for name, to in (("101", "101"), ("103", STRANGE)):
            shutil.copy(CORPUS / f"eval/{speaker}/{name}.flac", folder / speaker / f"{to}.flac")
    shutil.copy(CORPUS / "eval/rms/105.flac", folder / "rms")
    sides = ("--converted", folder / "slt", "--reference", folder / "rms", "--source", folder / "slt")
    done = command("evaluate", *sides, "--output", folder / "new/result", "--jobs", 1)
    (folder / "out.txt").write_bytes(done.stdout)
    (folder / "err.txt").write_bytes(done.stderr)
    return folder


def test_command_says_what_it_did(stand_in):
    said, warned = ((stand_in / name).read_text() for name in ("out.txt", "err.txt"))
    assert "2 sentences measured, 0 failed" in said and "report.html written" in said
    lines = warned.splitlines()
    assert [line for line in lines if "warning" in line] == [
        "vc-evaluate: warning: only 2 sentences: figures, intervals and verdicts are rough",
        "vc-evaluate: warning: no model was given: the comparison with means and variances alone is left out",
        "vc-evaluate: warning: reference: 1 without a match: 105",
    ]
    assert NO_OWN_MODELS in html.unescape(page_text(stand_in)) and NO_OWN_MODELS not in warned
    stages = [line for line in lines if "warning" not in line and not line.endswith(" left")]  # how far, each minute
    assert [re.split(r"[ ,]", line)[1] for line in stages] == [
        "reading", "finding", "making", "finding", "measuring", "comparing", "writing"
    ]  # fmt: skip


def test_metrics_json_is_strict_and_complete(stand_in):
    written = json.loads((stand_in / "new/result/metrics.json").read_text(), parse_constant=pytest.fail)
    assert set(written["anchors"]) == {"unconverted", "copy_synthesis", "reference"}
    assert written["counts"] == {
        "utterances": 2, "converted": 2, "reference": 3, "source": 2, "unmatched": 1, "failed": 0
    }  # fmt: skip
    for system in (written, *written["anchors"].values()):
        known = [name for name in METRICS if None not in (system[name], *system["intervals"][name])]
        assert all(system["intervals"][name][0] <= system[name] <= system["intervals"][name][1] for name in known)
        assert set(METRICS) <= set(system)
    assert written["systems"]["converted"] == {name: written[name] for name in (*METRICS, "intervals")}
    judged = ("speaker_similarity", "nearer_target", "phone_error", "content_distance", "dnsmos", "distillmos")
    if set(written["configuration"]["measures"]) == MEASURES.keys() - OWN_MODELS.keys():
        assert written["nearer_target"] == 0 and written["anchors"]["copy_synthesis"]["nearer_target"] == 1
        assert all(written["anchors"]["reference"][name] is not None for name in judged)
    mean = np.mean([row["mcd"] for row in written["utterances"]])
    assert (
        written["mcd"] == pytest.approx(mean, rel=1e-4) and written["mcd"] == written["anchors"]["unconverted"]["mcd"]
    )
    assert written["anchors"]["copy_synthesis"]["mcd"] < 4 < written["mcd"]
    assert written["configuration"]["units"]["mcd"] == "dB" and written["configuration"]["mel_cepstrum_order"] == 24
    assert {row["sentence"] for row in written["utterances"]} == {"101", STRANGE}


class Page(HTMLParser):
    """Tags with their attributes, and the headings' text; refuses a tag that is not closed in its place."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.headings = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data.strip())

    def sources(self, tag: str) -> list[str]:
        return [attributes["src"] for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(stand_in) -> Page:
    return Page((stand_in / "new/result/report.html").read_text())


def test_page_needs_no_network(stand_in, page):
    text = (stand_in / "new/result/report.html").read_text()
    assert "://" not in text and not re.search(r"url\(|@import|<link|<script[^>]+src", text)
    assert all(source.startswith("data:") for tag in ("audio", "img") for source in page.sources(tag))
    assert {name for name, _ in page.tags}.isdisjoint({"iframe", "object", "link", "base"})


def test_page_plays_every_system_of_every_sentence(page):
    sounds = [base64.b64decode(source.partition(",")[2]) for source in page.sources("audio")]
    assert len(sounds) == 2 * len(("unconverted", "converted", "reference")) + len(("copy_synthesis",))
    expected, _ = audio.read(CORPUS / "eval/slt/101.flac")
    heard = [soundfile.read(io.BytesIO(sound), dtype="float32") for sound in sounds]
    assert all(rate == RATE and samples.std() > 0.01 for samples, rate in heard)
    errors = [np.std(samples - expected) for samples, _ in heard if len(samples) == len(expected)]
    assert min(errors) < 0.05 * expected.std()  # Opus is not exact
    assert all(source.startswith("data:image/webp;base64,") for source in page.sources("img"))
    assert len(page.sources("img")) == 2


def test_page_speaks_first_of_the_voice_and_plays_source_converted_and_target(stand_in, page):
    text = (stand_in / "new/result/report.html").read_text()
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "audio"]
    assert labels[:3] == ["Source, slt", "Converted", "Target, rms"]
    assert "ound like rms" in text[: text.index("<audio")]
    written = json.loads((stand_in / "new/result/metrics.json").read_text())
    assert written["headlines"]["converted"] in (stand_in / "out.txt").read_text().splitlines()


def test_page_folds_what_would_push_the_target_off_the_first_screen(ideal, tmp_path):
    """Source, three systems and the target of every sentence are in view; other systems are folded below them."""
    systems = [f"System {number}" for number in range(5)]

    def alike(by_system: dict) -> dict:
        own = by_system["converted"]
        return {**dict.fromkeys(systems, own), **{name: by_system[name] for name in by_system if name != "converted"}}

    parts = {name: alike(getattr(ideal, name)) for name in ("scores", "verdicts", "recordings", "f0")}
    folders = alike(ideal.configuration["folders"]["systems"])
    configuration = {**ideal.configuration, "folders": {**ideal.configuration["folders"], "systems": folders}}
    write_report(replace(ideal, systems=systems, configuration=configuration, **parts), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    for section in text.split('<div class="players">')[1::2]:
        assert re.findall('aria-label="([^"]*)"', section.partition("<details>")[0])[-1].startswith("Target")
    assert text.count("System 3, System 4") == len(ideal.sentences) and text.count("<audio") == 6 * 3 + 1


def test_page_has_no_words_of_a_command_line(stand_in):
    shown = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", page_text(stand_in), flags=re.DOTALL)
    assert not re.search(r"\s--\w|pip install|vc-\w+ |=PATH", shown)


def test_page_says_what_two_short_recordings_mean_for_its_figures(stand_in):
    seconds = sum(audio.info(CORPUS / f"eval/rms/{name}.flac").seconds for name in (101, 103))
    text = html.unescape(page_text(stand_in)).replace("\N{NO-BREAK SPACE}", " ")
    assert f"With {int(seconds)} s of the target's recordings, less than 20 s" in re.sub(r"<[^>]*>", "", text)


def test_page_shows_no_empty_row_or_column_and_none_twice(stand_in):
    """Without transcripts the source has no phone errors, so that those added are those there are."""
    text = page_text(stand_in)
    assert "phone error added" not in text and "<dd></dd>" not in text
    for table in re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL):
        rows = [re.findall(r"<td[^>]*>([^<]*)", row) for row in re.findall("<tr>.*?</tr>", table, re.DOTALL)]
        assert rows and all(set(line) - {"-"} for line in (*rows, *zip(*rows)))


def page_text(folder: Path) -> str:
    return (folder / "new/result/report.html").read_text()


def test_page_escapes_names_and_describes_its_pictures(page):
    assert {"101", STRANGE} <= set(page.headings)
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert not any(tag == "b" for tag, _ in page.tags)


@pytest.fixture(scope="module")
def statistics(mini) -> Path:
    """A model file that holds the mini corpus's speakers and no network."""
    features = store.read_features(mini / "dump/train")
    speakers = {name: features.speakers[name] for name in ("slt", "rms")}
    path = mini / "statistics.safetensors"
    model_file.write(path, model_file.Model("mean_variance", features.config, {}, speakers, 0, features.digest), {})
    return path


def test_model_gives_the_mean_variance_anchor(mini, statistics, tmp_path):
    """The source's data directory stands in for what was converted; direction and title come from the speakers."""
    for speaker in ("slt", "rms"):
        data_directory.write(tmp_path / speaker, data_directory.read(mini / "data/eval" / speaker)[:2])
    sides = ("--converted", tmp_path / "rms", "--reference", tmp_path / "slt", "--source", tmp_path / "rms")
    command("evaluate", *sides, "--model", statistics, "--output", tmp_path / "o", "--jobs", 1, *QUICK)
    written = json.loads((tmp_path / "o/metrics.json").read_text())
    assert written["title"] == "rms to slt" and written["configuration"]["model"]["target"] == "slt"
    assert written["anchors"]["mean_variance"]["mcd"] < written["anchors"]["unconverted"]["mcd"]
    assert written["anchors"]["mean_variance"]["log_f0_rmse"] < written["log_f0_rmse"]


def test_a_process_reads_a_model_once(statistics, tmp_path, monkeypatch):
    """For the direction, the anchor in every sentence and the cycle."""
    anchors.load_converter.cache_clear()
    read, paths = model_file.read, []
    monkeypatch.setattr(model_file, "read", lambda path: (paths.append(path), read(path))[1])
    utterance = Utterance("1", "", voices(tmp_path / "v", 120, "1") / "1.wav")
    direction = anchors.find_direction(statistics, source=None, target="slt")
    direction = pickle.loads(pickle.dumps(direction))  # as a process of a pool receives it
    for name in "bc":
        anchors.mean_variance(utterance, tmp_path / f"{name}.wav", direction)
    cycle = anchors.measure_cycle(anchors.load_converter(statistics), [utterance], direction)
    assert cycle.gain < 3 and paths == [statistics]


def test_a_speaker_that_the_model_does_not_know_is_refused(statistics, tmp_path, capsys):
    source, reference = directory_of(tmp_path / "s", "stranger", "stranger-1"), touch(tmp_path / "r", "1.wav")
    sides = ["--converted", str(reference), "--reference", str(reference), "--source", str(source)]
    assert main([*sides, "--model", str(statistics), "--output", str(tmp_path / "o")]) == 2
    said = capsys.readouterr().err
    assert str(statistics) in said and "'stranger'" in said and "slt, rms" in said


@pytest.mark.parametrize("scale", [1, 32768])
def test_peaks_of_an_anchor_are_limited(scale, tmp_path):
    """Of a recording of another scale, too."""
    square = np.sign(vowel(1.0, 16000)) * np.float32(0.99 * scale)
    soundfile.write(tmp_path / "a.wav", square, 16000, subtype="FLOAT")
    utterance = Utterance("a", "", tmp_path / "a.wav")
    anchor = anchors.copy_synthesis(utterance, tmp_path / "b.wav", WorldConfig(16000), F0Range(60, 700))
    samples, _ = anchor.read(16000)
    assert np.abs(samples).max() == pytest.approx(CEILING, abs=1e-3)
    assert speech_level(samples, 16000) > -8  # a flat signal's level by itself is -1 dB
