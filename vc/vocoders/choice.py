"""Which vocoder a user means by a name or a path."""

import logging
import os
from pathlib import Path

import torch

from vc.errors import ConfigError
from vc.features.kinds import FeatureConfig
from vc.vocoders.base import Vocoder
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import NAME
from vc.vocoders.world import WORLD

SUFFIX = Path(NAME).suffix
log = logging.getLogger(__name__)


def choose(name: str, device: torch.device | str = "cpu", precision: str = "float32") -> Vocoder:
    """`world`, or the neural vocoder that `find` finds; device and precision are a network's."""
    return WORLD if name == "world" else NeuralVocoder.load(find(name), device, precision)


def usual(config: FeatureConfig) -> str:
    """The vocoder that goes with a model's features; WORLD, with a warning, in place of one that is not there."""
    if config.kind == "world":
        return "world"
    if not place("hifigan").is_file():
        log.warning("no vocoder 'hifigan', so WORLD speaks in its place; to get it: vc-vocoder import --help")
        return "world"
    return "hifigan"


def find(name: str) -> Path:
    """A vocoder's file or the directory of its training; or the file of one that `vc-vocoder import` keeps."""
    if os.path.exists(name) or name.endswith(SUFFIX) or os.sep in name:
        return Path(name)
    kept = place(name)
    if not kept.is_file():
        known = ", ".join(["world", *(path.stem for path in sorted(kept.parent.glob(f"*{SUFFIX}")))])
        raise ConfigError(f"no vocoder {name!r}; there are: {known}; to get one: vc-vocoder import --help")
    return kept


def place(name: str) -> Path:
    """Where an imported vocoder is kept for the user, whichever the project: $XDG_DATA_HOME/vc/vocoders."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "vc/vocoders" / f"{name}{SUFFIX}"
