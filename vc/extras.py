"""Optional packages, whose presence is checked before work begins."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from vc.errors import ConfigError

# Not in the extra, because it depends on webrtcvad, a source release, in place of which the extra has webrtcvad-wheels.
WITHOUT_DEPENDENCIES = {"resemblyzer": "pip install --no-deps resemblyzer"}
DISTRIBUTION = "nonparallel-vc"  # of this package
COMMAND = "; to install it: "  # precedes the command in the message of `require`


def missing(*modules: str) -> list[str]:
    """Which of these top-level modules are not installed; none is imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def require(what: str, extra: str, *modules: str) -> None:
    """Raise ConfigError, with the command to install them, if modules that `what` needs are missing.

    Parameters
    ----------
    what : str
        The feature that needs the modules, for the message.
    extra : str
        The extra in setup.cfg that includes them.
    modules : str
        Top-level modules.
    """
    absent = missing(*modules)
    if absent:
        commands = [
            f"pip install '{DISTRIBUTION}[{extra}]'",
            *(WITHOUT_DEPENDENCIES[module] for module in absent if module in WITHOUT_DEPENDENCIES),
        ]
        raise ConfigError(f"{what} needs {', '.join(absent)}, of the extra {extra}{COMMAND}{' && '.join(commands)}")


def ensure_numba_cache() -> None:
    """Point numba (a dependency of librosa) to a temporary cache folder if the user's cache is not writable.

    Otherwise importing numba fails. Processes that are started later inherit the setting.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if "NUMBA_CACHE_DIR" not in os.environ and not (existing.is_dir() and os.access(existing, os.W_OK)):
        folder = tempfile.mkdtemp(prefix="vc-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder


def onnx_runtime() -> Any:
    """Import onnxruntime with telemetry disabled.

    Its Linux wheels of 2026 (at least 1.31) report every process over the network, and store a device id in the user's
    cache, unless this variable is set before the first import (microsoft/onnxruntime, pull request 27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
