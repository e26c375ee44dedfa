"""Commands that a wav.scp lists, run where a user has asked for that: nothing else runs what a file says."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from vc.corpus.lists import Table
from vc.errors import DataError
from vc.files import make_directory, replacing


def commands(scp: Path) -> dict[str, str]:
    """The commands of a wav.scp (`ID COMMAND |`) by id; other entries are files."""
    return {id: entry[:-1] for id, entry in Table(scp, []).rows.items() if entry.endswith("|")}


def printed(scp: Path, commands: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """What each command prints, as a file in `folder`; a command of `scp` that fails is named."""
    make_directory(folder)
    made = {id: folder.absolute() / f"{id}.wav" for id in commands}
    for id, command in commands.items():
        with replacing(made[id]) as temporary, temporary.open("wb") as file:
            done = subprocess.run(["sh", "-c", command], stdout=file, stderr=subprocess.PIPE, check=False)
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                raise DataError(": ".join([f"{scp}: the command of {id} exited {done.returncode}", *said]))
    return made
