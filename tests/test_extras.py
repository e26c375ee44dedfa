"""Packages of extras: what is missing is named with the command that installs it, and nothing is imported."""

import os
import subprocess
import sys

import pytest

from vc import extras
from vc.errors import ConfigError


def test_what_is_there_is_not_asked_for():
    assert extras.missing("json", "no_such_module", "numpy") == ["no_such_module"]
    extras.require("this", "eval", "json", "numpy")


def test_what_is_missing_is_named_with_its_extra():
    with pytest.raises(ConfigError) as refused:
        extras.require("a trial", "dev", "json", "no_such_module", "nor_this")
    assert (
        str(refused.value)
        == "a trial needs no_such_module, nor_this, of the extra dev; to install it: pip install 'nonparallel-vc[dev]'"
    )


def test_what_is_installed_apart_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "resemblyzer", None)
    with pytest.raises(
        ConfigError, match=r"pip install 'nonparallel-vc\[eval\]' && pip install --no-deps resemblyzer$"
    ):
        extras.require("a trial", "eval", "resemblyzer")


def test_onnxruntime_leaves_nothing_at_home(tmp_path):
    """Without the variable, version 1.31 keeps a device id there, and sends reports."""
    pytest.importorskip("onnxruntime")
    code = "from vc import extras; extras.onnx_runtime().get_device()"
    kept = {
        name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    }
    subprocess.run([sys.executable, "-c", code], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
