"""Which vocoder a user means by a name or a path."""

import os
from pathlib import Path

import torch

from vc.errors import ConfigError
from vc.vocoders.base import Vocoder
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import NAME
from vc.vocoders.world import WORLD

SUFFIX = Path(NAME).suffix


def choose(name: str, device: torch.device | str = "cpu") -> Vocoder:
    """`world`; a vocoder's file or the directory of its training; or the name of one that `vc-vocoder import` keeps."""
    if name == "world":
        return WORLD
    if os.path.exists(name) or name.endswith(SUFFIX) or os.sep in name:
        return NeuralVocoder.load(Path(name), device)
    kept = place(name)
    if not kept.is_file():
        known = ", ".join(["world", *(path.stem for path in sorted(kept.parent.glob(f"*{SUFFIX}")))])
        raise ConfigError(f"no vocoder {name!r}; there are: {known}; to get one: vc-vocoder import --help")
    return NeuralVocoder.load(kept, device)


def place(name: str) -> Path:
    """Where an imported vocoder is kept for the user, whichever the project: $XDG_DATA_HOME/vc/vocoders."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "vc/vocoders" / f"{name}{SUFFIX}"
