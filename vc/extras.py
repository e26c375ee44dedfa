"""Packages that a plain installation leaves out: checked before work begins, not at its end."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from vc.errors import ConfigError

# Outside the extra, for it requires the source release webrtcvad, for whose wheels the extra has webrtcvad-wheels.
WITHOUT_DEPENDENCIES = {"resemblyzer": "pip install --no-deps resemblyzer"}
DISTRIBUTION = "nonparallel-vc"  # of this package
COMMAND = "; to install it: "  # before the command, in what `require` says


def missing(*modules: str) -> list[str]:
    """Those of these top-level modules that are not installed; none is imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def require(what: str, extra: str, *modules: str) -> None:
    """Refuse `what` where modules of an extra of setup.cfg are missing, with the command that installs them."""
    absent = missing(*modules)
    if absent:
        commands = [
            f"pip install '{DISTRIBUTION}[{extra}]'",
            *(WITHOUT_DEPENDENCIES[module] for module in absent if module in WITHOUT_DEPENDENCIES),
        ]
        raise ConfigError(f"{what} needs {', '.join(absent)}, of the extra {extra}{COMMAND}{' && '.join(commands)}")


def ensure_numba_cache() -> None:
    """Set a folder for what numba, which librosa brings, compiles, where the user's cache cannot be written.

    Without one, numba ends the process at its import. Processes that are started later inherit it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if "NUMBA_CACHE_DIR" not in os.environ and not (existing.is_dir() and os.access(existing, os.W_OK)):
        folder = tempfile.mkdtemp(prefix="vc-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder


def onnx_runtime() -> Any:
    """Import onnxruntime, with its reports over the network switched off.

    Its Linux wheels of 2026 (1.31 does) report every process to their maker over the network, and keep a device id in
    the user's cache, unless this variable is set before the first import (microsoft/onnxruntime, pull request 27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
