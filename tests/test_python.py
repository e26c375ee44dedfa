"""`vc` from Python: the commands' work and defaults, lists for arrays, and errors that name the shape."""

import contextlib
import doctest
import importlib
import inspect
import re
import shutil
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import ROOT, command

import vc
from vc import api
from vc.cli import convert as convert_command
from vc.cli import evaluate as evaluate_command
from vc.cli import train as train_command
from vc.config import read_sections
from vc.errors import ConfigError, DataError, VCError
from vc.evaluate import Request
from vc.features.f0 import F0Options, F0Range

CORPUS = ROOT / "egs/mini/corpus"
MINI = ROOT / "egs/mini/model.safetensors"


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A few recordings of a target, and what somebody says, converted already."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings/bert").mkdir(parents=True)
    for path in sorted((CORPUS / "train/rms").iterdir(), key=lambda path: path.stat().st_size)[:4]:
        shutil.copy(path, tmp_path / "recordings/bert")
    for folder, who in {"eval/bert": "rms", "as_bert": "slt"}.items():
        (tmp_path / folder).mkdir(parents=True)
        for path in sorted((CORPUS / "eval" / who).iterdir())[:2]:
            shutil.copy(path, tmp_path / folder)
    return tmp_path


@pytest.fixture(scope="module")
def converter():
    return vc.Converter.load(MINI)


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_examples_of_the_functions_run(name, recordings):
    [test] = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs={"vc": vc})
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).attempted == 2 and not runner.failures
    made = {"train": "exp/bert/model.safetensors", "evaluate": "results/report.html"}[name]
    assert (recordings / made).is_file()


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_packages_are_called_like_their_functions(name):
    package = getattr(vc, name)
    assert inspect.ismodule(package) and inspect.signature(package) == inspect.signature(getattr(api, name))
    with pytest.raises(TypeError, match="output"):
        package("folder")


@pytest.mark.parametrize("name", ["evaluate", "listen", "prepare", "train"])
def test_options_of_several_values_add_up_when_repeated(name, monkeypatch):
    module, parsers = importlib.import_module(f"vc.cli.{name}"), []
    monkeypatch.setattr("vc.cli.common.run", lambda command, work, parser, *args, **settings: parsers.append(parser))
    module.main([])
    [(parser,)] = [parsers]
    groups = [action.choices.values() for action in parser._actions if isinstance(action.choices, dict)]
    options = [action for one in (parser, *chain(*groups)) for action in one._actions if action.option_strings]
    several = [action for action in options if action.nargs in ("+", "*")]
    assert several and {type(action).__name__ for action in several} == {"_ExtendAction"}


def test_what_is_asked_of_an_evaluation_is_what_the_command_asks(monkeypatch, tmp_path):
    """The same request, from words and from arguments."""
    asked = []

    def stop(request, *_, **__):
        asked.append(request)
        raise DataError("enough")

    monkeypatch.setattr("vc.evaluate.evaluate", stop)
    monkeypatch.setattr("vc.api.measure", stop)
    assert evaluate_command.main(["--converted", "a", "--reference", "b", "--output", str(tmp_path)]) == 1
    with pytest.raises(DataError, match="enough"):
        vc.evaluate("a", "b", tmp_path)
    assert asked[0] == asked[1] and isinstance(asked[0], Request)


def test_what_is_asked_of_a_training_is_what_the_command_asks(monkeypatch, tmp_path):
    asked = []

    def stop(folders, output, sections, changes, **rest):
        asked.append((list(folders), output, sections, list(changes), rest))
        raise DataError("enough")

    monkeypatch.setattr("vc.from_folders.train_from_folders", stop)
    monkeypatch.setattr("vc.api.train_from_folders", stop)
    assert train_command.main(["a", "--output", str(tmp_path), "b", "--set", "training.steps=3"]) == 1
    with pytest.raises(DataError, match="enough"):
        vc.train(["a", "b"], tmp_path, settings={"training.steps": 3})
    assert asked[0] == asked[1]


def test_settings_reach_the_configuration_as_they_are(monkeypatch, tmp_path):
    changes = []
    monkeypatch.setattr("vc.api.train_from_folders", lambda *arguments, **_: changes.extend(arguments[3]))
    path = Path("models") / "\N{GRINNING FACE} d\u00e9j\u00e0 \\ vu"
    vc.train("a", tmp_path, settings={"objective.start": path, "training.steps": 3, "network.dilations": [1, 2]})
    sections = read_sections(None, changes)
    assert sections["objective"] == {"start": str(path)}
    assert (sections["training"], sections["network"]) == ({"steps": 3}, {"dilations": [1, 2]})
    changes.clear()
    vc.train("a", tmp_path, settings={"objective.start": b"a/path"})
    assert read_sections(None, changes)["objective"] == {"start": "a/path"}
    endless = []
    endless.append(endless)
    for reason, value in {"int64": np.int64(3), "Circular": endless}.items():
        with pytest.raises(ConfigError, match=rf"settings: training\.steps: .*{reason}"):
            vc.train("a", tmp_path, settings={"training.steps": value})


@pytest.mark.parametrize("name", ["gpu", "cuda:first", "meta", "mps", "xpu"])
def test_an_unknown_device_is_refused_by_name(name, tmp_path):
    with pytest.raises(ConfigError, match=f"device: unknown '{name}'; known: auto, cpu, cuda"):
        vc.train("a", tmp_path, device=name)
    with pytest.raises(ConfigError, match=f"device: unknown '{name}'"):
        vc.Converter.load(ROOT / "egs/mini/model.safetensors", device=name)


@pytest.mark.parametrize(
    ("work", "refusal"),
    [
        (lambda _: vc.Converter.load(None), "path: expected str or path, got None"),
        (lambda _: vc.Converter.load(MINI, device=None), "device: unknown None; known: auto, cpu, cuda"),
        (lambda _: vc.Converter.load(MINI, precision="fp16"), "precision: unknown 'fp16'; known: float32, tf32, bf16"),
        (lambda _: vc.Converter.load(MINI, vocoder=3), "vocoder: expected str or path or None, got 3"),
        (lambda converter: converter.convert([0.1], "16000"), "sample_rate: expected number, got '16000'"),
        (
            lambda converter: converter.convert("a.wav", 16000),
            "samples: expected an array, .*; convert_file converts files",
        ),
        (lambda converter: converter.convert({}, 16000), "samples: .*'dict'"),
        (
            lambda converter: converter.convert(np.zeros(16000, np.int16), 16000),
            "samples: expected floating-point numbers of full scale 1, got int16; divide samples of 16 bits by 32768",
        ),
        (lambda converter: list(converter.convert_stream([np.zeros(9, int)])), "block 0 of the stream: .* got int64"),
        (lambda converter: converter.convert_file("a\0.wav", "b.wav"), ".*: not a valid file name"),
        (lambda converter: converter.convert_file("a.wav", "./a.wav"), "./a.wav: is also an input; choose another"),
        (
            lambda converter: converter.convert([0.1], 16000, to=["rms"]),
            r"to: expected str or None, got \['rms'\]",
        ),
        (lambda converter: converter.convert([0.1], 16000, options={}), r"options: expected ConversionOptions, got {}"),
        (lambda converter: list(converter.convert_stream(None)), "blocks: expected Iterable, got None"),
        (lambda converter: list(converter.convert_stream([], longest="2")), "longest: expected number, got '2'"),
        (lambda converter: converter.convert_file("a.wav", None), "output: expected str or path, got None"),
        (lambda converter: converter.convert_file("a.wav", "b.wav", jobs="2"), "jobs: expected int, got '2'"),
        (lambda _: vc.ConversionOptions(f0={"shift": 2}), "f0: expected F0Options, got {'shift': 2}"),
        (lambda _: vc.ConversionOptions(f0_range=(60, 400)), r"f0_range: expected F0Range or None, got \(60, 400\)"),
        (lambda _: F0Options(shift="2"), "shift: expected number, got '2'"),
        (lambda _: F0Range("60", "400"), "floor: expected number, got '60'"),
        (lambda _: vc.train(3, "b"), "recordings: expected str or path or Iterable, got 3"),
        (lambda _: vc.train(["a", None], "b"), "recordings: expected str or path, got None"),
        (lambda _: vc.train("a", None), "output: expected str or path, got None"),
        (lambda _: vc.train("a", "b", config=3), "config: expected str or path or None, got 3"),
        (lambda _: vc.train("a", "b", settings=["training.steps=3"]), "settings: expected Mapping or None, got "),
        (lambda _: vc.train("a", "b", device=3.5), "device: unknown 3.5; known: auto, cpu, cuda"),
        (lambda _: vc.train("a", "b", jobs="2"), "jobs: expected int or None, got '2'"),
        (lambda _: vc.train("a", "b", jobs=-1), "jobs must be 1 or more, got -1"),
        (lambda _: vc.evaluate(["a", "b"], "c", "d"), r"converted: expected str or path or Mapping, got \['a', 'b'\]"),
        (lambda _: vc.evaluate({"x": None}, "c", "d"), r"converted\['x'\]: expected str or path, got None"),
        (lambda _: vc.evaluate("a", None, "d"), "reference: expected str or path, got None"),
        (lambda _: vc.evaluate("a", "c", "d", cache=3), "cache: expected str or path or None, got 3"),
        (lambda _: vc.evaluate("a", "c", "d", match=3), "match: expected str or None, got 3"),
        (lambda _: vc.evaluate("a", "c", "d", measures=3), "measures: expected Iterable or None, got 3"),
        (lambda _: vc.evaluate("a", "c", "d", measures=[3]), "measures: expected str, got 3"),
    ],
)
def test_an_argument_of_another_type_is_refused_by_name(work, refusal, converter):
    with pytest.raises(VCError, match=f"^{refusal}") as caught:
        work(converter)
    assert "\n" not in str(caught.value)


def test_paths_and_numbers_of_other_libraries_are_taken(converter):
    tone = np.sin(np.arange(4000) / 9)
    for rate in (np.int64(8000), np.float32(8000), 8000.0):
        np.testing.assert_array_equal(converter.convert(tone, rate), converter.convert(tone, 8000))
    with pytest.raises(ConfigError, match="no vocoder 'mine'"):
        vc.Converter.load(MINI, vocoder=Path("mine"))


def test_one_name_is_no_list_of_names():
    with pytest.raises(ConfigError, match="conventions: expected a list of names"):
        vc.evaluate("a", "b", "c", conventions="sprocket")
    with pytest.raises(ConfigError, match="measures: expected a list of names"):
        vc.evaluate("a", "b", "c", measures="speaker")
    with pytest.raises(ConfigError, match="measures: expected a list of names"):
        vc.train("a", "b", measures="speaker")


def test_lists_are_taken_where_arrays_are():
    random = np.random.default_rng(0)
    one, other = random.standard_normal((2, 30, 5))
    assert vc.metrics.mel_cepstral_distortion(one.tolist(), other.tolist()) == vc.metrics.mel_cepstral_distortion(
        one, other
    )
    path = [list(range(30)), list(range(30))]
    f0 = random.uniform(100, 200, (2, 30))
    assert vc.metrics.log_f0_rmse(*f0.tolist(), path) == vc.metrics.log_f0_rmse(*f0, tuple(map(np.array, path)))
    assert vc.metrics.mean_interval([1, 2, 3, 4]) == vc.metrics.mean_interval(np.array([1.0, 2, 3, 4]))


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: vc.metrics.mel_cepstral_distortion([1, 2], [[1, 2]]), r"got shape \(2,\)"),
        (lambda: vc.metrics.mel_cepstral_distortion([[1, 2]], [[1, 2, 3]]), r"equal order, got shapes \(1, 2\) and"),
        (lambda: vc.metrics.audible([[1, 2], [3]]), "mel_cepstrum: rows of unequal lengths"),
        (lambda: vc.metrics.audible([["a", "b"]]), r"mel_cepstrum: expected numbers, got shape \(1, 2\)"),
        (lambda: vc.metrics.log_f0_rmse([[100.0]], [100.0], [[0], [0]]), r"got shape \(1, 1\)"),
    ],
)
def test_errors_of_measures_name_the_shape(work, said):
    with pytest.raises(DataError, match=said):
        work()


def test_errors_of_a_conversion_name_the_shape(converter):
    with pytest.raises(DataError, match=r"got shape \(2, 16000\): give samples.T"):
        converter.convert(np.zeros((2, 16000)), 16000)
    with pytest.raises(DataError, match="rows of unequal lengths"):
        converter.convert([[0.0], [0.0, 0.0]], 16000)
    rate, tone = 16000, np.sin(np.arange(4000) / 9)
    np.testing.assert_array_equal(converter.convert(tone.tolist(), rate), converter.convert(tone, rate))


def test_who_types_a_conversion_is_told_where_it_lies(tmp_path, capfd, monkeypatch):
    """Scripts, whose standard error is no terminal, get the counts of a batch alone."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", 0.1 * np.sin(np.arange(16000) / 14), 16000)
    words = ["a.wav", "--model", str(ROOT / "egs/mini/model.safetensors"), "--to", "rms", "--output", "out.wav"]
    assert convert_command.main(words) == 0 and capfd.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("vc.parallel.progress", lambda *_: contextlib.nullcontext(SimpleNamespace(update=lambda *_: 0)))
    assert convert_command.main(words) == 0
    told, said = capfd.readouterr()
    assert not told and re.fullmatch(r"out.wav: rms's voice, 16000 Hz, after \d+ s\n", said)


def test_options_may_stand_between_recordings(tmp_path):
    done = command(
        "convert", "a.wav", "--model", str(ROOT / "egs/mini/model.safetensors"), "b.wav", cwd=tmp_path, check=1
    )
    assert done.stdout.decode() == "0 converted, 2 failed\n"
