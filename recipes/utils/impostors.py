#!/usr/bin/env python3
"""Recordings that are no conversion, beside real ones: an evaluation of conversions has to tell them apart.

    impostors.py --source corpus/SF1/eval --target corpus/TM3/eval --man corpus/SM2/eval --woman corpus/TF1/eval \\
        --output impostors --sentences 200001 200004

writes a folder for each impostor into OUTPUT/systems, and the same sentences of both speakers into OUTPUT/sides/source
and OUTPUT/sides/target. A system's real conversions stand beside the impostors in vc-evaluate's --converted; with
--converted, every second of those is taken for `half_converted`.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from vc.corpus import audio
from vc.errors import DataError, VCError
from vc.features.base import Frames
from vc.features.f0 import WIDEST_RANGE, f0_statistics
from vc.features.world import WorldConfig
from vc.vocoders.world import WORLD

Sentences = list[np.ndarray]  # (samples,) each
TAPS = 513  # of the filter that gives a source the target's long-term spectrum
SMOOTHING, SHRINKAGE = 15, 0.6  # frames of 5 ms that are averaged; share of the deviations that is left
MIN_POWER = 1e-8  # of a spectrum's mean power, so that its logarithm is finite


def pitch_shifted(source: Sentences, target: Sentences, rate: int) -> Sentences:
    """The source with everything, formants too, moved by the ratio of both speakers' mean F0."""
    import librosa

    low, high = (_mean_log_f0(side, rate) for side in (source, target))
    return [librosa.effects.pitch_shift(samples, sr=rate, n_steps=12 * (high - low) / np.log(2)) for samples in source]


def pitch_moved(source: Sentences, target: Sentences, rate: int) -> Sentences:
    """The source through WORLD with its F0 alone moved, by the same ratio."""
    ratio = np.exp(_mean_log_f0(target, rate) - _mean_log_f0(source, rate))
    shifted = []
    for samples in source:
        frames = WorldConfig(rate).analyse(samples, WIDEST_RANGE)
        shifted.append(_synthesise(replace(frames, f0=frames.f0 * ratio), rate, len(samples)))
    return shifted


def brown_noise(source: Sentences) -> Sentences:
    """As long and as loud as the source."""
    random, noises = np.random.default_rng(0), []
    for samples in source:
        noise = np.cumsum(random.standard_normal(len(samples)))
        noise -= np.linspace(noise[0], noise[-1], len(noise))
        noises.append(_as_loud(noise, samples))
    return noises


def reversed_in_time(target: Sentences) -> Sentences:
    return [samples[::-1].copy() for samples in target]


def shuffled(target: Sentences) -> Sentences:
    """Each sentence under the name of another."""
    return [*target[1:], target[0]]


def one_sentence(target: Sentences) -> Sentences:
    return [target[0] for _ in target]


def over_smoothed(target: Sentences, rate: int) -> Sentences:
    """The target through WORLD, its mel-cepstrum averaged over 75 ms and drawn towards its mean."""
    from scipy.ndimage import uniform_filter1d

    smoothed = []
    for samples in target:
        frames = WorldConfig(rate).analyse(samples, WIDEST_RANGE)
        smooth = uniform_filter1d(frames.spectrum, SMOOTHING, axis=0)
        smooth = smooth.mean(axis=0) + SHRINKAGE * (smooth - smooth.mean(axis=0))
        smooth[:, 0] = frames.spectrum[:, 0]
        smoothed.append(_synthesise(replace(frames, spectrum=smooth), rate, len(samples)))
    return smoothed


def half_converted(converted: Sentences, source: Sentences) -> Sentences:
    """Every second sentence as it was."""
    pairs = enumerate(zip(converted, source, strict=True))
    return [conversion if index % 2 else original for index, (conversion, original) in pairs]


def with_long_term_spectrum(source: Sentences, target: Sentences, rate: int) -> Sentences:
    """The source through one filter, which gives it the target's mean spectrum."""
    from scipy.signal import firwin2, oaconvolve, welch

    powers = []
    for side in (source, target):
        spectra = [welch(samples, rate, nperseg=1024)[1] / np.square(samples).mean() for samples in side]
        power = np.mean(spectra, axis=0)
        powers.append(power + MIN_POWER * power.mean())
    frequencies = np.linspace(0, 1, len(powers[0]))
    response = firwin2(TAPS, frequencies, np.sqrt(powers[1] / powers[0]))
    return [_as_loud(oaconvolve(samples, response, mode="same"), samples) for samples in source]


def make(source: Sentences, target: Sentences, rate: int, converted: Sentences | None = None) -> dict[str, Sentences]:
    """Every impostor that needs no other speaker, by name; `half_converted` of the target where nothing is converted.

    Parameters
    ----------
    source, target : list of np.ndarray
        Shape `(samples,)` each, of the same sentences.
    rate : int
        Sample rate in Hz, one that WORLD's settings know.
    converted : list of np.ndarray, optional
        A real conversion of the source.
    """
    return {
        "pitch_shifted": pitch_shifted(source, target, rate),
        "pitch_moved": pitch_moved(source, target, rate),
        "brown_noise": brown_noise(source),
        "source_as_it_is": source,
        "long_term_spectrum": with_long_term_spectrum(source, target, rate),
        "half_converted": half_converted(converted or target, source),
        "reversed_target": reversed_in_time(target),
        "shuffled_target": shuffled(target),
        "one_sentence": one_sentence(target),
        "over_smoothed": over_smoothed(target, rate),
    }


def _mean_log_f0(side: Sentences, rate: int) -> float:
    config = WorldConfig(rate)
    return f0_statistics([config.track_f0(samples) for samples in side], config.frame_rate, "speaker").log_f0.mean


def _synthesise(frames: Frames, rate: int, length: int) -> np.ndarray:
    return audio.fit_length(WORLD.synthesise(frames, WorldConfig(rate)), length)


def _as_loud(samples: np.ndarray, as_loud_as: np.ndarray) -> np.ndarray:
    level = np.sqrt(np.square(as_loud_as).mean() / np.square(samples).mean())
    return samples * min(level, 1 / np.abs(samples).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--man", type=Path, help="another man's recordings of the same sentences")
    parser.add_argument("--woman", type=Path, help="another woman's")
    parser.add_argument("--converted", type=Path, help="a real conversion's")
    parser.add_argument("--sentences", nargs="+", help="names without ending (default: all of the source's)")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    folders = {"source": args.source, "target": args.target, "other_man": args.man, "other_woman": args.woman}
    folders["converted"] = args.converted
    try:
        names = args.sentences or sorted(path.stem for path in args.source.iterdir())
        if not names:
            raise DataError(f"{args.source}: no recordings")
        rate = audio.info(_path(args.source, names[0])).sample_rate
        recordings = {
            name: [audio.read(_path(folder, sentence), rate)[0] for sentence in names]
            for name, folder in folders.items()
            if folder
        }
        converted = recordings.pop("converted", None)
        recordings |= make(recordings["source"], recordings["target"], rate, converted)
        for name, side in recordings.items():
            folder = args.output / ("sides" if name in ("source", "target") else "systems") / name
            folder.mkdir(parents=True, exist_ok=True)
            for sentence, samples in zip(names, side, strict=True):
                peak = max(1.0, float(np.abs(samples).max()))
                audio.write(folder / f"{sentence}.wav", samples / peak, rate)
    except (VCError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 1
    print(f"{len(recordings)} folders of {len(names)} sentences -> {args.output}")
    return 0


def _path(folder: Path, sentence: str) -> Path:
    """The recording that is called after the sentence, behind a speaker's name or not."""
    for path in sorted(folder.iterdir()):
        if path.stem == sentence or path.stem.endswith(f"-{sentence}"):
            return path
    raise DataError(f"{folder}: no recording of {sentence}")


if __name__ == "__main__":
    sys.exit(main())
