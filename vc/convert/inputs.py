"""Find the recordings to convert, and choose an output file for each."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vc.corpus import audio, data_directory, discovery
from vc.corpus.audio import STANDARD
from vc.errors import ConfigError, DataError
from vc.files import path_inside


@dataclass(frozen=True)
class Job:
    """A recording and the output file of its conversion; `-` is standard input or output."""

    source: Path | str
    output: Path | str
    refusal: str | None = None  # reason, if the recording is known to be unreadable

    @property
    def done(self) -> bool:
        """Whether the output exists. Outputs are written atomically, so it is complete."""
        return self.output != STANDARD and os.path.isfile(self.output)

    def require_readable(self) -> None:
        """Raise DataError if the recording is known to be unreadable."""
        if self.refusal:
            raise DataError(f"{self.source}: {self.refusal}")


def plan(inputs: Sequence[str], scp: Path | None, output: str | None) -> list[Job]:
    """Make jobs for files, folders (searched recursively) and a wav.scp list.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders, or `-` for standard input.
    scp : Path, optional
        A list of recordings.
    output : str, optional
        A file or folder for one recording; for several, a folder, which mirrors the input folders. `-` is standard
        output. Default: the folder `converted`.

    Returns
    -------
    list of Job

    Raises
    ------
    ConfigError
        There is nothing to convert, or an output would overwrite an input or another output, or is not a file inside
        the folder.
    """
    if not inputs and scp is None:
        raise ConfigError("nothing to convert: give files, folders, '-' or --scp")
    if "" in inputs or output == "":
        raise ConfigError("an input or --output is empty; is a shell variable unset?")
    if output == STANDARD and is_batch(inputs, scp):
        raise ConfigError("--output -: only one recording can go to standard output")
    if output is None or is_batch(inputs, scp) or output.endswith("/") or os.path.isdir(output):
        jobs = _into_folder(inputs, scp, Path(output or "converted"))
    else:
        audio.check_output_name(output)
        if os.path.exists(output) and not os.path.isfile(output):
            raise ConfigError(f"--output {output}: exists and is not a file")
        jobs = [Job(*(name if name == STANDARD else _path(name) for name in (inputs[0], output)))]
    # No output may be an input or occur twice; on some file systems, names that differ only in case are the same.
    sources = {audio.file_identity(job.source) for job in jobs if job.source != STANDARD}
    outputs: dict[str, Path | str] = {}
    for job in jobs:
        if job.output == STANDARD or job.refusal or os.path.isdir(job.source):
            continue
        path = os.path.realpath(job.output)
        if audio.file_identity(job.output) in sources:
            raise ConfigError(f"{job.output}: is also an input; choose another --output")
        if path.lower() in outputs:
            collision = f"{job.source} and {outputs[path.lower()]} would both become {job.output}"
            raise ConfigError(f"{collision}; rename one, or convert them one by one with an --output each")
        outputs[path.lower()] = job.source
    return jobs


def is_batch(inputs: Sequence[str], scp: Path | None) -> bool:
    """Whether the inputs may be more than one recording: several, a folder, or a list."""
    return len(inputs) != 1 or scp is not None or os.path.isdir(inputs[0])


def _into_folder(inputs: Sequence[str], scp: Path | None, folder: Path) -> list[Job]:
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ConfigError(f"--output {folder}: is a file; here a folder is needed")
    jobs = []
    for name in inputs:
        if name == STANDARD:
            jobs.append(Job(STANDARD, folder / "stdin.wav"))
        elif os.path.isdir(name):
            discovered = discovery.recordings_below(Path(name), excluded=folder)
            discovery.report(Path(name), replace(discovered, refused={}))
            reasons = dict.fromkeys(discovered.recordings) | discovered.refused
            jobs += [Job(path, folder / _wav(path.relative_to(name)), reasons[path]) for path in sorted(reasons)]
            if not reasons:  # a job that will fail by itself, without stopping the others
                jobs.append(Job(Path(name), folder / _wav(Path(Path(name).name or "folder"))))
        else:
            jobs.append(Job(_path(name), folder / _wav(Path(Path(name).name))))
    if scp is not None:
        try:
            recordings = data_directory.read_recordings(scp)
        except DataError as error:
            raise ConfigError(*error.args) from error
        jobs += [Job(_path(str(path)), folder / f"{id}.wav") for id, path in recordings.items()]
    for subfolder in {os.path.relpath(Path(job.output).parent, folder) for job in jobs}:
        try:
            path_inside(folder, subfolder)  # refuses a link that leads outside the folder
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
    return jobs


def _path(name: str) -> Path:
    """A path that cannot be mistaken for standard input or output."""
    return Path.cwd() / name if str(Path(name)) == STANDARD else Path(name)


def _wav(path: Path) -> Path:
    return path.with_name(path.stem + ".wav")
