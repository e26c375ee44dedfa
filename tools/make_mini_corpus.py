"""Make the small corpus of egs/mini: two synthetic voices of flite speak our sentences.

    python tools/make_mini_corpus.py [--sentences egs/mini/sentences.tsv] [--output egs/mini/corpus]

The same flite and the same libsndfile give the same bytes on every run.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE = 16000  # Hz, what the voices of flite give
# One factor a voice, on its natural level: both voices then peak at about 0.7 of full scale.
GAINS = {"slt": 0.8, "rms": 1.25}
# Set of the sentence table -> (set of the corpus, the speakers who speak it).
SETS = {
    "train_slt": ("train", ("slt",)),
    "train_rms": ("train", ("rms",)),
    "eval": ("eval", ("slt", "rms")),
}
SENTENCE_COLUMNS = ["set", "id", "text"]
MANIFEST_COLUMNS = ["path", "speaker", "set", "id", "seconds", "sha256", "text"]


class CorpusError(Exception):
    """Something the user can put right; its message is one line."""


@dataclass(frozen=True)
class Recording:
    """One sentence as one speaker is to say it."""

    speaker: str
    set: str  # train or eval
    id: str
    text: str

    @property
    def path(self) -> str:  # relative to the corpus folder
        return f"{self.set}/{self.speaker}/{self.id}.flac"


def read_sentences(path: Path) -> list[Recording]:
    """Every recording that the table `path` (tab-separated: set, id, text) asks for, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if lines[:1] != [SENTENCE_COLUMNS]:
        raise CorpusError(f"{path}: expected the header {SENTENCE_COLUMNS}, got {lines[:1]}")
    recordings = []
    for line, row in enumerate(lines[1:], start=2):
        if len(row) != len(SENTENCE_COLUMNS) or not all(row):
            raise CorpusError(f"{path}:{line}: expected a set, an id and a text, got {row}")
        name, identity, text = row
        if name not in SETS:
            raise CorpusError(f"{path}:{line}: set must be one of {sorted(SETS)}, got {name!r}")
        part, speakers = SETS[name]
        recordings += [Recording(speaker, part, identity, text) for speaker in speakers]
    return recordings


def require_distinct(recordings: Sequence[Recording]) -> None:
    """Refuse a table in which two recordings would be one file."""
    paths = [recording.path for recording in recordings]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise CorpusError(f"ids given twice: {twice}")


def require_voices(voices: Iterable[str]) -> None:
    """Refuse to start without flite and every voice of `voices`.

    flite itself speaks with its default voice, and says nothing, when it does not know a voice.
    """
    if shutil.which("flite") is None:
        raise CorpusError("flite not found; install it: apt-get install flite")
    listing = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=False).stdout
    missing = sorted(set(voices) - set(listing.partition(":")[2].split()))
    if missing:
        raise CorpusError(f"flite has no voice {missing}; it lists: {listing.strip()}")


def require_no_strays(output: Path, recordings: Sequence[Recording]) -> None:
    """Refuse a corpus folder with audio files that `recordings` would not overwrite."""
    wanted = {output / recording.path for recording in recordings}
    strays = sorted(str(path) for path in output.glob("**/*.flac") if path not in wanted)
    if strays:
        raise CorpusError(
            f"{output} holds {len(strays)} audio files that no sentence names, first {strays[0]};"
            " remove them or give another --output"
        )


def speak(text: str, voice: str) -> np.ndarray:
    """Speech of `text` by flite's `voice`: `(samples,)` int16 at SAMPLE_RATE, at its own level."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = ["flite", "-voice", voice, "-t", text, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not path.is_file():
            raise CorpusError(f"flite failed on {text!r} ({voice}): {done.stderr.strip()}")
        samples, rate = soundfile.read(path, dtype="int16")
    if rate != SAMPLE_RATE or samples.ndim != 1 or len(samples) == 0:
        raise CorpusError(f"flite gave shape {samples.shape} at {rate} Hz for {text!r} ({voice})")
    return samples


def scale(samples: np.ndarray, gain: float) -> np.ndarray:
    """`(samples,)` int16 times `gain`, rounded to int16; refuses to clip."""
    scaled = np.rint(samples * gain)
    peak = np.abs(scaled).max()
    if peak >= 32767:
        raise CorpusError(f"a gain of {gain} would clip: peak {peak / 32768:.3f} of full scale")
    return scaled.astype(np.int16)


def make_recording(recording: Recording, output: Path) -> dict[str, str]:
    """Speak and write one FLAC file (16 bit, mono) under `output`; return its manifest row."""
    samples = scale(speak(recording.text, recording.speaker), GAINS[recording.speaker])
    path = output / recording.path
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC", compression_level=1.0)
    return {
        "path": recording.path,
        "speaker": recording.speaker,
        "set": recording.set,
        "id": recording.id,
        "seconds": f"{len(samples) / SAMPLE_RATE:.3f}",  # exact: flite speaks in frames of 5 ms
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "text": recording.text,
    }


def write_manifest(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write the tab-separated manifest: a header, then one line a file, sorted by path."""
    ordered = sorted(rows, key=lambda row: row["path"])
    lines = [MANIFEST_COLUMNS, *([row[name] for name in MANIFEST_COLUMNS] for row in ordered)]
    text = "".join("\t".join(line) + "\n" for line in lines)
    path.write_bytes(text.encode("utf-8"))


def make_corpus(sentences: Path, output: Path) -> list[dict[str, str]]:
    """Speak every sentence of the table into the folder `output`; return the manifest's rows."""
    recordings = read_sentences(sentences)
    require_distinct(recordings)
    require_voices(GAINS)
    require_no_strays(output, recordings)
    rows = [make_recording(recording, output) for recording in recordings]
    write_manifest(output / "manifest.tsv", rows)
    return rows


def summary(rows: Sequence[dict[str, str]], output: Path) -> str:
    """Counts and seconds by set and speaker, then the size of the audio files."""
    lines = []
    for part, speaker in sorted({(row["set"], row["speaker"]) for row in rows}):
        chosen = [row for row in rows if (row["set"], row["speaker"]) == (part, speaker)]
        seconds = sum(float(row["seconds"]) for row in chosen)
        lines.append(f"{part} {speaker}: {len(chosen)} files, {seconds:.1f} s")
    size = sum((output / row["path"]).stat().st_size for row in rows)
    lines.append(f"{len(rows)} files, {size / 1e6:.2f} MB -> {output}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    options.add_argument(
        "--sentences",
        type=Path,
        default=ROOT / "egs/mini/sentences.tsv",
        help="table of set, id, text (default: %(default)s)",
    )
    options.add_argument(
        "--output",
        type=Path,
        default=ROOT / "egs/mini/corpus",
        help="corpus folder to write (default: %(default)s)",
    )
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Make the corpus; 0 when all was written, 1 when something is missing or wrong."""
    args = parser().parse_args(argv)
    try:
        rows = make_corpus(args.sentences, args.output)
    except (CorpusError, OSError) as error:
        print(f"make_mini_corpus: error: {error}", file=sys.stderr)
        return 1
    print(summary(rows, args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
