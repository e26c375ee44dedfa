"""The recipe of vocoders: from a corpus to a trained one, copies by every system, and one table."""

import json
from dataclasses import replace
from pathlib import Path

from conftest import ROOT, run

from vc.vocoders import vocoder_file


def recipe(checkout: Path, work: Path, *words: object):
    (checkout / "systems.list").write_text(
        "# two\nworld --vocoder world\nslow --vocoder world --set features.frame_shift=10\n"
    )
    settings = ("--corpus", "egs/mini/corpus", "--prepare", "egs/mini/vc2/local/data.sh", "--speakers", "slt rms")
    settings += ("--heard", "slt", "--systems", "systems.list", "--work", work, "--nj", 1, "--device", "cpu")
    settings += ("--evaluate_opts", "--measures none")
    return run("recipes/vocoder/run.sh", *settings, *words, cwd=checkout)


def test_the_recipe_goes_from_a_corpus_to_a_table(checkout, tmp_path):
    tiny = checkout / "recipes/vocoder/conf/tiny.yaml"
    work, opts = tmp_path / "a b", ("--train_opts", "--set training.steps=2 --set training.checkpoint_every=2")
    done = recipe(checkout, work, "--confs", "recipes/vocoder/conf/tiny.yaml", *opts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tiny.is_file() and (work / "exp/tiny/model.safetensors").is_file()
    systems = json.loads((work / "evaluation/slt/metrics.json").read_text())["systems"]
    assert list(systems) == ["world", "slow", "tiny"] and systems["world"]["mcd"] < systems["tiny"]["mcd"]
    table = (work / "evaluation/table.md").read_text()
    assert table in done.stdout
    rows = [line.split(" | ") for line in table.splitlines()]
    assert rows[0][0] == "| 2 recordings of slt" and "`mcd` (dB)" in rows[0]
    assert [row[0] for row in rows[2:]] == ["| reference", "| world", "| slow", "| tiny"]
    assert all(float(row[-1].strip(" |")) > 0 for row in rows[3:])
    told = table_of("metrics.json", folder=work / "evaluation/slt")
    assert told.returncode == 0 and told.stdout == table
    made = {path: path.stat().st_mtime_ns for path in work.glob("copies/slt/*/*.wav")}
    assert len(made) == 6
    again = recipe(checkout, work, "--confs", "recipes/vocoder/conf/tiny.yaml", *opts, "--stage", 2, "--stop_stage", 2)
    assert again.returncode == 0 and made == {path: path.stat().st_mtime_ns for path in made}
    model = work / "exp/tiny/model.safetensors"
    vocoder, weights = vocoder_file.read(model)
    vocoder_file.write(model, replace(vocoder, step=3), weights)
    recipe(checkout, work, "--confs", "recipes/vocoder/conf/tiny.yaml", *opts, "--stage", 2, "--stop_stage", 2)
    newer = {path.parent.name for path, when in made.items() if path.stat().st_mtime_ns != when}
    assert newer == {"tiny"}  # what has trained on is heard again, the rest is not
    (checkout / "other.list").write_text("world --vocoder world\nslow --vocoder world --set features.frame_shift=8\n")
    other = ("--systems", "other.list", "--confs", "recipes/vocoder/conf/tiny.yaml", "--stage", 2, "--stop_stage", 2)
    made = {path: path.stat().st_mtime_ns for path in made}
    assert recipe(checkout, work, *other, "--train_cmd", "false").returncode == 1
    again = recipe(checkout, work, *other)
    assert again.returncode == 0, again.stdout + again.stderr
    newer = {path.parent.name for path, when in made.items() if path.stat().st_mtime_ns != when}
    assert newer == {"slow"}  # the copy that failed is not taken for one by the new options
    vocoder_file.write(model, replace(vocoder, step=4), weights)
    done = recipe(checkout, work, *other[:4], "--stage", 3)
    assert done.returncode == 1 and "tiny.sha256 is missing or out of date: stage 2 makes it" in done.stderr


def table_of(*words: object, folder: Path):
    return run(ROOT / "recipes/utils/vocoders.py", *words, cwd=folder)


def test_the_recipe_refuses_by_name(checkout, tmp_path):
    (checkout / "twice.list").write_text("world --vocoder world\nslow --vocoder world\nworld --vocoder hifigan\n")
    for name in ("../../../x", ".x", "a/b"):
        (checkout / "out.list").write_text(f"{name} --vocoder world\n")
        done = recipe(checkout, tmp_path / "work", "--systems", "out.list", "--stage", 2)
        assert done.returncode == 1 and f"a system's name: '{name}' is no name" in done.stderr
    for words in ("; touch PWNED ;", "$(touch PWNED)", "`touch PWNED`", "> PWNED", "| sh"):
        (checkout / "shell.list").write_text(f"world --vocoder world {words}\n")
        done = recipe(checkout, tmp_path / "work", "--systems", "shell.list", "--stage", 2)
        assert done.returncode == 1 and "can be no option of vc-vocoder copy" in done.stderr
    assert not list(tmp_path.rglob("PWNED")) and not list(tmp_path.rglob("x"))
    for words, message in (
        (("--speakers", ""), "give --speakers"),
        (("--speakers", "../a"), "'../a' is no name"),
        (("--heard", "../a"), "'../a' is no name"),
        (("--prepare", "none.sh"), "no such executable script"),
        (("--stage", 3), "is missing or out of date: stage 2 makes it"),
        (("--systems", "none.list"), "no such list"),
        (("--sentences", "all"), "--sentences takes a whole number from 1 on, not 'all'"),
        (("--rate", "16k"), "--rate takes a whole number from 1 on, not '16k'"),
        (("--systems", "twice.list"), "two systems have one name: world;"),
    ):
        done = recipe(checkout, tmp_path / "work", *words)
        assert done.returncode == 1 and message in done.stderr, done.stderr
