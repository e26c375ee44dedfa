"""Packages that a plain installation leaves out: asked for before work begins, not at its end."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from vc.errors import ConfigError

# No part of the extra: it requires the source release webrtcvad, for whose wheels the extra has webrtcvad-wheels.
APART = {"resemblyzer": "pip install --no-deps resemblyzer"}
COMMAND = "; in a clone: "  # before the command, in what `require` says


def missing(*modules: str) -> list[str]:
    """Those of these top-level modules that are not installed; none is imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def require(what: str, extra: str, *modules: str) -> None:
    """Refuse `what` where modules of an extra of setup.cfg are missing, with the command that installs them."""
    absent = missing(*modules)
    if absent:
        commands = [f"pip install '.[{extra}]'", *(APART[module] for module in absent if module in APART)]
        raise ConfigError(f"{what} needs {', '.join(absent)}, of the extra {extra}{COMMAND}{' && '.join(commands)}")


def ensure_numba_cache() -> None:
    """Give numba, which librosa brings, a folder for what it compiles where the user's cache cannot be written.

    It would end the process at the import. Processes that are started later take it over.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = next(place for place in (cache, *cache.parents) if place.exists())
    if "NUMBA_CACHE_DIR" not in os.environ and not (place.is_dir() and os.access(place, os.W_OK)):
        folder = tempfile.mkdtemp(prefix="vc-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder


def onnx_runtime() -> Any:
    """The package onnxruntime, which is to send nothing about its use.

    Its Linux wheels of 2026 (1.31 does) report every process to their maker over the network, and keep a device id in
    the user's cache, unless this variable is set before the first import (microsoft/onnxruntime, pull request 27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
