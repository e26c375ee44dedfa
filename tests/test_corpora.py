"""Laws of the corpora: who learns from what, and that nothing of it is evaluated on."""

import itertools
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS, ROOT, TINY, run

from vc.corpus import data_directory

EGS = ROOT / "egs"
VCC2016 = ROOT / "egs/vcc2016/vc2/local/data.sh"
HALVES = {"SF1": ["100001", "100081"], "TM3": ["100082", "100162"]}
TENTHS = [0, 2, 4, 6, 8, 11, 13, 15, 17, 19]  # ten of twenty-two, evenly spread
SENTENCES = [*HALVES["SF1"], *HALVES["TM3"]]


def record(path: Path, random: np.random.Generator, seconds: float = 0.5, rate: int = 16000) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, random.uniform(-0.1, 0.1, round(seconds * rate)), rate)


# VCC2016


def public_layout(folder: Path, random: np.random.Generator) -> Path:
    for speaker in HALVES:
        for sentence in SENTENCES:
            record(folder / "vcc2016_training" / speaker / f"{sentence}.wav", random)
        record(folder / "evaluation_all" / speaker / "200001.wav", random)
    return folder


def folder_layout(folder: Path, random: np.random.Generator) -> Path:
    for speaker in HALVES:
        for sentence in SENTENCES:
            record(folder / speaker / "train" / f"{sentence}.flac", random)
        record(folder / speaker / "eval" / "200001.flac", random)
    return folder


def check_division(data: Path, train: str = "", evaluation: str = "") -> None:
    expected = [f"{speaker}-{train}{sentence} {speaker}" for speaker in HALVES for sentence in HALVES[speaker]]
    assert (data / "train/utt2spk").read_text().splitlines() == expected
    held_out = [f"SF1-{train}100082 SF1", f"TM3-{train}100001 TM3"]  # of the other half: none that it learns from
    assert (data / "dev/utt2spk").read_text().splitlines() == held_out
    for speaker in HALVES:
        assert (data / f"eval/{speaker}/utt2spk").read_text() == f"{speaker}-{evaluation}200001 {speaker}\n"


@pytest.mark.parametrize(
    ("lay_out", "prefixes"),
    [(public_layout, ("", "")), (folder_layout, ("train-", "eval-"))],
    ids=["public", "folders"],
)
def test_vcc2016_is_divided_so_that_no_sentence_is_shared(tmp_path, random, lay_out, prefixes):
    corpus = lay_out(tmp_path / "a corpus", random)
    for _ in range(2):  # may be repeated
        done = run(VCC2016, corpus, "data", *HALVES, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        check_division(tmp_path / "data", *prefixes)


def test_vcc2016_without_the_other_half_holds_nothing_out(tmp_path, random):
    corpus = folder_layout(tmp_path / "corpus", random)
    for path in corpus.glob("TM3/train/10000*"):
        path.unlink()
    done = run(VCC2016, corpus, "data", *HALVES, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/train/utt2spk").is_file() and not (tmp_path / "data/dev").exists()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed: it fetches file:// addresses")
def test_vcc2016_is_downloaded_once(tmp_path, random):
    folder = public_layout(tmp_path / "public", random)
    shutil.make_archive(folder / "vcc2016_training", "zip", folder, "vcc2016_training")
    shutil.make_archive(folder / "evaluation_all", "zip", folder / "evaluation_all")  # without a folder of its own
    done = run(VCC2016, "", "data", *HALVES, cwd=tmp_path, VCC2016_URL=folder.as_uri())
    assert done.returncode == 0, done.stderr
    assert f"Downloading {folder.as_uri()}/evaluation_all.zip" in done.stdout
    check_division(tmp_path / "data")
    shutil.rmtree(folder)
    assert run(VCC2016, "", "data", *HALVES, cwd=tmp_path, VCC2016_URL=folder.as_uri()).returncode == 0


def test_a_damaged_download_is_refused_by_name(tmp_path):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/vcc2016_training.zip").write_text("<html>gone</html>")
    done = run(VCC2016, "", "data", *HALVES, cwd=tmp_path)
    assert done.returncode == 1 and "vcc2016_training.zip is no whole zip file" in done.stderr


def test_another_folder_is_refused_as_vcc2016(tmp_path):
    done = run(VCC2016, tmp_path, "data", *HALVES, cwd=tmp_path)
    assert done.returncode == 1 and "neither vcc2016_training/ nor SF1/train" in done.stderr


# The others: a miniature of each, with numbers at the edges of what is chosen


@dataclass(frozen=True)
class Miniature:
    """Recordings below a corpus's folder, and the sentences that a pair shall get of them."""

    files: list[str]
    train: dict[str, list[str]]
    dev: dict[str, list[str]]
    evaluation: dict[str, list[str]]
    prefix: str = ""  # of each sentence

    @property
    def pair(self) -> list[str]:
        return list(self.train)

    def make(self, folder: Path) -> Path:
        random = np.random.default_rng(0)
        for name in self.files:
            record(folder / name, random)
        return folder


def spelt(pattern: str, *fields: list[str]) -> list[str]:
    """The pattern with one after another of the first field's values for its first `*`, and so on."""
    if not fields:
        return [pattern]
    return [name for value in fields[0] for name in spelt(pattern.replace("*", value, 1), *fields[1:])]


def both(pair: list[str], *sentences: str) -> dict[str, list[str]]:
    return {speaker: list(sentences) for speaker in pair}


ARCTIC = ["slt", "rms"]
VCTK = ["p225", "p226"]
JVS = ["jvs001", "jvs002"]
MINIATURES = {
    "vcc2018": Miniature(
        files=[
            *spelt("vcc2018_training/VCC2SF3/*.wav", ["20001", "20081"]),
            *spelt("vcc2018_training/VCC2*/*.wav", ["TF1", "SF1"], ["10001", "10081"]),
            *spelt("vcc2018_evaluation/VCC2*/*.wav", ["SF3", "SF1"], ["30001", "30035"]),
            *spelt("vcc2018_reference/VCC2TF1/*.wav", ["30001", "30035"]),
        ],
        train={"SF3": ["20001", "20081"], "TF1": ["10001", "10081"]},
        dev={},
        evaluation=both(["SF3", "TF1"], "30001", "30035"),
    ),
    "vcc2020": Miniature(
        files=[
            *spelt("source/SEF1/E*.wav", ["10001", "10049", "10050", "10051", "10060", "10070"]),
            *spelt("target_task1/TEM1/E*.wav", ["10051", "10060", "10070", "20001", "20050"]),
            *spelt("vcc2020_database_evaluation/SEF1/E*.wav", ["30001", "30025"]),
            *spelt("vcc2020_database_groundtruth/TEM1/E*.wav", ["30001", "30025"]),
        ],
        train={"SEF1": ["10001", "10049", "10050"], "TEM1": ["20001", "20050"]},
        dev=both(["SEF1", "TEM1"], "10051", "10060", "10070"),
        evaluation=both(["SEF1", "TEM1"], "30001", "30025"),
        prefix="E",
    ),
    "cmu_arctic": Miniature(
        files=[
            *spelt("cmu_us_*_arctic/wav/arctic_a*.wav", ARCTIC, ["0001", "0002", "0592", "0593"]),
            *spelt("cmu_us_*_arctic/wav/arctic_b*.wav", ARCTIC, ["0001", "0009", "0010", "0059", "0060"]),
        ],
        train={"slt": ["a0002", "a0592"], "rms": ["a0001", "a0593"]},
        dev=both(ARCTIC, "b0001", "b0009"),
        evaluation=both(ARCTIC, "b0010", "b0059"),
        prefix="arctic_",
    ),
    "vctk": Miniature(
        files=[
            f"wav48_silence_trimmed/{speaker}/{speaker}_{number}_{microphone}.flac"
            for speaker in VCTK
            for number in ("001", "024", "025", "030", "031", "099", "100", "366")
            for microphone in ("mic1", "mic2")
        ],
        train={"p225": ["030", "100", "366"], "p226": ["031", "099"]},
        dev={},
        evaluation=both(VCTK, "001", "024"),
    ),
    "jvs": Miniature(
        files=[
            *spelt(
                "*/parallel100/wav24kHz16bit/VOICEACTRESS100_*.wav",
                JVS,
                ["001", "002", "069", "070", "079", "080", "099", "100"],
            ),
            *spelt("*/nonpara30/wav24kHz16bit/BASIC5000_0001.wav", JVS),
        ],
        train={"jvs001": ["002"], "jvs002": ["001", "069"]},
        dev=both(JVS, "070", "079"),
        evaluation=both(JVS, "080", "099", "100"),
        prefix="parallel100-wav24kHz16bit-VOICEACTRESS100_",
    ),
    "own": Miniature(
        files=[*(f"anna/a{number:02d}.wav" for number in range(22)), *spelt("bert/an evening/*.flac", ["x y", "z"])],
        train={"anna": [f"a{number:02d}" for number in range(22) if number not in TENTHS], "bert": ["an_evening-z"]},
        dev={},
        evaluation={"anna": [f"a{number:02d}" for number in TENTHS], "bert": ["an_evening-x_y"]},
    ),
}


def data_script(name: str) -> Path:
    return EGS / name / "vc2/local/data.sh"


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sentences(directory: Path, prefix: str = "") -> dict[str, list[str]]:
    """Speaker -> sentences of a data directory, without their prefix; none if it is not there."""
    found: dict[str, list[str]] = {}
    for line in (directory / "utt2spk").read_text().splitlines() if directory.is_dir() else []:
        id, speaker = line.split()
        found.setdefault(speaker, []).append(id.removeprefix(f"{speaker}-{prefix}"))
    return found


def check_lists(data: Path, miniature: Miniature) -> None:
    assert sentences(data / "train", miniature.prefix) == miniature.train
    assert sentences(data / "dev", miniature.prefix) == miniature.dev
    for speaker, names in miniature.evaluation.items():
        assert sentences(data / "eval" / speaker, miniature.prefix) == {speaker: names}
    learnt = [name for names in miniature.train.values() for name in names]
    held_out = [name for part in (miniature.dev, miniature.evaluation) for names in part.values() for name in names]
    assert len(set(learnt)) == len(learnt) and not set(learnt) & set(held_out)


@pytest.mark.parametrize("name", MINIATURES)
def test_corpora_are_divided_as_they_say(tmp_path, name):
    miniature = MINIATURES[name]
    corpus = miniature.make(tmp_path / "a corpus")
    made = []
    for _ in range(2):  # may be repeated
        done = run(data_script(name), corpus, "the data", *miniature.pair, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made.append(contents(tmp_path / "the data"))
    check_lists(tmp_path / "the data", miniature)
    assert made[0] == made[1]


@pytest.mark.parametrize("name", MINIATURES)
def test_a_speaker_who_is_not_there_is_refused_by_name(tmp_path, name):
    miniature = MINIATURES[name]
    corpus = miniature.make(tmp_path / "corpus")
    for stranger in ("nobody", miniature.pair[0] + "9"):
        done = run(data_script(name), corpus, "data", miniature.pair[0], stranger, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and stranger in done.stderr
        assert not list(tmp_path.glob("data/**/wav.scp"))


def test_vctk_without_the_first_microphone_is_refused_by_name(tmp_path):
    for speaker in ("p225", "p226"):
        record(tmp_path / f"wav48_silence_trimmed/{speaker}/{speaker}_001_mic2.flac", np.random.default_rng(0))
    done = run(data_script("vctk"), tmp_path, "data", "p225", "p226", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "wav48_silence_trimmed/p225: no recordings such as p225_001_mic1.flac" in done.stderr


@pytest.mark.parametrize("name", ["vctk", "jvs", "own"])
def test_a_corpus_that_is_not_downloaded_is_asked_for(tmp_path, name):
    words = ("--work", tmp_path, "--source", "anna", "--target", "bert", "--stop_stage", 0)
    done = run(EGS / name / "vc2/run.sh", *words)
    assert done.returncode == 1 and "local/data.sh: error: give --corpus: " in done.stderr


ARCHIVES = {
    "vcc2018": {f"vcc2018_database_{part}.zip": f"vcc2018_{part}" for part in ("training", "evaluation", "reference")},
    "vcc2020": {
        "vcc2020_database_training_source.zip": "source",
        "vcc2020_database_training_target_task1.zip": "target_task1",
        "vcc2020_database_evaluation.zip": "vcc2020_database_evaluation",
        "vcc2020_database_groundtruth.zip": "vcc2020_database_groundtruth",
    },
    "cmu_arctic": {f"cmu_us_{speaker}_arctic.tar.bz2": f"cmu_us_{speaker}_arctic" for speaker in ARCTIC},
}


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed: it fetches file:// addresses")
@pytest.mark.parametrize("name", ARCHIVES)
def test_what_is_downloaded_is_unpacked_once(tmp_path, name):
    miniature = MINIATURES[name]
    public = miniature.make(tmp_path / "public")
    for archive, folder in ARCHIVES[name].items():
        stem, kind = archive.split(".", 1)
        shutil.make_archive(public / stem, {"zip": "zip", "tar.bz2": "bztar"}[kind], public, folder)
    words = (EGS / name / "vc2/run.sh", "--work", tmp_path / "a work", "--stop_stage", 0)
    done = run(*words, **{f"{name.upper()}_URL": public.as_uri()})
    assert done.returncode == 0, done.stdout + done.stderr
    for archive in ARCHIVES[name]:
        assert f"Downloading {public.as_uri()}/{archive}" in done.stdout
    assert {path.name for path in (tmp_path / "a work/downloads").iterdir()} == {
        *ARCHIVES[name].keys(),
        *ARCHIVES[name].values(),
    }
    check_lists(tmp_path / "a work/data", miniature)


def test_a_speaker_without_evaluation_sentences_is_refused_by_name(tmp_path):
    for speaker in ARCTIC:
        record(tmp_path / f"cmu_us_{speaker}_arctic/wav/arctic_a0001.wav", np.random.default_rng(0))
    done = run(data_script("cmu_arctic"), tmp_path, "data", *ARCTIC, cwd=tmp_path)
    assert done.returncode == 1 and "slt has no set b" in done.stderr


def test_own_recordings_with_the_same_names_are_held_out_together(tmp_path):
    """A sentence that one is evaluated on is learnt from by neither; what one alone has is learnt from."""
    random = np.random.default_rng(0)
    for name in [*spelt("corpus/*/*.wav", ["anna", "bert"], ["1", "2", "3"]), "corpus/anna/0.wav"]:
        record(tmp_path / name, random)
    done = run(data_script("own"), "corpus", "data", "anna", "bert", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Names that all speakers have, taken for the same sentences: 3" in done.stdout
    assert sentences(tmp_path / "data/train") == {"anna": ["0", "2", "3"], "bert": ["2", "3"]}
    for speaker in ("anna", "bert"):
        assert sentences(tmp_path / "data/eval" / speaker) == {speaker: ["1"]}


def test_digits_are_dealt_out_whole_and_to_one_speaker_each():
    script = 'data=. . corpus.sh; for speaker in "$@"; do own_digits "$speaker" "$@"; done'
    everyone = list("abcdefghijk")
    for count in range(1, 11):
        done = run("bash", "-c", script, "bash", *everyone[:count])
        dealt = [line.strip("[]") for line in done.stdout.split()]
        assert len(dealt) == count and all(dealt) and sorted("".join(dealt)) == list("0123456789")
    refused = run("bash", "-c", script, "bash", *everyone)
    assert refused.returncode == 1 and "ten speakers at most, not to 11" in refused.stderr


# From each corpus to its reports


def speak(folder: Path, files: list[str], first: str) -> None:
    """Speech in every file: one voice for the speaker `first`, another for the rest, no two files alike."""
    import soundfile

    voices = {name: sorted((CORPUS / "train" / name).iterdir()) for name in ("slt", "rms")}
    for number, name in enumerate(files):
        voice = voices["slt" if first in name else "rms"]
        samples, rate = soundfile.read(voice[number % len(voice)])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, samples[2000 + number : 22_000 + number], rate)


VCC2016_FILES = [
    *spelt("vcc2016_training/SF1/*.wav", ["100001", "100081"]),
    *spelt("vcc2016_training/TM3/*.wav", ["100082", "100162"]),
    *spelt("evaluation_all/*/*.wav", ["SF1", "TM3"], ["200001", "200002"]),
]
RECIPES = {"vcc2016": (VCC2016_FILES, ["SF1", "TM3"])} | {name: (m.files, m.pair) for name, m in MINIATURES.items()}


def test_the_two_files_in_the_readme_are_a_corpus(tmp_path):
    """As somebody would who copies them."""
    shutil.copytree(ROOT / "recipes", tmp_path / "a clone/recipes")
    data, script = re.findall(r"```bash\n(#!.*?)```", (ROOT / "docs/recipes.md").read_text(), re.DOTALL)
    recipe = tmp_path / "a clone/egs/mine/vc2"
    (recipe / "local").mkdir(parents=True)
    for path, content in ((recipe / "local/data.sh", data), (recipe / "run.sh", script)):
        path.write_text(content)
        path.chmod(0o755)
    speak(tmp_path / "corpus", spelt("*/*/*.wav", ["train", "eval"], ["ann", "bob"], ["1", "2"]), "ann")
    settings = ("--features_conf", tmp_path / "16k.yaml", "--stop_stage", 1)
    (tmp_path / "16k.yaml").write_text("features:\n  sample_rate: 16000\n")
    done = run(recipe / "run.sh", "--corpus", tmp_path / "corpus", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ann: 2 utterances to learn from, 2 to convert" in done.stdout
    assert sentences(recipe / "data/train") == {"ann": ["1", "2"], "bob": ["1", "2"]}
    assert "dump/train: 4 utterances, 0 failed" in done.stdout


def test_every_recipe_is_tried():
    assert {path.parts[-3] for path in EGS.glob("*/vc2/run.sh")} == {*RECIPES, "mini"}  # mini: test_recipes.py


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_stops_after_any_stage_and_goes_on(tmp_path, name):
    files, pair = RECIPES[name]
    speak(tmp_path / "a corpus", files, pair[0])
    (tmp_path / "features.yaml").write_text("features:\n  sample_rate: 16000\n  f0_method: dio\n")
    words = [EGS / name / "vc2/run.sh", "--work", tmp_path / "a work", "--corpus", tmp_path / "a corpus"]
    words += ["--source", pair[0], "--target", pair[1], "--conf", TINY, "--features_conf", tmp_path / "features.yaml"]
    words += ["--nj", 2, "--device", "cpu", "--train_opts", "--set training.steps=2 --set training.batch=1"]
    for last in range(5):
        done = run(*words, "--stop_stage", last)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.findall(r"^Stage (\d):", done.stdout, re.MULTILINE) == [str(stage) for stage in range(last + 1)]
    ways = (f"{pair[0]}-{pair[1]}", f"{pair[1]}-{pair[0]}")
    experiment = tmp_path / "a work/exp" / f"{ways[0]}_tiny"
    assert all(list((experiment / "converted" / way).glob("*.wav")) for way in ways)
    assert all((experiment / "evaluation" / way / "report.html").is_file() for way in ways)
    made = {path: path.stat().st_mtime_ns for path in experiment.glob("*/*/*")}
    again = run(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {path: path.stat().st_mtime_ns for path in experiment.glob("*/*/*")} == made


def test_one_long_recording_of_each_is_cut_and_ten_pieces_held_out(tmp_path):
    random = np.random.default_rng(0)
    for speaker in ("anna", "bert"):
        record(tmp_path / "corpus" / speaker / "chapter.wav", random, seconds=400, rate=1000)
    done = run(data_script("own"), "corpus", "data", "anna", "bert", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "taken for the same sentences" not in done.stdout
    for speaker in ("anna", "bert"):
        held_out = data_directory.read(tmp_path / "data/eval" / speaker)
        learnt = [u for u in data_directory.read(tmp_path / "data/train") if u.speaker == speaker]
        assert len(held_out) == 10 and len(learnt) > 20
        spans = sorted(tuple(map(int, u.id.split("-")[-2:])) for u in held_out + learnt)  # hundredths of a second
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(spans))  # all of it, and none twice
        assert spans[0][0] == 0 and spans[-1][1] == 40_000


def test_one_short_recording_is_too_little_and_that_is_said(tmp_path):
    record(tmp_path / "corpus/anna/a.wav", np.random.default_rng(0))
    done = run(data_script("own"), "corpus", "data", "anna", cwd=tmp_path)
    assert done.returncode == 1 and "anna: too few recordings: one is held out, and none is left" in done.stderr
