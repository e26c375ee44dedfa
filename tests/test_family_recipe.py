"""recipes/many and recipes/family: one model of three voices, and methods side by side."""

import importlib.util
import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, ROOT, TINY, commands, run
from fork_server import SCRIPT

from vc import model_file

TWO = ("--speakers", "a b")
WAYS = "slt:kal kal:rms"
SMALL = "network:\n  channels: 4\n  residual_blocks: 2\n  residual_channels: 8\n"
SHORT = "training:\n  steps: 2\n  segment: 64\n  log_every: 1\n"


def made(recipe: str, checkout: Path, three: Path, *words: object) -> subprocess.CompletedProcess:
    settings = ("--prepare", checkout / "egs/mini/vc2/local/data.sh", "--corpus", three, "--work", "one model")
    settings += ("--features_conf", "features.yaml", "--nj", 1, "--device", "cpu", "--evaluate_opts", "--measures none")
    return run(f"recipes/{recipe}/run.sh", *settings, *words, cwd=checkout)


@pytest.fixture(scope="module")
def confs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("confs")
    for kind, name, method, objective in (
        ("many", "xgan", "xgan", "  code_cost: 0\n"),
        ("pair", "gan_encoder", "cyclegan_vc2", "  cycle_consistency: 0\n  content: 1\n"),
    ):
        (folder / kind).mkdir()
        text = f"method: {method}\n{SMALL}objective:\n{objective}{SHORT}"
        (folder / kind / f"{name}.yaml").write_text(text)
    return folder


def test_one_model_serves_the_ways_that_are_asked_for(checkout, three, confs):
    words = ("--conf", confs / "many/xgan.yaml", "--speakers", "slt rms kal", "--ways", WAYS, "--stop_stage", 3)
    done = made("many", checkout, three, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    experiment = checkout / "one model/exp/slt-rms-kal_xgan"
    assert tuple(model_file.read(experiment)[0].speakers) == ("slt", "rms", "kal")
    for way in ("slt-kal", "kal-rms"):
        assert len(list((experiment / "converted" / way).glob("*.wav"))) == 2
    assert {path.name for path in (experiment / "converted").iterdir() if path.is_dir()} == {"slt-kal", "kal-rms"}
    again = made("many", checkout, three, *words)
    assert again.stdout.count("nothing to do") == 3  # features, two conversions


@pytest.mark.slow
def test_methods_are_compared_in_one_table(checkout, three, confs):
    words = ("--source", "slt", "--target", "rms", "--speakers", "slt rms kal", "--max_jobs", 2)
    words += ("--pair_confs", confs / "pair", "--many_confs", confs / "many", "--encoder", "xgan")
    done = made("family", checkout, three, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (checkout / "one model/evaluation/table.md").read_text().splitlines()
    rows = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:-1]] for row in table[2:]}
    heads = [cell.strip() for cell in table[0].split("|")[2:-1]]
    assert list(rows)[:2] == ["xgan", "gan encoder"] and {"unconverted", "mean-variance"} <= set(rows)
    cell = {name: dict(zip(heads, row, strict=True)) for name, row in rows.items()}
    speakers = {name: cell[name]["speakers"] for name in ("xgan", "gan encoder", "unconverted")}
    assert speakers == {"xgan": "3", "gan encoder": "2", "unconverted": "-"}
    mcd = {name: float(row["`mcd` (dB)"].split(" ± ")[0]) for name, row in cell.items() if name != "reference"}
    assert cell["xgan"]["steps"] == "2" and mcd["unconverted"] > 3 and " ± " in cell["xgan"]["`mcd` (dB)"]
    content = json.loads((checkout / "one model/evaluation/slt-rms/metrics.json").read_text())
    other = json.loads((checkout / "one model/evaluation/rms-slt/metrics.json").read_text())
    mean = (content["systems"]["xgan"]["mcd"] + other["systems"]["xgan"]["mcd"]) / 2
    assert abs(mcd["xgan"] - mean) < 0.006
    assert '"content"' in (checkout / "one model/exp/slt-rms_gan_encoder/log.jsonl").read_text()


@pytest.mark.parametrize(
    ("recipe", "words", "message"),
    [
        ("many", ["--conf", TINY], "give --speakers 'A B ...', two or more"),
        ("many", ["--conf", TINY, "--speakers", "slt"], "give --speakers 'A B ...', two or more"),
        ("many", ["--conf", TINY, "--speakers", "a b", "--ways", "a:c"], "--ways: 'a:c' is no SOURCE:TARGET of a b"),
        ("many", ["--speakers", "a b"], "--conf: no such YAML file: ''"),
        ("family", ["--source", "a", "--target", "b"], "give --speakers"),
        ("family", [*TWO, "--source", "a", "--target", "b", "--methods", "ban"], "--methods: no ban.yaml"),
        ("family", [*TWO, "--tag", "x"], "unknown option --tag"),
        (
            "family",
            [*TWO, "--source", "a", "--target", "b", "--pair_confs", "no"],
            "--pair_confs: no such folder: 'no'",
        ),
        (
            "family",
            [*TWO, "--source", "a", "--target", "b", "--pair_confs", "egs", "--many_confs", "egs"],
            "--many_confs, --pair_confs: no *.yaml in ",
        ),
        ("many", ["--conf", TINY, "--speakers", "a b a"], "--speakers: a stands twice"),
        ("family", [*TWO, "--source", "a", "--target", "c"], "--ways: 'a:c' is no SOURCE:TARGET"),
    ],
)
def test_what_cannot_be_is_refused_by_name(checkout, three, recipe, words, message):
    done = made(recipe, checkout, three, *words, "--work", "refused")
    assert done.returncode == 1 and message in done.stderr
    assert not (checkout / "refused").exists()


def test_conversions_of_a_model_that_has_been_replaced_are_not_compared(checkout, three, confs, tmp_path):
    experiment = tmp_path / "exp/slt-rms_xgan"
    (experiment / "converted").mkdir(parents=True)
    (experiment / "model.safetensors").write_text("another model")
    (experiment / "converted/slt-rms.sha256").write_text(f"{'0' * 64}  exp/slt-rms_xgan/model.safetensors\n")
    words = ("--source", "slt", "--target", "rms", "--speakers", "slt rms", "--methods", "xgan")
    words += ("--pair_confs", confs / "pair", "--many_confs", confs / "many", "--stage", 3, "--work", tmp_path)
    done = made("family", checkout, three, *words)
    assert done.returncode == 1 and "slt-rms.sha256 is missing or out of date: stage 2 makes it" in done.stderr


def test_a_method_of_both_kinds_is_compared_as_it_is_trained(checkout, three, confs, tmp_path):
    (tmp_path / "xgan.yaml").write_text("method: cyclegan_vc2\n")
    words = ("--source", "slt", "--target", "rms", "--speakers", "slt rms kal", "--methods", "xgan", "--stage", 3)
    words += ("--pair_confs", tmp_path, "--many_confs", confs / "many", "--work", tmp_path / "work")
    done = made("family", checkout, three, *words)
    missing = tmp_path / "work/exp/slt-rms-kal_xgan/model.safetensors"
    assert done.returncode == 1 and done.stderr == f"run.sh: error: {missing} is missing: stage 2 makes it\n"


@pytest.mark.parametrize("methods", ["xgan", "gan_encoder", "gan_encoder xgan"])
def test_an_encoder_that_no_method_uses_is_named(checkout, three, confs, methods):
    words = ("--source", "slt", "--target", "rms", "--speakers", "slt rms", "--encoder", "unit", "--methods", methods)
    words += ("--pair_confs", confs / "pair", "--many_confs", confs / "many", "--stage", 3, "--work", "no model")
    done = made("family", checkout, three, *words)
    assert done.returncode == 1 and ("nothing uses --encoder unit" in done.stderr) == (methods == "xgan")


@pytest.mark.slow
def test_a_method_that_fails_is_named_and_the_others_are_done(checkout, three, confs, tmp_path):
    (tmp_path / "bad.yaml").write_text(f"method: cyclegan_vc2\nnetwork:\n  channels: 3\n{SHORT}")
    (tmp_path / "good.yaml").write_text(f"method: cyclegan_vc2\n{SMALL}{SHORT}")
    words = ("--source", "slt", "--target", "rms", "--speakers", "slt rms kal", "--stage", 2)
    done = made("family", checkout, three, *words, "--pair_confs", tmp_path, "--methods", "bad good")
    assert done.returncode == 1 and "these failed: bad; the others are done" in done.stderr
    assert (checkout / "one model/exp/slt-rms_good/model.safetensors").is_file()


def test_more_than_four_speakers_are_named_by_their_number(checkout):
    line = '. "$1/names.sh"; . "$1/pairs.sh"; speakers="a b c d e" ways=; list_model'
    line += '; echo "$list_name $(wc -l <<< "$way_list")"'
    done = run("bash", "-euc", line, "-", checkout / "recipes/utils")
    assert done.stdout.startswith("5_speakers_") and done.stdout.endswith(" 21\n")  # 20 ways and an empty line


def test_a_table_without_a_log_is_refused(tmp_path):
    (tmp_path / "A-B").mkdir()
    content = {"systems": {"x": {}}, "anchors": {}, "counts": {"utterances": 1}}
    (tmp_path / "A-B/metrics.json").write_text(json.dumps(content))
    words = (ROOT / "recipes/utils/family.py", tmp_path / "A-B/metrics.json", "--models", f"x={tmp_path}")
    done = run(*words)
    assert done.returncode == 1 and f"{tmp_path}/model.safetensors: no such model file" in done.stderr
    shutil.copy(ROOT / "egs/mini/model.safetensors", tmp_path)
    done = run(*words)
    assert done.returncode == 1 and done.stderr == f"family.py: error: {tmp_path}: no log.jsonl\n"
    (tmp_path / "log.jsonl").write_text('{"step": 4, "losses": {}, "steps_per_second": 0.0}\n{"step": 8, "los')
    done = run(*words)
    assert done.returncode == 0 and "| x | 2 | " in done.stdout and " | 4 | 0 |" in done.stdout


def test_systems_of_one_way_are_put_together(tmp_path):
    paths = [tmp_path / folder / "A-B/metrics.json" for folder in ("first", "second")]
    for path, name, mcd in zip(paths, "xy", (7.0, 8.0)):
        path.parent.mkdir(parents=True)
        content = {"systems": {name: {"mcd": mcd}}, "anchors": {}, "counts": {"utterances": 1}}
        path.write_text(json.dumps(content))
    done = run(ROOT / "recipes/utils/family.py", *paths)
    assert done.returncode == 0 and "| x | 7.00 |" in done.stdout and "| y | 8.00 |" in done.stdout
    done = run(ROOT / "recipes/utils/family.py", *paths, paths[0])
    assert done.returncode == 1 and "x once more" in done.stderr


def test_a_system_of_some_ways_has_a_row_that_says_of_how_many(tmp_path):
    paths = [tmp_path / way / "metrics.json" for way in ("A-B", "B-A")]
    for path, systems in zip(paths, ({"x": {"mcd": 7.0}}, {"x": {"mcd": 8.0}, "y": {"mcd": 5.0}})):
        path.parent.mkdir()
        path.write_text(json.dumps({"systems": systems, "anchors": {}, "counts": {"utterances": 1}}))
    for name in ("family", "vocoders"):
        done = run(ROOT / f"recipes/utils/{name}.py", *paths)
        assert done.returncode == 0 and "| x | 7.50 |" in done.stdout and "| y (of 1) | 5.00 |" in done.stdout
    for word in ("x", "x=", "z=exp"):
        done = run(ROOT / "recipes/utils/family.py", *paths, "--models", word)
        assert done.returncode == 1 and done.stderr == (
            f"family.py: error: --models {word}: expected NAME=DIR, NAME one of x, y\n"
        )


def test_a_file_that_says_no_cost_is_named(tmp_path):
    for folder in ("evaluation/a", "copies/a"):
        (tmp_path / folder).mkdir(parents=True)
    path, report = tmp_path / "evaluation/a/metrics.json", tmp_path / "copies/a/x.json"
    path.write_text(json.dumps({"systems": {"x": {"mcd": 7.0}}, "anchors": {}, "counts": {"utterances": 1}}))
    for content in ("[]", "{}", '{"cpu_seconds": "1", "audio_seconds": 2}', "no JSON"):
        report.write_text(content)
        done = run(ROOT / "recipes/utils/vocoders.py", path)
        assert done.returncode == 1 and done.stderr.startswith(f"vocoders.py: error: {report}: not ")
        assert done.stderr.count("\n") == 1


NO_EVALUATIONS = (
    "[]",
    "{}",
    "no JSON",
    '{"systems": {}}',
    '{"systems": {}, "anchors": {}, "counts": {"utterances": 1}}',
    '{"systems": {"x-1": 3}, "anchors": {}, "counts": {"utterances": 1}}',
    '{"systems": {"x-1": {"mcd": "low"}}, "anchors": {}, "counts": {"utterances": 1}}',
    '{"systems": {"x-1": {}}, "anchors": [], "counts": {"utterances": 1}}',
    '{"systems": {"x-1": {}}, "anchors": {}}',
    '{"systems": {"x-1": {}}, "anchors": {}, "counts": {"utterances": 1}, "utterances": [null]}',
    '{"systems": {"x-1": {}}, "anchors": {}, "counts": {"utterances": 1}, "verdicts": {"x-1": [{}]}}',
    '{"systems": {"x-1": {}}, "anchors": {}, "counts": {"utterances": 1}, "headlines": []}',
)


@pytest.mark.parametrize("content", NO_EVALUATIONS)
@pytest.mark.parametrize("name", ["family", "vocoders", "results", "curve", "headlines"])
def test_a_file_that_is_no_evaluation_is_named(tmp_path, name, content):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    words = ["--output", tmp_path / "curve.png"] if name == "curve" else []
    done = run(commands() / SCRIPT, ROOT / f"recipes/utils/{name}.py", path, *words)
    assert done.returncode == 1 and done.stderr.startswith(f"{name}.py: error: {path}: not ")
    assert done.stderr.count("\n") == 1


def script(name: str):
    """A script of recipes/utils as a module."""
    found = importlib.util.spec_from_file_location(name, ROOT / f"recipes/utils/{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("apart", "low", "high"), [(0.0, 0.15, 0.55), (1.0, 0.95, 1.01)])
def test_a_probe_names_speakers_by_what_tells_them_apart_alone(random, monkeypatch, apart, low, high):
    probe = script("probe")
    monkeypatch.setattr(probe, "STEPS", 60)
    codes = {
        name: [random.standard_normal((70, 4)) + apart * np.eye(4)[number] for _ in range(6)]
        for number, name in enumerate(("a", "b", "c"))
    }
    assert low < probe.accuracy(codes) < high


def test_a_probe_reports_on_every_model_whatever_its_name(random, monkeypatch, capsys):
    probe = script("probe")
    codes = {name: [random.standard_normal((40, 4)) for _ in range(2)] for name in ("a", "b")}
    known = type("Features", (), {"require": lambda self, speaker: None, "config": None})()
    model = type("Model", (), {"speakers": codes, "features": None})(), None
    for name, value in (("read_features", known), ("read_multi_speaker_model", model), ("normalised_frames", codes)):
        monkeypatch.setattr(probe, name, lambda *_, value=value: value)
    monkeypatch.setattr(probe, "codes_of", lambda *_: codes)
    monkeypatch.setattr(probe, "STEPS", 1)
    paths = ["one/model.safetensors", "two/model.safetensors"]
    monkeypatch.setattr("sys.argv", ["probe.py", *paths, "--features", "dump"])
    assert probe.main() == 0
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == ["features", *paths]
    model[0].features = "others"
    message = f"probe.py: error: {paths[0]}: trained on features of other settings than dump\n"
    assert probe.main() == 1 and capsys.readouterr().err == message


def test_a_probe_asks_models_with_a_code(model, mini):
    done = run(commands() / SCRIPT, ROOT / "recipes/utils/probe.py", model, "--features", mini / "dump/train")
    assert done.returncode == 1 and done.stderr == f"probe.py: error: {model}: method cyclegan_vc2 has no code\n"


def test_a_picture_shows_each_recording(tmp_path):
    speech = sorted((CORPUS / "eval/slt").iterdir())[0]
    words = ["--output", tmp_path / "two.png", f"source={speech}", f"again={speech}"]
    assert run(ROOT / "recipes/utils/pictures.py", *words).returncode == 0
    content = (tmp_path / "two.png").read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content[:8] == b"\x89PNG\r\n\x1a\n" and (width, height) == (640, 280) and len(content) < 100_000
    for word, message in (("source=none.wav", "none.wav: "), ("none.wav", "none.wav: expected TITLE=FILE")):
        done = run(ROOT / "recipes/utils/pictures.py", *words[:2], word)
        assert done.returncode == 1 and done.stderr.startswith(f"pictures.py: error: {message}")


def test_learning_curves_have_a_point_for_each_kept_model(tmp_path, monkeypatch):
    path = tmp_path / "A-B/metrics.json"
    path.parent.mkdir()
    figures = {"narrow-1000": 8.0, "narrow-500": 9.0, "nearest": 7.0}
    interval = {"intervals": {"mcd": [6.5, 9.5], "dnsmos": [2.5, 3.5]}}
    content = {"systems": {name: {"mcd": mcd, **interval} for name, mcd in figures.items()}}
    content["systems"]["narrow-500"]["dnsmos"] = 3.0  # which the other point lacks
    anchors = {"copy_synthesis": {"mcd": 2.0}, "reference": {"mcd": None}}
    path.write_text(json.dumps(content | {"anchors": anchors, "counts": {"utterances": 1}}))
    monkeypatch.syspath_prepend(ROOT / "recipes/utils")  # for its import of systems.py
    curves = script("curve").learning_curves(list(figures))
    assert curves == {"narrow": {500: "narrow-500", 1000: "narrow-1000"}}  # and nearest is a line
    done = run(commands() / SCRIPT, ROOT / "recipes/utils/curve.py", path, "--output", tmp_path / "curve.png")
    assert done.returncode == 0 and (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    content |= {"systems": {"nearest": {"mcd": 7.0}}, "anchors": anchors, "counts": {"utterances": 1}}
    path.write_text(json.dumps(content))
    done = run(commands() / SCRIPT, ROOT / "recipes/utils/curve.py", path, "--output", tmp_path / "none.png")
    refusal = "curve.py: error: no system is called NAME-STEP; there are: nearest\n"
    assert done.returncode == 1 and done.stderr == refusal
