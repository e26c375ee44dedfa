"""Commands that a wav.scp lists, run where a user has asked for that: nothing else in this package runs a command."""

import subprocess
from pathlib import Path

from vc.errors import DataError
from vc.files import make_directory, replacing
from vc.lists import Table


def printed(scp: Path, folder: Path) -> dict[str, Path]:
    """What each command of a wav.scp prints, as a file."""
    table, made = Table(scp, []), {}
    for id, entry in table.rows.items():
        if entry.endswith("|"):
            make_directory(folder)
            made[id] = folder.absolute() / f"{id}.wav"
            with replacing(made[id]) as temporary, temporary.open("wb") as file:
                done = subprocess.run(["sh", "-c", entry[:-1]], stdout=file, stderr=subprocess.PIPE, check=False)
                if done.returncode:
                    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                    raise DataError(": ".join([f"{scp}:{table.lines[id]}: command exited {done.returncode}", *said]))
    return made
