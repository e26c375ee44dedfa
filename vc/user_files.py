"""Files of networks that a user has imported under a name, for all projects: vocoders and content encoders."""

import os
from collections.abc import Collection
from pathlib import Path

from vc.config import require

SUFFIX = ".safetensors"


def is_path(name: str) -> bool:
    """Whether what a user names is a path, not the name of an imported file."""
    return name.endswith(SUFFIX) or os.sep in name


def path_of(kind: str, name: str, reserved: Collection[str]) -> Path:
    """Path of an imported file, in $XDG_DATA_HOME/vc/{kind}s.

    Parameters
    ----------
    kind : str
        `vocoder` or `encoder`.
    name : str
    reserved : collection of str
        Names with another meaning, at least one.

    Raises
    ------
    ConfigError
        The name is reserved or looks like a path.
    """
    others = " and ".join(map(repr, reserved))
    usable = name and name not in reserved and not is_path(name)
    require(usable, f"{name!r} cannot be the name of an imported {kind}: use a word other than {others}, not a path")
    return _folder(kind) / f"{name}{SUFFIX}"


def by_name(kind: str) -> dict[str, Path]:
    """The imported files of a kind by their names, which are sorted."""
    return {path.stem: path for path in sorted(_folder(kind).glob(f"*{SUFFIX}"))}


def _folder(kind: str) -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(home) / "vc" / f"{kind}s"
