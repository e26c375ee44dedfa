"""What a user names to convert -> one job a recording, each with an output of its own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vc.corpus import data_directory, discovery, formats
from vc.corpus.audio import STANDARD
from vc.errors import ConfigError, DataError
from vc.files import path_inside


@dataclass(frozen=True)
class Job:
    """One recording and where its conversion goes; `-` is standard input or output."""

    source: Path | str
    output: Path | str
    refusal: str | None = None  # why it cannot be read, where that is known before

    @property
    def done(self) -> bool:
        """Whether the output is there: outputs appear whole or not at all."""
        return self.output != STANDARD and os.path.isfile(self.output)

    def require_readable(self) -> None:
        """Raise what is known to be in the way of reading it."""
        if self.refusal:
            raise DataError(f"{self.source}: {self.refusal}")


def plan(inputs: Sequence[str], scp: Path | None, output: str | None) -> list[Job]:
    """Jobs for files, folders (searched below) and a wav.scp list, refusing what could overwrite or collide.

    One recording goes to the file `output`, or into it if it is a folder; anything else goes into the folder `output`,
    which mirrors the folders searched.
    """
    if not inputs and scp is None:
        raise ConfigError("nothing to convert: give files, folders, '-' or --scp")
    if "" in inputs or output == "":
        raise ConfigError("an input or --output is empty; an unset variable of the shell?")
    if output == STANDARD and is_batch(inputs, scp):
        raise ConfigError("--output -: only one recording can go to standard output")
    if output is None or is_batch(inputs, scp) or output.endswith("/") or os.path.isdir(output):
        jobs = _into_folder(inputs, scp, Path(output or "converted"))
        _refuse_links(jobs, Path(output or "converted"))
    else:
        jobs = [Job(_input(inputs[0]), _output_file(output))]
    _refuse_collisions(jobs)
    return jobs


def _refuse_links(jobs: Sequence[Job], folder: Path) -> None:
    """No folder below the one to write into may be a link that leads out of it."""
    for name in {os.path.relpath(Path(job.output).parent, folder) for job in jobs}:
        try:
            path_inside(folder, name)
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error


def is_batch(inputs: Sequence[str], scp: Path | None) -> bool:
    """Whether the inputs are more than one recording, or a folder or list that may hold any number."""
    return len(inputs) != 1 or scp is not None or os.path.isdir(inputs[0])


def _input(name: str) -> Path | str:
    return STANDARD if name == STANDARD else _path(name)


def _path(name: str) -> Path:
    """`name` as a path that is not taken for standard input or output."""
    return Path.cwd() / name if str(Path(name)) == STANDARD else Path(name)


def _output_file(name: str) -> Path | str:
    suffix = Path(name).suffix.lower()
    if suffix in (formats.SUFFIXES | formats.FFMPEG_SUFFIXES) - {".wav", ".wave"}:
        raise ConfigError(f"--output {name}: what is written is WAV; let the name end in .wav")
    if os.path.exists(name) and not os.path.isfile(name):
        raise ConfigError(f"--output {name}: is there already, and is no file")
    return STANDARD if name == STANDARD else _path(name)


def _into_folder(inputs: Sequence[str], scp: Path | None, folder: Path) -> list[Job]:
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"--output {folder}: is a file, but several recordings need a folder")
    jobs = []
    for name in inputs:
        if name == STANDARD:
            jobs.append(Job(STANDARD, folder / "stdin.wav"))
        elif os.path.isdir(name):
            found = discovery.recordings_below(Path(name), apart_from=folder)
            discovery.report(Path(name), replace(found, refused={}))
            reasons = dict.fromkeys(found.recordings) | found.refused
            jobs += [Job(path, folder / _wav(path.relative_to(name)), reasons[path]) for path in sorted(reasons)]
            if not reasons:  # a job that fails, for the others must go on
                jobs.append(Job(Path(name), folder / _wav(Path(Path(name).name or "folder"))))
        else:
            jobs.append(Job(_path(name), folder / _wav(Path(Path(name).name))))
    return jobs + [Job(_path(str(path)), folder / f"{id}.wav") for id, path in _listed(scp).items()]


def _wav(path: Path) -> Path:
    return path.with_name(path.stem + ".wav")


def _listed(scp: Path | None) -> dict[str, Path]:
    try:
        return {} if scp is None else data_directory.read_recordings(scp)
    except DataError as error:
        raise ConfigError(*error.args) from error


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    """No output may be an input, nor the output of two; names that differ in case alone are one on some disks."""
    sources = {os.path.realpath(job.source) for job in jobs if job.source != STANDARD}
    taken: dict[str, Path | str] = {}
    for job in jobs:
        if job.output == STANDARD or job.refusal or os.path.isdir(job.source):
            continue
        place = os.path.realpath(job.output)
        if place in sources:
            raise ConfigError(f"{job.output}: is an input too; choose another --output")
        if place.lower() in taken:
            raise ConfigError(f"{job.source} and {taken[place.lower()]} would both become {job.output}")
        taken[place.lower()] = job.source
