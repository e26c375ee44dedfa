"""The conventions of four toolkits for mel-cepstral distortion.

Values by different conventions cannot be compared: on the same recordings they are decibels apart (see
docs/experiments.md). Our own, `distortion.mel_cepstral_distortion`, uses WORLD's envelope every 5 ms with F0 by
autocorrelation, without a low-cut filter; order and all-pass constant by sample rate; c1..D without c0; frames within
35 dB of the loudest; exact DTW. Each function below describes what its toolkit does, and each convention cites its
source. All use FastDTW, which only approximates the cheapest path, and average over pairs of frames; a system's figure
is the mean over sentences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vc.config import require_known
from vc.errors import DataError
from vc.features import mel_cepstrum
from vc.features.f0 import F0Range
from vc.metrics.conventions.fastdtw import fast_align
from vc.metrics.conventions.sptk import analyse, hamming
from vc.metrics.distortion import mean_distance

ANY_RATE = 0  # key for all sample rates without settings of their own
FULL_SCALE = 32768  # of 16-bit samples, as the toolkits read them
LOW_CUT, TAPS = 70.0, 255  # Hz, and length of the low-cut filter
FRAME, SHIFT = 1024, 256  # samples, of SPTK's analysis
FLOOR = 1e-6  # added to the power spectra of these frames


@dataclass(frozen=True)
class Analysis:
    """A toolkit's analysis settings at one sample rate."""

    order: int
    warping: float  # all-pass constant
    frame_shift: float = 5.0  # milliseconds, of WORLD's frames
    fft_size: int = 1024  # samples, of WORLD's envelope


# From samples `(samples,)` in -32768..32767, their rate in Hz, an analysis and an F0 range to the frames that are
# compared, `(frames, coefficients)`.
FrameMaker = Callable[[np.ndarray, int, Analysis, F0Range | None], np.ndarray]


@dataclass(frozen=True)
class Convention:
    """How one toolkit measures mel-cepstral distortion."""

    description: str  # to be shown with every figure
    source: str  # code from which it was taken
    frames: FrameMaker
    analyses: Mapping[int, Analysis]  # sample rate in Hz -> settings
    f0_range: F0Range | None = None  # the toolkit's default search range; None if it does not use F0


def mel_cepstral_distortion_by(
    name: str, converted: np.ndarray, reference: np.ndarray, rate: int, *, f0_range: F0Range | None = None
) -> float:
    """Mel-cepstral distortion of two recordings of a sentence by another toolkit's convention.

    Resample recordings of different rates first: parallel-wavegan resamples the reference to the converted recording's
    rate, seq2seq-vc the other way round; sprocket and crank use one rate throughout.

    Parameters
    ----------
    name : str
        Key of CONVENTIONS.
    converted, reference : np.ndarray
        Shape `(samples,)`, finite, in -1..1.
    rate : int
        Sample rate of both in Hz.
    f0_range : F0Range, optional
        Search range of the target's F0, used for both, which the toolkits' users set by hand. Default: the toolkit's.
        Not used by parallel-wavegan.

    Returns
    -------
    float
        dB.

    Raises
    ------
    ConfigError
        If the convention is unknown.
    DataError
        If a recording is too short, not finite or silent, or the convention has no settings for its rate.
    """
    return frames_distortion(
        *(compared_frames(name, samples, rate, f0_range=f0_range) for samples in (converted, reference))
    )


def compared_frames(name: str, samples: np.ndarray, rate: int, *, f0_range: F0Range | None = None) -> np.ndarray:
    """Frames of a recording that a convention compares.

    Parameters and errors are those of `mel_cepstral_distortion_by`.

    Returns
    -------
    np.ndarray
        Shape `(frames, coefficients)`.
    """
    convention = find_convention(name)
    if samples.ndim != 1 or len(samples) < FRAME or not np.isfinite(samples).all():
        raise DataError(f"{name}: expected at least {FRAME} finite samples, (samples,), got shape {samples.shape}")
    analysis = convention.analyses.get(rate, convention.analyses.get(ANY_RATE))
    if analysis is None:
        rates = ", ".join(map(str, convention.analyses))
        raise DataError(f"{name} has settings for {rates} Hz, got {rate} Hz: resample both recordings first")
    # As the toolkits read a file: integers in -32768..32767
    integers = np.clip(np.round(FULL_SCALE * samples.astype(np.float64)), -FULL_SCALE, FULL_SCALE - 1)
    frames = convention.frames(integers, rate, analysis, f0_range or convention.f0_range)
    if len(frames) == 0:
        raise DataError(f"{name}: the recording has no frames to compare: it is silent or unvoiced")
    return frames


def frames_distortion(converted: np.ndarray, reference: np.ndarray) -> float:
    """Distortion in dB between two recordings' `compared_frames`, which can be reused for several comparisons."""
    rows, columns = fast_align(converted, reference)
    return mean_distance(converted[rows], reference[columns])


def rate_of(name: str, rate: int) -> int:
    """The sample rate in Hz at which a convention compares recordings at `rate`: its highest one up to that."""
    rates = find_convention(name).analyses
    return rate if ANY_RATE in rates else max((known for known in rates if known <= rate), default=min(rates))


def find_convention(name: str) -> Convention:
    """The convention of this name; raises ConfigError if there is none."""
    require_known("convention", name, CONVENTIONS)
    return CONVENTIONS[name]


def sprocket_frames(samples: np.ndarray, rate: int, analysis: Analysis, f0_range: F0Range) -> np.ndarray:
    """c1..D and their deltas, of frames at most 15 dB below the mean power.

    This is the distortion that sprocket prints when it aligns training sentences. sprocket takes the converted
    mel-cepstra directly from its model; here they are analysed from the recording.
    """
    _, envelope = _world(_low_cut(samples, rate), rate, analysis, f0_range)
    statics = mel_cepstrum.from_envelope(envelope, analysis.order, analysis.warping)[:, 1:]
    deltas = np.diff(statics, axis=0)  # from the previous frame; the first frame takes the second's
    return np.hstack([statics, np.concatenate([deltas[:1], deltas])])[_relative_power(envelope) > -15]


def seq2seq_vc_frames(samples: np.ndarray, rate: int, analysis: Analysis, f0_range: F0Range) -> np.ndarray:
    """c0..D of frames at most 20 dB below the mean power, with one setting for all rates; sensitive to level."""
    scaled = (samples / FULL_SCALE).astype(np.float32) * (FULL_SCALE - 1)  # in single precision, as in the toolkit
    _, envelope = _world(_low_cut(scaled.astype(np.float64), rate), rate, analysis, f0_range)
    frames = mel_cepstrum.from_envelope(envelope, analysis.order, analysis.warping)
    return frames[_relative_power(envelope) > -20]


def crank_frames(samples: np.ndarray, rate: int, analysis: Analysis, f0_range: F0Range) -> np.ndarray:
    """c0..D of voiced frames; sensitive to level."""
    f0, envelope = _world(_low_cut(samples / FULL_SCALE, rate), rate, analysis, f0_range)
    return mel_cepstrum.from_envelope(envelope, analysis.order, analysis.warping)[f0 > 0]


def parallel_wavegan_frames(samples: np.ndarray, rate: int, analysis: Analysis, f0_range: F0Range | None) -> np.ndarray:
    """c0..D of all frames, silence included, from windowed samples without F0 or WORLD."""
    windowed = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::SHIFT] * hamming(FRAME)
    return analyse(windowed, analysis.order, warping=analysis.warping, floor=FLOOR)


def _world(samples: np.ndarray, rate: int, analysis: Analysis, f0_range: F0Range) -> tuple[np.ndarray, np.ndarray]:
    """F0 `(frames,)` in Hz by Harvest and WORLD's power envelope `(frames, bins)`, as computed by the toolkits.

    CheapTrick treats F0 too low for `fft_size` as unvoiced; our own analysis corrects that, the toolkits do not.
    """
    import pyworld

    f0, times = pyworld.harvest(samples, rate, f0_range.floor, f0_range.ceiling, analysis.frame_shift)
    return f0, pyworld.cheaptrick(samples, f0, times, rate, fft_size=analysis.fft_size)


def _low_cut(samples: np.ndarray, rate: int) -> np.ndarray:
    """Windowed-sinc high-pass filter at 70 Hz, of gain 1 at the Nyquist frequency, delayed by 127 samples."""
    cut = LOW_CUT / (rate // 2)
    times = np.arange(TAPS) - TAPS // 2
    response = (np.sinc(times) - cut * np.sinc(cut * times)) * np.hamming(TAPS)
    response /= (response * np.cos(np.pi * times)).sum()
    return np.convolve(samples, response)[: len(samples)]


def _relative_power(envelope: np.ndarray) -> np.ndarray:
    """Power `(frames,)` of each frame in dB relative to the mean power."""
    power = 2 * envelope.sum(axis=1) - envelope[:, 0] - envelope[:, -1]  # both halves of the spectrum
    return 10 * np.log10(power / power.mean())


CONVENTIONS = {
    "sprocket": Convention(
        "WORLD (Harvest), c1..D with deltas, frames above -15 dB of the mean power, FastDTW",
        "sprocket-vc 0.18.4 and github.com/k2kobayashi/sprocket: example/src/estimate_twf_and_jnt.py, "
        "example/conf/default, example/vcc2018/conf/default",
        sprocket_frames,
        {
            16000: Analysis(24, 0.41),
            22050: Analysis(34, 0.455, frame_shift=4.988662131519274),  # 110 samples
            44100: Analysis(40, 0.544, fft_size=2048),
        },
        F0Range(40, 700),
    ),
    "seq2seq-vc": Convention(
        "WORLD (Harvest), c0..39, all-pass 0.466, frames above -20 dB of the mean power, FastDTW",
        "github.com/unilight/seq2seq-vc, 15fea0b: seq2seq_vc/evaluate/dtw_based.py, egs/arctic/vc1/local/evaluate.py",
        seq2seq_vc_frames,
        {ANY_RATE: Analysis(39, 0.466)},
        F0Range(40, 500),
    ),
    "parallel-wavegan": Convention(
        "SPTK mcep of Hamming frames (1024 samples, every 256), c0..D, all frames, FastDTW",
        "github.com/kan-bayashi/ParallelWaveGAN, 749ff67: utils/evaluate_mcd.py",
        parallel_wavegan_frames,
        {
            16000: Analysis(23, 0.42),
            22050: Analysis(34, 0.45),
            24000: Analysis(34, 0.46),
            44100: Analysis(39, 0.53),
            48000: Analysis(39, 0.55),
        },
    ),
    "crank": Convention(
        "WORLD (Harvest), c0..34, all-pass 0.466, voiced frames, FastDTW",
        "github.com/k2kobayashi/crank, f8048fb: crank/bin/evaluate_mcd.py, egs/vaevc/template/conf",
        crank_frames,
        {
            22050: Analysis(34, 0.466, frame_shift=5.80499),  # 128 samples
            24000: Analysis(34, 0.466, frame_shift=5.333333),
        },
        F0Range(50, 500),
    ),
}
