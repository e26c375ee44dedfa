"""Choose a content encoder by name or path."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from vc import user_files
from vc.config import require
from vc.encoders import encoder_file
from vc.encoders.base import Encoder
from vc.errors import ConfigError, suggestion

QUANTISED, DISTILLED = "quantised", "distilled"  # the encoders that come with the package; the first is the default
BUNDLED_ENCODERS = {name: Path(__file__).with_name(f"{name}{user_files.SUFFIX}") for name in (QUANTISED, DISTILLED)}


def choose(name: str, layer: int = 0, device: torch.device | str = "cpu") -> Encoder:
    """Load a content encoder; cached until its file changes.

    Parameters
    ----------
    name : str
        `quantised`, `distilled`, the name of an imported encoder (`vc-encoder import`), or a path.
    layer : int
        The layer whose output is the content, 1..layers; 0 for the default in the file.
    device : torch.device or str
        Device of the network.

    Returns
    -------
    Encoder

    Raises
    ------
    ConfigError
        There is no such encoder or layer, or the file is not an encoder.
    """
    path = find(name)
    if not path.is_file():
        raise ConfigError(f"{path}: no such encoder file")
    return _load(path.resolve(), path.stat().st_mtime_ns, layer, str(device))


@lru_cache(maxsize=4)
def _load(path: Path, modified: int, layer: int, device: str) -> Encoder:
    model, weights = encoder_file.read(path)
    try:
        return encoder_file.load_encoder(replace(model, layer=layer or model.layer), weights, device)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def find(name: str) -> Path:
    """The file of an encoder, by path or name: a bundled or an imported one.

    Raises
    ------
    ConfigError
        There is no encoder of this name.
    """
    if name in BUNDLED_ENCODERS:
        path = BUNDLED_ENCODERS[name]
        require(path.is_file(), f"the encoder {name!r} is missing from this installation: {path}")
        return path
    if user_files.is_path(name):
        return Path(name)
    if path_of(name).is_file():
        return path_of(name)
    if os.path.isfile(name):
        return Path(name)
    known = named_files()
    advice = f"to get one: vc-encoder import --help{suggestion(known, name)}"
    raise ConfigError(f"no encoder {name!r}; there are: {', '.join(known)}; {advice}")


def named_files() -> dict[str, Path]:
    """The files of all encoders that have names, by name."""
    bundled = {name: path for name, path in BUNDLED_ENCODERS.items() if path.is_file()}
    return bundled | user_files.by_name("encoder") | bundled  # in this order; bundled ones go first, as in `find`


def path_of(name: str) -> Path:
    """Path of an imported encoder's file; ConfigError for the name of a bundled one, or what looks like a path."""
    return user_files.path_of("encoder", name, BUNDLED_ENCODERS)
