"""Content encoders by a name or a path."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from vc.config import require
from vc.encoders import encoder_file
from vc.encoders.base import Encoder
from vc.encoders.encoder_file import SUFFIX
from vc.errors import ConfigError

DISTILLED = "distilled"
CARRIED = Path(__file__).with_name(f"{DISTILLED}{SUFFIX}")


def choose(name: str, layer: int = 0, device: torch.device | str = "cpu") -> Encoder:
    """The encoder that a name or a path means; the same one again while its file stays as it is.

    Parameters
    ----------
    name : str
        `distilled`, a name that `vc-encoder import` gave, or a file.
    layer : int
        The layer whose output is the content, 1..layers; 0 for the one that the file names.
    device : torch.device or str
        Where the network computes.

    Raises
    ------
    ConfigError
        If there is no such encoder or layer, or the file is not an encoder's.
    """
    path = find(name)
    if not path.is_file():
        raise ConfigError(f"{path}: no such encoder file")
    return _loaded(path.resolve(), path.stat().st_mtime_ns, layer, str(device))


@lru_cache(maxsize=4)
def _loaded(path: Path, modified: int, layer: int, device: str) -> Encoder:
    model, weights = encoder_file.read(path)
    try:
        return encoder_file.load_encoder(replace(model, layer=layer or model.layer), weights, device)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def find(name: str) -> Path:
    """The file of an encoder, by its path or name: `distilled` or one that `vc-encoder import` gave."""
    if name == DISTILLED:
        require(CARRIED.is_file(), f"the encoder {DISTILLED!r} is missing from this installation: {CARRIED}")
        return CARRIED
    if name.endswith(SUFFIX) or os.sep in name:
        return Path(name)
    imported = path_of(name)
    if imported.is_file():
        return imported
    if os.path.isfile(name):
        return Path(name)
    raise ConfigError(
        f"no encoder {name!r}; there are: {', '.join(named_files())}; to get one: vc-encoder import --help"
    )


def named_files() -> dict[str, Path]:
    """The files of all encoders that have a name, by name."""
    carried = {DISTILLED: CARRIED} if CARRIED.is_file() else {}
    return carried | {path.stem: path for path in sorted(path_of("any").parent.glob(f"*{SUFFIX}"))}


def path_of(name: str) -> Path:
    """The file of an imported encoder of this name, for all projects of the user: in $XDG_DATA_HOME/vc/encoders."""
    plain = name not in ("", DISTILLED) and os.sep not in name and not name.endswith(SUFFIX)
    require(plain, f"{name!r} cannot be the name of an encoder: use a word other than {DISTILLED!r}, not a path")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "vc/encoders" / f"{name}{SUFFIX}"
