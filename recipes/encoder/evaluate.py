"""How near a small encoder comes to its teacher, and how well its content aligns speakers that read the same.

    python evaluate.py --teacher whisper_base_encoder.safetensors --vcc vcc2016 --unheard unheard ENCODER...

ENCODER is what `distil.py train` or `quantise.py` wrote. Cosine: of the student's vectors with the teacher's, less the
mean (of a quantised encoder, its own and the teacher's of TF2 and TM3), over frames that are no pause; the teacher
hears the clean recording, the student also noise and a telephone's band. `teacher` is the teacher itself, hearing what
the student hears. Alignment: less each speaker's mean over audible frames, how often the frame of the target speaker's
ten sentences that is nearest (by cosine) to a source frame lies within 40 ms of where dynamic time warping of
mel-cepstra puts it.
"""

import argparse
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from distil import (
    MEL,
    SAMPLES,
    TEACHER_FRAMES,
    TEACHER_RATE,
    at_content_frames,
    audible,
    load,
    load_teacher,
    utterances,
)
from safetensors import safe_open
from scipy.signal import butter, sosfilt

from vc import metrics
from vc.encoders import choice
from vc.features.f0 import F0Range
from vc.features.mel import analyse
from vc.features.world import WorldConfig

Vectors = Callable[[np.ndarray], np.ndarray]  # `(samples,)` at MEL.sample_rate to `(content frames, dimensions)`
PAIRS = [("SF1", "SM1"), ("SM1", "SF1"), ("SF1", "TM3")]  # of VCC2016; SF1 and SM1 were never heard in training
RANGES = {"SF1": (135, 433), "SM1": (50, 165), "TM3": (66, 218)}  # Hz, of F0
CONDITIONS = ["clean", "noise 20 dB", "telephone"]


def heard(samples: np.ndarray, condition: str, rng: np.random.Generator) -> np.ndarray:
    """A recording under one of `CONDITIONS`."""
    if condition == "noise 20 dB":
        noise = rng.standard_normal(len(samples))
        return (samples + noise * 0.1 * np.sqrt(np.mean(samples**2))).astype(np.float32)
    if condition == "telephone":
        band = butter(4, [300, 3400], "bandpass", fs=MEL.sample_rate, output="sos")
        return sosfilt(band, samples).astype(np.float32)
    return samples


def cosines(student: Vectors, teacher: Vectors, recordings: list[np.ndarray], mean: np.ndarray) -> dict[str, float]:
    """By condition: mean over audible frames of the cosine with what the teacher says of the clean recording."""
    found, rng = {}, np.random.default_rng(0)
    targets = [teacher(samples) - mean for samples in recordings]
    for condition in CONDITIONS:
        values = []
        for samples, target in zip(recordings, targets):
            content = student(heard(samples, condition, rng)) - mean
            products = (content * target).sum(1) / np.linalg.norm(content, axis=1) / np.linalg.norm(target, axis=1)
            values.append(products[audible(samples)])
        found[condition] = float(np.concatenate(values).mean())
    return found


def alignment(paths: list, source: list[np.ndarray], target: list[np.ndarray], rate: float) -> float:
    """Part of source frames whose nearest target frame lies in the same sentence within 40 ms of the warping path.

    Parameters
    ----------
    paths
        For each sentence, seconds of the source and of the target along the warping path.
    source, target
        For each sentence, `(frames, dimensions)`, less the speaker's mean; frame j is at (j + 0.5) / rate seconds.
    rate
        Frames a second.
    """
    unit = lambda frames: frames / np.linalg.norm(frames, axis=1, keepdims=True)  # noqa: E731
    candidates = unit(np.concatenate(target))
    sentence = np.repeat(np.arange(len(target)), [len(frames) for frames in target])
    times = np.concatenate([(np.arange(len(frames)) + 0.5) / rate for frames in target])
    hits = total = 0
    for number, frames in enumerate(source):
        nearest = (unit(frames) @ candidates.T).argmax(axis=1)
        source_times, target_times = paths[number]
        for frame, found in enumerate(nearest):
            here = np.abs(source_times - (frame + 0.5) / rate) <= 0.006
            if here.any():
                total += 1
                hits += sentence[found] == number and np.abs(target_times[here] - times[found]).min() <= 0.04
    return hits / total


def less_mean(content: list[np.ndarray], masks: list[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """One speaker's sentences less the mean of the frames that `masks` let through, and these frames' deviation."""
    frames = np.concatenate([frames[mask] for frames, mask in zip(content, masks)])
    return [sentence - frames.mean(axis=0) for sentence in content], frames.std(axis=0)


def warping_paths(source: list[np.ndarray], target: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Along the path of each sentence, seconds of the source and of the target; of mel-cepstra, every 5 ms."""

    def normed(cepstra: list[np.ndarray]) -> list[np.ndarray]:
        centred, deviation = less_mean(cepstra, [metrics.audible(cepstrum) for cepstrum in cepstra])
        return [(cepstrum / deviation * 0.3)[:, 1:] for cepstrum in centred]

    paths = []
    for one, other, a, b in zip(source, target, normed(source), normed(target)):
        rows, columns = np.flatnonzero(metrics.audible(one)), np.flatnonzero(metrics.audible(other))
        r, c = metrics.align(a[rows], b[columns])
        paths.append((rows[r] * 0.005, columns[c] * 0.005))
    return paths


def read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32")
    return whole(soxr.resample(samples, rate, MEL.sample_rate).astype(np.float32))


def whole(samples: np.ndarray) -> np.ndarray:
    """Cut to whole content frames."""
    return samples[: len(samples) // SAMPLES * SAMPLES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", type=Path, nargs="+")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--vcc", type=Path, required=True, help="VCC2016: SPEAKER/train/*.flac and SPEAKER/eval/*.flac")
    parser.add_argument("--unheard", type=Path, required=True, help="a folder of recordings for each voice")
    parser.add_argument("--utterances", type=int, default=20, help="of each speaker and part")
    args = parser.parse_args()
    names = [path.stem for path in args.encoders]
    if len({*names, "teacher"}) <= len(names):
        parser.error(f"encoders need names of their own, other than teacher: {', '.join(names)}")
    torch.set_num_threads(1)

    def at_frames(encode: Vectors) -> Vectors:
        """Vectors at the student's frames, of an encoder that takes samples at 16 kHz and gives 50 vectors a second."""

        def vectors(samples: np.ndarray) -> np.ndarray:
            content = encode(soxr.resample(samples, MEL.sample_rate, TEACHER_RATE).astype(np.float32))
            return at_content_frames(content, len(samples) // SAMPLES)

        return vectors

    def recordings_of(speaker: str, part: str) -> list[np.ndarray]:
        return [read(path) for path in sorted((args.vcc / speaker / part).glob("*"))[: args.utterances]]

    def mean_of(vectors: Vectors) -> np.ndarray:
        used = recordings_of("TF2", "train") + recordings_of("TM3", "train")  # none of those that are measured
        return np.concatenate([vectors(samples)[audible(samples)] for samples in used]).mean(0)

    teacher = at_frames(load_teacher(args.teacher))
    teachers_mean = mean_of(teacher)
    systems: dict[str, tuple[Vectors, np.ndarray]] = {}
    for path in args.encoders:
        with safe_open(path, "np") as file:
            exported = "vc" in (file.metadata() or {})
        if exported:  # the toolkit's own file, whose mean is not the teacher's
            encoder = choice.choose(str(path))
            if (encoder.sample_rate, encoder.frame_rate) != (TEACHER_RATE, TEACHER_FRAMES):
                parser.error(f"{path}: of a distilled encoder, name what `distil.py train` wrote")
            vectors = at_frames(encoder.encode)
            offset = teachers_mean - mean_of(vectors)
            systems[path.stem] = lambda x, vectors=vectors, offset=offset: vectors(x) + offset, teachers_mean
            continue
        network, mean, scale = load(path)

        @torch.inference_mode()
        def student(samples: np.ndarray, network=network, mean=mean, scale=scale) -> np.ndarray:
            content = network(torch.from_numpy(analyse(samples, MEL).T.copy())[None])[0].T
            return (content * scale + mean).numpy()

        systems[path.stem] = student, mean.numpy()
    systems["teacher"] = teacher, teachers_mean

    sets = {
        f"{speaker} {part}": recordings_of(speaker, part) for speaker in ("SF1", "SM1") for part in ("train", "eval")
    }
    for folder in sorted(args.unheard.iterdir()):
        drawn = islice(utterances(folder, np.random.default_rng(0)), args.utterances)
        sets[folder.name] = [whole(soxr.resample(x, rate, MEL.sample_rate).astype(np.float32)) for x, rate in drawn]
    print("cosine to the teacher: " + ", ".join(CONDITIONS))
    for name, recordings in sets.items():
        minutes = sum(len(samples) for samples in recordings) / MEL.sample_rate / 60
        for system, (vectors, mean) in systems.items():
            figures = " ".join(f"{v:.3f}" for v in cosines(vectors, teacher, recordings, mean).values())
            print(f"{name:16s} {minutes:4.1f} min {system:10s} {figures}", flush=True)

    print("alignment within 40 ms")
    config = WorldConfig(TEACHER_RATE)
    for one, other in PAIRS:
        paths = {speaker: sorted((args.vcc / speaker / "eval").glob("*"))[:10] for speaker in (one, other)}
        cepstra, recordings = {}, {}
        for speaker in (one, other):
            raw = [soundfile.read(path)[0] for path in paths[speaker]]
            cepstra[speaker] = [config.extract(samples, F0Range(*RANGES[speaker]))[1] for samples in raw]
            recordings[speaker] = [read(path) for path in paths[speaker]]
        warping = warping_paths(cepstra[one], cepstra[other])
        for system, (vectors, _) in systems.items():
            content = [
                less_mean([vectors(x) for x in recordings[speaker]], [audible(x) for x in recordings[speaker]])[0]
                for speaker in (one, other)
            ]
            part = alignment(warping, *content, MEL.sample_rate / SAMPLES)
            print(f"{one}>{other} {system:10s} {part:.3f}", flush=True)
        content = []
        for speaker in (one, other):
            centred, deviation = less_mean(cepstra[speaker], [metrics.audible(c) for c in cepstra[speaker]])
            content.append([(frames / deviation)[:, 1:] for frames in centred])
        part = alignment(warping, *content, 200.0)
        print(f"{one}>{other} mel-cepstra {part:.3f}", flush=True)


if __name__ == "__main__":
    main()
