"""Which vocoder a user means by a name or a path."""

import logging
import os
from functools import lru_cache
from pathlib import Path

import torch

from vc.config import require
from vc.errors import ConfigError
from vc.features.kinds import FeatureConfig
from vc.plugins import Registry
from vc.vocoders import published, vocoder_file
from vc.vocoders.base import Vocoder
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import NAME, VocoderModel
from vc.vocoders.world import WORLD

SUFFIX = Path(NAME).suffix
UNIVERSAL = "hifigan"  # the name of the published universal model
VOCODERS = Registry({"world": WORLD}, "vc.vocoders")  # those that are no files
log = logging.getLogger(__name__)


def choose(name: str, device: torch.device | str = "cpu", precision: str = "float32") -> Vocoder:
    """`world`, a plug-in's, or the neural vocoder that `find` finds; device and precision are a network's.

    `hifigan` need not be imported where the package that carries it is installed.
    """
    if name in VOCODERS:
        return VOCODERS[name]
    if _in_package(name):
        return NeuralVocoder.of(*read(name), device, precision)
    return NeuralVocoder.load(find(name), device, precision)


def read(name: str) -> tuple[VocoderModel, dict[str, torch.Tensor]]:
    """What the neural vocoder that `choose` takes is, and its weights."""
    return _universal() if _in_package(name) else vocoder_file.read(find(name))


def _in_package(name: str) -> bool:
    return name == UNIVERSAL and not place(name).is_file() and published.installed()


def usual(config: FeatureConfig, device: torch.device | str = "cpu", precision: str = "float32") -> Vocoder:
    """The vocoder that goes with a model's features; WORLD, with a warning, where it is not there or takes others."""
    if config.kind == "world":
        return WORLD
    if not (place(UNIVERSAL).is_file() or published.installed()):
        log.warning("no vocoder 'hifigan', so WORLD speaks in its place; to get it: vc-vocoder import --help")
        return WORLD
    vocoder = choose(UNIVERSAL, device, precision)
    try:
        vocoder.refuse_other(config)
    except ConfigError as error:
        log.warning("no vocoder 'hifigan' for this model, so WORLD speaks in its place: %s", error)
        return WORLD
    return vocoder


@lru_cache(maxsize=1)
def _universal() -> tuple[VocoderModel, dict[str, torch.Tensor]]:
    return published.read(*published.universal(), published.ORIGIN)


def find(name: str) -> Path:
    """The file of a vocoder that `vc-vocoder import` keeps, by its name; else a vocoder's file or directory."""
    if name.endswith(SUFFIX) or os.sep in name:
        return Path(name)
    kept = place(name)
    if kept.is_file():
        return kept
    if os.path.isfile(name) or os.path.isfile(Path(name) / NAME):
        return Path(name)
    known = ", ".join([*VOCODERS, *(path.stem for path in sorted(kept.parent.glob(f"*{SUFFIX}")))])
    raise ConfigError(f"no vocoder {name!r}; there are: {known}; to get one: vc-vocoder import --help")


def place(name: str) -> Path:
    """Where an imported vocoder is kept for the user, whichever the project: $XDG_DATA_HOME/vc/vocoders."""
    plain = name not in ("", "world") and os.sep not in name and not name.endswith(SUFFIX)
    require(plain, f"{name!r} cannot be the name of a neural vocoder: a word but 'world', no path")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "vc/vocoders" / f"{name}{SUFFIX}"
