"""A package with a method, a metric and a vocoder, as docs/plugins.md has it, is known once it is installed."""

import configparser
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT, commands, environment

from vc.errors import ConfigError
from vc.plugins import Registry
from vc.train.methods import METHODS, describe

PAGE = (ROOT / "docs/plugins.md").read_text()
WORK = """
import sys
from vc.cli.train import main as train
from vc.cli.convert import main as convert
from vc.cli.evaluate import main as evaluate
features, recording, eval = sys.argv[1:]
train(["--method", "one_layer"])
words = ["--set", "training.steps=2", "--set", "training.segment=32", "--set", "network.kernel=3"]
assert train(["--method", "one_layer", "--features", features, "--source", "slt", "--target", "rms",
              "--output", "exp", "--device", "cpu", *words]) == 0
assert convert(["--model", "exp", "--vocoder", "whisper", recording, "--output", "whispered.wav"]) == 0
assert evaluate(["--converted", eval, "--reference", eval, "--measures", "none", "--output", "results",
                 "--jobs", "1"]) == 0
"""


def installed(folder, *, name="vc-example", module="vc_example", groups=None):
    """Lay out what pip would: the module, and a dist-info that names its entry points."""
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    groups = groups or {
        group: re.findall(r'^(\w+) = "(.*)"$', entries, re.MULTILINE)
        for group, entries in re.findall(r'entry-points\."(.*?)"\]\n(.*?)\n(?:\n|$)', text, re.DOTALL)
    }
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = configparser.ConfigParser()
    points.read_dict({group: dict(entries) for group, entries in groups.items()})
    with (about / "entry_points.txt").open("w") as file:
        points.write(file)
    return groups


def test_the_example_trains_converts_and_measures(mini, tmp_path):
    groups = installed(tmp_path / "site")
    assert list(groups) == ["vc.models", "vc.methods", "vc.metrics", "vc.vocoders"]
    [module] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "site/vc_example.py").write_text(module)
    recordings = sorted((ROOT / "egs/mini/corpus/eval/slt").iterdir())[:2]
    (tmp_path / "eval").mkdir()
    for path in recordings:
        (tmp_path / "eval" / path.name).symlink_to(path)
    line = [sys.executable, "-c", WORK, mini / "dump/train", recordings[0], tmp_path / "eval"]
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    done = subprocess.run(
        line, cwd=tmp_path, env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("# One convolution: too little") and "kernel: 5" in done.stdout
    [row] = [line for line in done.stdout.splitlines() if line.startswith("brightness")]
    assert "1.00" in row
    whispered, rate = soundfile.read(tmp_path / "whispered.wav")
    spectrum = np.abs(np.fft.rfft(whispered[: 8 * rate // 10]))
    assert np.isfinite(whispered).all() and whispered.any() and np.isfinite(spectrum).all()
    without = subprocess.run(
        [commands() / "vc-convert", "--model", tmp_path / "exp", recordings[0]], cwd=tmp_path, capture_output=True
    )
    assert without.returncode == 2 and b"one_layer" in without.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [("raise SystemExit('no licence')", "SystemExit: no licence"), ("MODEL = 'x'", "'x' is not of type int")],
)
def test_a_plug_in_that_exits_or_is_of_another_kind_cannot_be_loaded(text, reason, tmp_path, monkeypatch):
    module = "exiting" if "Exit" in text else "unkind"
    installed(tmp_path, module=module, groups={"vc.test": [("one", f"{module}:MODEL")]})
    (tmp_path / f"{module}.py").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=f"cannot be loaded: .*{reason}"):
        Registry({"own": 1}, "vc.test", int)["one"]


def test_a_plug_in_that_cannot_be_loaded_stops_nothing_else(tmp_path, monkeypatch, caplog):
    installed(tmp_path, module="broken", groups={"vc.test": [("broken", "broken:MODEL"), ("own", "broken:OTHER")]})
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such card')\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry({"own": 1}, "vc.test", int)
    assert registry["own"] == 1 and not caplog.messages  # nothing is looked through
    with pytest.raises(
        ConfigError, match=r"plug-in 'broken' of vc-example \(vc.test\) cannot be loaded: RuntimeError: no"
    ):
        registry["broken"]
    registry = Registry({"own": 1}, "vc.test", int)
    assert list(registry) == ["own"] and len(registry) == 1 and "other" not in registry
    assert any("'own' of vc-example (vc.test) is left out: the name is vc's own" in line for line in caplog.messages)
    assert any("no such card; it is left out" in line for line in caplog.messages)
    with pytest.raises(KeyError):
        registry["other"]


def test_a_method_without_a_network_of_its_name_is_refused(monkeypatch):
    monkeypatch.setitem(METHODS, "lonely", METHODS["nearest"])
    with pytest.raises(ConfigError, match="unknown 'lonely'"):
        describe("lonely")
