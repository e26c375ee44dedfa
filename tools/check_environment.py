#!/usr/bin/env python3
"""Print the versions that matter in a bug report; exit 1, with a line for each, if a package is missing."""

from __future__ import annotations

import importlib
import os
import platform
import sys

PACKAGES = ("numpy", "torch", "pyworld", "soundfile", "soxr", "yaml", "safetensors", "tqdm", "vc")


def version(name: str) -> str:
    """Import `name` and return its version; for soundfile also that of the libsndfile inside."""
    module = importlib.import_module(name)
    found = str(getattr(module, "__version__", "installed"))
    return f"{found}, libsndfile {module.__libsndfile_version__}" if name == "soundfile" else found


def graphics() -> str:
    """What PyTorch can compute on."""
    import torch

    if not torch.cuda.is_available():
        return "no (training runs on the CPU)"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{torch.version.cuda}: {', '.join(names)}"


def main() -> int:
    missing = {}
    print(f"python       {platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            print(f"{name:12} {version(name)}")
        except (ImportError, OSError) as error:  # OSError: a package without its library
            missing[name] = error
    if "torch" not in missing:
        print(f"{'CUDA':12} {graphics()}")
    print(f"{'cores':12} {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}")
    for name, error in missing.items():
        print(f"check_environment: error: {name} cannot be imported: {error}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
