"""Choose a vocoder by name or path."""

import logging
import os
from functools import lru_cache
from pathlib import Path

import torch

from vc import user_files
from vc.errors import ConfigError, suggestion
from vc.features.base import FeatureConfig
from vc.plugins import Registry
from vc.vocoders import published, vocoder_file
from vc.vocoders.base import Vocoder
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import NAME, StoredVocoder
from vc.vocoders.world import WORLD

UNIVERSAL = "hifigan"  # the name of the published universal model
VOCODERS = Registry({"world": WORLD}, "vc.vocoders", Vocoder)  # those without a model file
log = logging.getLogger(__name__)


def choose(name: str, device: torch.device | str = "cpu", precision: str = "float32") -> Vocoder:
    """Load a vocoder by name or path.

    Parameters
    ----------
    name : str
        `world`, the name of a plug-in or of a vocoder imported by `vc-vocoder import`, a vocoder file, or the directory
        of a training run. `hifigan` need not be imported if the package that provides it is installed.
    device : torch.device or str
        Device of a neural vocoder.
    precision : str
        Its precision, one of devices.PRECISIONS.

    Returns
    -------
    Vocoder

    Raises
    ------
    ConfigError
        There is no such vocoder, or the file is not a vocoder.
    """
    if name in VOCODERS:
        return VOCODERS[name]
    if _in_package(name):
        return NeuralVocoder.of(*read(name), device, precision)
    return NeuralVocoder.load(find(name), device, precision)


def read(name: str) -> StoredVocoder:
    """Read description and weights of a neural vocoder by name or path, as in `choose`."""
    return _universal() if _in_package(name) else vocoder_file.read(find(name))


def _in_package(name: str) -> bool:
    return name == UNIVERSAL and not path_of(name).is_file() and published.installed()


def usual(config: FeatureConfig, device: torch.device | str = "cpu", precision: str = "float32") -> Vocoder:
    """Load the usual vocoder for a model's features: HiFi-GAN for log-mel, WORLD for others.

    Parameters
    ----------
    config : FeatureConfig
        Settings of the features.
    device, precision
        As in `choose`.

    Returns
    -------
    Vocoder
        WORLD, with a warning, also if HiFi-GAN is missing or takes other features.
    """
    if config.mel is None:
        return WORLD
    if not (path_of(UNIVERSAL).is_file() or published.installed()):
        log.warning("no vocoder 'hifigan', so WORLD is used instead; to get it: vc-vocoder import --help")
        return WORLD
    vocoder = choose(UNIVERSAL, device, precision)
    try:
        vocoder.check_features(config)
    except ConfigError as error:
        log.warning("no vocoder 'hifigan' for this model, so WORLD is used instead: %s", error)
        return WORLD
    return vocoder


@lru_cache(maxsize=1)
def _universal() -> StoredVocoder:
    return published.read(*published.universal(), published.ORIGIN)


def find(name: str) -> Path:
    """Find the file or directory of a neural vocoder by the name of an imported one, or by path.

    Raises
    ------
    ConfigError
        There is no such vocoder.
    """
    if user_files.is_path(name):
        return Path(name)
    if path_of(name).is_file():
        return path_of(name)
    if os.path.isfile(name) or os.path.isfile(Path(name) / NAME):
        return Path(name)
    installed = [UNIVERSAL] if published.installed() and not path_of(UNIVERSAL).is_file() else []
    known = [*VOCODERS, *installed, *user_files.by_name("vocoder")]
    advice = f"to get one: vc-vocoder import --help{suggestion(known, name)}"
    raise ConfigError(f"no vocoder {name!r}; there are: {', '.join(known)}; {advice}")


def path_of(name: str) -> Path:
    """Path of an imported vocoder's file; ConfigError if the name is `world` or looks like a path."""
    return user_files.path_of("vocoder", name, ["world"])
