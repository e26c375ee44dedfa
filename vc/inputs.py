"""What a user names to convert -> one job a recording, each with an output of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vc import audio
from vc.errors import ConfigError, DataError

STANDARD = "-"  # input or output


@dataclass(frozen=True)
class Job:
    """One recording and where its conversion goes; `-` is standard input or output."""

    source: Path | str
    output: Path | str


def plan(inputs: Sequence[str], scp: Path | None, output: str | None) -> list[Job]:
    """Jobs for files, folders (searched below) and a wav.scp list, refusing what could overwrite or collide.

    One recording goes to the file `output`, or into it if it is a folder; anything else goes into the folder `output`,
    which mirrors the folders searched.
    """
    if not inputs and scp is None:
        raise ConfigError("nothing to convert: give files, folders, '-' or --scp")
    if output == STANDARD and is_batch(inputs, scp):
        raise ConfigError("--output -: only one recording can go to standard output")
    if output is None or is_batch(inputs, scp) or output.endswith("/") or Path(output).is_dir():
        folder = Path(output or "converted")
        jobs = [Job(source, folder / name) for source, name in _named(inputs, scp)]
    else:
        jobs = [Job(_input(inputs[0]), output if output == STANDARD else Path(output))]
    _refuse_collisions(jobs)
    return jobs


def is_batch(inputs: Sequence[str], scp: Path | None) -> bool:
    """Whether the inputs are more than one recording, or a folder or list that may hold any number."""
    return len(inputs) != 1 or scp is not None or Path(inputs[0]).is_dir()


def _input(name: str) -> Path | str:
    return STANDARD if name == STANDARD else Path(name)


def _named(inputs: Sequence[str], scp: Path | None) -> list[tuple[Path | str, Path]]:
    """Every recording with the path of its output below the output folder."""
    found: list[tuple[Path | str, Path]] = []
    for name in inputs:
        path = Path(name)
        if name == STANDARD:
            found.append((STANDARD, Path("stdin.wav")))
        elif path.is_dir():
            found += [(recording, _wav(recording.relative_to(path))) for recording in recordings_below(path)]
        else:
            found.append((path, _wav(Path(path.name))))
    if scp is not None:
        from vc import corpus

        found += [(path, Path(f"{id}.wav")) for id, path in corpus.read_recordings(scp).items()]
    return found


def _wav(path: Path) -> Path:
    return path.with_name(path.stem + ".wav")


def recordings_below(folder: Path) -> list[Path]:
    """Recordings below a folder, by their names' endings, sorted; refuses a folder without any."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and audio.is_audio(path))
    if not found:
        raise DataError(f"{folder}: no recordings below it; known endings: {' '.join(sorted(audio.SUFFIXES))}")
    return found


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    """No output may be an input, nor the output of two; names that differ in case alone are one on some disks."""
    sources = {Path(job.source).resolve() for job in jobs if job.source != STANDARD}
    taken: dict[str, Path | str] = {}
    for job in jobs:
        if job.output == STANDARD:
            continue
        place = Path(job.output).resolve()
        if place in sources:
            raise ConfigError(f"{job.output}: is an input too; choose another --output")
        if str(place).lower() in taken:
            other = taken[str(place).lower()]
            raise ConfigError(f"{job.source} and {other} would both become {job.output}")
        taken[str(place).lower()] = job.source
