"""Every code block of README and docs runs, in order, in a folder that holds what its page says to have.

A block after the line `<!-- not run: REASON -->` needs what a test lacks: its syntax is checked, and that what it calls
has the options that it gives.
"""

import functools
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from conftest import CORPUS, ROOT, beginning, commands, environment

from vc import model_file
from vc.features.world import WorldConfig
from vc.train.experiment import resolve

RECORDS = ("decisions", "experiments")  # what was done at the commits that they name
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in RECORDS)]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
INLINE = re.compile(r"`((?:vc-|torchrun )[^`]+)`")
SPEAKERS = {"slt": "anna", "rms": "bert"}  # who of the mini corpus plays whom of the pages
# Fewer steps, no judges and the quick vocoder; and the usual method of `vc-train FOLDER FOLDER` on one page alone. As
# the blocks stand they run in `make test-slow`.
CHEAPER = {
    r"(vc-train --config recognition_synthesis)": r"\1 --set training.steps=2",
    r"(vc-train recordings/.*)": r"\1 --set training.steps=2 --set training.samples=0 --measures none --jobs 1",
    r"(vc-convert --model (?:exp/bert|exp/anna-bert anna.wav|six_voices))": r"\1 --vocoder world",
    r"(vc-extract) ": r"\1 --jobs 1 ",  # a pool's processes import torch again
    r"(vc-evaluate) (?!.*--pairs)": r"\1 --measures none --jobs 1 ",
    r"(vc-listen make) ": r"\1 --sentences 1 ",  # two are there, and one is for practice
}


ELSEWHERE = {**CHEAPER, r"(vc-train recordings/.*)": r"\1 --method mean_variance --measures none --jobs 1"}


class Block(NamedTuple):
    """A fenced block: its language, its text, and why it does not run if it does not."""

    language: str
    text: str
    reason: str | None


def blocks(page: Path) -> list[Block]:
    return [Block(found["language"], found["text"], found["reason"]) for found in BLOCK.finditer(page.read_text())]


def lay_out(folder: Path) -> Path:
    """Lay out a clone and the recordings, models and conversions that the pages call by name."""
    for name in ("egs", "recipes"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "tools/venv").mkdir(parents=True)
    (folder / "tools/venv/bin").symlink_to(commands())
    shortest = {
        who: sorted((CORPUS / "train" / who).iterdir(), key=lambda path: path.stat().st_size) for who in SPEAKERS
    }
    for who, name in SPEAKERS.items():
        recordings = {f"recordings/{name}": shortest[who][:4], f"{name}_recordings": shortest[who][4:5]}
        said = sorted((CORPUS / "eval" / who).iterdir())[:2]
        for place, paths in {**recordings, f"eval/{name}": said, name: said}.items():
            (folder / place).mkdir(parents=True)
            for path in paths:
                beginning(path, folder / place / path.name)
        for path in (f"{name}.flac", f"{name}.wav"):
            beginning(shortest[who][0], folder / path)
    beginning(shortest["slt"][0], folder / "anyone.wav")
    return folder


def converted(folder: Path) -> None:
    """What a page on measuring begins with: a model, and conversions by it and by others."""
    model, weights = model_file.read(ROOT / "egs/mini/model.safetensors")
    speakers = {SPEAKERS[name]: known for name, known in model.speakers.items()}
    (folder / "exp/anna-bert").mkdir(parents=True)
    model_file.write(folder / "exp/anna-bert/model.safetensors", replace(model, speakers=speakers), weights)
    shutil.copytree(folder / "exp/anna-bert", folder / "exp/anna-bert-nearest")
    for output, options in {"as_bert": "", "a": "--f0-shift 1", "b": "--keep-f0", "c": "--f0-scale 0.8"}.items():
        shell(f"vc-convert --model exp/anna-bert {options} eval/anna --output {output}", folder)
    shutil.copytree(folder / "a", folder / "other")
    shutil.copy(folder / "as_bert/101.wav", folder / "as_bert.wav")


def answered(folder: Path) -> None:
    """A listener's answers to the test that the page has made."""
    from vc.listening.formats import ANSWERS, read_key

    key = read_key(folder / "test/key.json")
    answers = [{"item": item, "answer": "4"} for item in key.items]
    about = {"format": ANSWERS, "version": 1, "test": key.test, "listener": "ann", "answers": answers}
    (folder / "answers_ann.json").write_text(json.dumps(about))


BEFORE = {  # what a block finds beside what the blocks before it made
    "vc-evaluate --converted as_bert --reference eval/bert": converted,
    "vc-convert --model exp/anna-bert --vocoder hifigan": converted,
    "vc-live --model exp/anna-bert-nearest": converted,
}


def shell(text: str, folder: Path) -> str:
    words = ["bash", "-euo", "pipefail", "-c", text]
    surroundings = environment(HOME=str(folder), CUDA_VISIBLE_DEVICES="")
    done = subprocess.run(words, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(page: Path, folder: Path, cheaper: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lay_out(folder))
    for block in blocks(page):
        if block.reason:
            continue
        for words, prepare in BEFORE.items():
            if words in block.text and not (folder / "exp/anna-bert").exists():
                prepare(folder)
        if block.language == "python":
            exec(compile(block.text, page.name, "exec"), {})
            continue
        if block.language == "yaml":  # a part of a run's configuration
            resolve(yaml.safe_load(block.text), WorldConfig(), ("anna", "bert"), "")
            continue
        for command in block.text.replace("\\\n", " ").splitlines():
            if "vc-listen score" in command:
                answered(folder)
            for words, quick in cheaper.items():
                command = re.sub(words, quick, command)
            shell(command, folder)


SLOW = ("package",)  # builds and installs the package
RUN = [page for page in PAGES if not all(block.reason for block in blocks(page))]
TIMED = [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in SLOW), id=page.stem) for page in RUN]


@pytest.mark.parametrize("page", TIMED)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    run(page, tmp_path, CHEAPER if page.stem == "README" else ELSEWHERE, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda path: path.stem)
def test_the_blocks_of_a_page_run_as_they_stand(page, tmp_path, monkeypatch):
    run(page, tmp_path, {}, monkeypatch)


@functools.cache
def options(*command: str) -> set[str]:
    """What `--help` of a command or a script of this repository lists."""
    done = subprocess.run([*command, "--help"], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z][\w-]*", done.stdout))


def called(words: list[str]) -> list[str]:
    """The words that name what is called: a command, its own command if it has some, or a script."""
    [first, *rest] = words
    if re.fullmatch(r"vc-(listen|vocoder|encoder)", first) and rest and not rest[0].startswith("-"):
        return [first, rest[0]]
    return [first]


def check(line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and words[0] in ("torchrun", "--nproc_per_node", "4", "--no-python"):
        words = words[1:]
    if not words or not re.match(r"(vc-[a-z]+$|egs/|recipes/|tools/)", words[0]):
        return
    given = {re.split("=", word)[0] for word in words if word.startswith("--")}
    assert given <= options(*called(words)), f"{line}: no {sorted(given - options(*called(words)))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_what_a_page_does_not_run_has_options_that_exist(page):
    for block in blocks(page):
        if block.reason and block.language == "bash":
            subprocess.run(["bash", "-n", "-c", block.text], check=True)
            for line in block.text.replace("\\\n", " ").splitlines():
                check(line)
        elif block.reason and block.language == "python":
            compile(block.text, page.name, "exec")
    for snippet in INLINE.findall(page.read_text()):
        check(" ".join(snippet.split()).replace("...", ""))


def anchors(page: Path) -> set[str]:
    """The fragments by which GitHub links to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings_that_are_there():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    broken = []
    for page in (ROOT / name for name in listed.splitlines()):
        for target, fragment in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
            if re.match(r"\w+:", target):
                continue
            place = page.parent / target if target else page
            if not place.exists() or (fragment and fragment not in anchors(place)):
                broken.append(f"{page.relative_to(ROOT)}: {target}#{fragment}")
    assert not broken
