"""Other toolkits' distortions against independent computations, FastDTW against a plain one, and what they refuse."""

import numpy as np
import pytest
from conftest import CORPUS, vowel

from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.features.f0 import F0Range
from vc.metrics import (
    CONVENTIONS,
    align,
    compared_frames,
    fast_align,
    mel_cepstral_distortion_by,
)
from vc.metrics.conventions import sptk

RATES = {
    "sprocket": (16000, 22050, 44100),
    "seq2seq-vc": (16000, 24000),
    "parallel-wavegan": (16000, 22050, 24000, 44100, 48000),
    "crank": (22050, 24000),
}
CASES = [(name, rate) for name, rates in RATES.items() for rate in rates]


def halved(frames: np.ndarray) -> np.ndarray:
    return np.array([frames[2 * n : 2 * n + 2].mean(axis=0) for n in range(len(frames) // 2)])


def plain_fast_dtw(one: np.ndarray, other: np.ndarray, radius: int = 1) -> list[tuple[int, int]]:
    """FastDTW of Salvador and Chan, with sets and dictionaries; ties as in `fast_align`."""
    rows, columns = len(one), len(other)
    allowed = {(i, j) for i in range(rows) for j in range(columns)}
    if min(rows, columns) >= radius + 2:
        halves = [
            np.array([side[2 * n : 2 * n + 2].mean(axis=0) for n in range(len(side) // 2)]) for side in (one, other)
        ]
        reach = range(-radius, radius + 1)
        near = {(i + a, j + b) for i, j in plain_fast_dtw(*halves, radius) for a in reach for b in reach}
        allowed &= {(2 * i + a, 2 * j + b) for i, j in near for a in (0, 1) for b in (0, 1)}
    total, came_from = {(-1, -1): 0.0}, {}
    for i, j in sorted(allowed):
        came_from[i, j] = min(((i - 1, j), (i, j - 1), (i - 1, j - 1)), key=lambda pair: total.get(pair, np.inf))
        total[i, j] = total.get(came_from[i, j], np.inf) + float(np.linalg.norm(one[i] - other[j]))
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        path.append(came_from[path[-1]])
    return path[::-1]


def walk(random: np.random.Generator, frames: int, bands: int = 4) -> np.ndarray:
    return np.cumsum(random.standard_normal((frames, bands)), axis=0)


def cost(one: np.ndarray, other: np.ndarray, path: tuple[np.ndarray, np.ndarray]) -> float:
    return float(np.linalg.norm(one[path[0]] - other[path[1]], axis=1).sum())


SIZES = [(1, 1), (1, 9), (9, 2), (3, 3), (5, 8), (31, 17), (64, 65), (101, 90)]


@pytest.mark.parametrize("radius", [1, 2, 5])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fast_path_is_that_of_a_plain_implementation(random, sizes, radius):
    for _ in range(3):
        one, other = (walk(random, size) for size in sizes)
        assert list(zip(*fast_align(one, other, radius))) == plain_fast_dtw(one, other, radius)


def test_fast_path_of_equal_frames_takes_the_first_step_that_leads_on():
    one, other = np.zeros((7, 2)), np.zeros((9, 2))
    assert list(zip(*fast_align(one, other))) == plain_fast_dtw(one, other)


def test_fast_path_is_near_the_exact_one_and_equals_it_with_a_wide_radius(random):
    one, other = walk(random, 60), walk(random, 71)
    exact = cost(one, other, align(one, other))
    costs = [cost(one, other, fast_align(one, other, radius)) for radius in (1, 70)]
    assert exact <= costs[0] + 1e-9 and costs[1] == pytest.approx(exact, rel=1e-12)


def test_fast_path_does_not_depend_on_which_comes_first(random):
    one, other = walk(random, 90), walk(random, 121)
    np.testing.assert_array_equal(fast_align(one, other), fast_align(other, one)[::-1])


def test_fast_path_without_a_radius_is_refused():
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        fast_align(np.zeros((3, 2)), np.zeros((3, 2)), 0)


def recordings(rate: int) -> list[np.ndarray]:
    """Two voices saying the same for about half a second, `(samples,)`."""
    spoken = [audio.read(CORPUS / f"eval/{speaker}/101.flac", rate)[0] for speaker in ("slt", "rms")]
    return [samples[rate // 2 : rate // 2 + length] for samples, length in zip(spoken, (rate // 2, 11 * rate // 20))]


def world(samples: np.ndarray, rate: int, limits: tuple[float, float], shift: float, size: int):
    """F0, power envelope and power in dB above the mean, low-cut by SciPy."""
    import pyworld
    import scipy.signal

    taps = scipy.signal.firwin(255, 70, pass_zero=False, fs=rate // 2 * 2)
    samples = scipy.signal.lfilter(taps, 1, samples)
    f0, times = pyworld.harvest(samples, rate, f0_floor=limits[0], f0_ceil=limits[1], frame_period=shift)
    envelope = pyworld.cheaptrick(samples, f0, times, rate, fft_size=size)
    mirrored = np.concatenate([envelope, envelope[:, -2:0:-1]], axis=1)
    return f0, envelope, 10 * np.log10(mirrored.mean(axis=1) / mirrored.mean())


def sprocket(samples: np.ndarray, rate: int, pysptk) -> np.ndarray:
    order, warping, shift, size = {
        16000: (24, 0.41, 5, 1024),
        22050: (34, 0.455, 1000 * 110 / 22050, 1024),
        44100: (40, 0.544, 5, 2048),
    }[rate]
    _, envelope, power = world(32768 * samples, rate, (40, 700), shift, size)
    statics = np.array([pysptk.sp2mc(row, order, warping) for row in envelope])[:, 1:]
    before = np.concatenate([2 * statics[:1] - statics[1:2], statics[:-1]])
    return np.concatenate([statics, statics - before], axis=1)[power > -15]


def seq2seq_vc(samples: np.ndarray, rate: int, pysptk) -> np.ndarray:
    _, envelope, power = world((samples.astype(np.float32) * 32767).astype(float), rate, (40, 500), 5, 1024)
    return np.array([pysptk.sp2mc(row, 39, 0.466) for row in envelope[power > -20]])


def parallel_wavegan(samples: np.ndarray, rate: int, pysptk) -> np.ndarray:
    order, warping = {16000: (23, 0.42), 22050: (34, 0.45), 24000: (34, 0.46), 44100: (39, 0.53), 48000: (39, 0.55)}[
        rate
    ]
    starts = range(0, len(samples) - 1023, 256)
    frames = [32768 * samples[start : start + 1024] * pysptk.sptk.hamming(1024) for start in starts]
    return np.array([pysptk.mcep(frame, order, warping, etype=1, eps=1e-6) for frame in frames])


def crank(samples: np.ndarray, rate: int, pysptk) -> np.ndarray:
    shift = {22050: 5.80499, 24000: 5.333333}[rate]
    f0, envelope, _ = world(samples, rate, (50, 500), shift, 1024)
    return np.array([pysptk.sp2mc(row, 34, 0.466) for row in envelope[f0 > 0]])


INDEPENDENT = {
    "sprocket": sprocket,
    "seq2seq-vc": seq2seq_vc,
    "parallel-wavegan": parallel_wavegan,
    "crank": crank,
}


@pytest.mark.parametrize(("name", "rate"), CASES)
def test_distortion_equals_an_independent_computation(name, rate):
    """The same WORLD, but SciPy's filter, SPTK's mel-cepstrum and the plain FastDTW."""
    pysptk = pytest.importorskip("pysptk")
    pair = recordings(rate)
    whole = [np.round(32768 * samples.astype(float)) / 32768 for samples in pair]  # as in 16-bit files
    one, other = (INDEPENDENT[name](samples, rate, pysptk) for samples in whole)
    path = plain_fast_dtw(one, other)
    distances = [10 / np.log(10) * np.sqrt(2 * np.square(one[i] - other[j]).sum()) for i, j in path]
    assert len(path) > 20
    assert mel_cepstral_distortion_by(name, *pair, rate) == pytest.approx(np.mean(distances), abs=1e-6)


def test_every_convention_is_compared_and_described():
    assert list(CONVENTIONS) == list(RATES)
    for name, convention in CONVENTIONS.items():
        assert name.split("-")[0] in convention.source.lower() and "FastDTW" in convention.description
        assert set(convention.analyses) in ({*RATES[name]}, {0})
    ranges = {name: convention.f0_range for name, convention in CONVENTIONS.items() if convention.f0_range}
    assert ranges == {"sprocket": F0Range(40, 700), "seq2seq-vc": F0Range(40, 500), "crank": F0Range(50, 500)}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_distortion_of_a_recording_to_itself_is_nothing(name):
    samples, _ = recordings(22050)
    assert mel_cepstral_distortion_by(name, samples, samples, 22050) == 0


def test_a_level_counts_where_c0_does(random):
    """20 dB are ln 10 of c0, which is 14.1 dB of distortion. Noise keeps all bands well above the 16-bit rounding."""
    samples = vowel(0.5, 22050) + 0.02 * random.standard_normal(11025)
    found = {name: mel_cepstral_distortion_by(name, samples / 10, samples, 22050) for name in CONVENTIONS}
    assert found.pop("sprocket") < 0.5
    assert found == pytest.approx(dict.fromkeys(found, 14.14), abs=0.5)


@pytest.mark.parametrize("name", [name for name in CONVENTIONS if name != "parallel-wavegan"])
def test_f0_limits_are_the_caller_s(name):
    samples, _ = recordings(22050)
    narrow = compared_frames(name, samples, 22050, f0_range=F0Range(180, 190))
    assert not np.array_equal(narrow, compared_frames(name, samples, 22050))


@pytest.mark.parametrize(
    ("name", "samples", "rate", "said"),
    [
        ("pymcd", np.zeros(9000), 16000, "convention: unknown 'pymcd'; known: sprocket, seq2seq-vc"),
        ("crank", np.zeros(9000), 16000, "crank has settings for 22050, 24000 Hz, got 16000 Hz: resample"),
        ("parallel-wavegan", np.zeros(9000), 8000, "48000 Hz, got 8000 Hz"),
        ("sprocket", np.zeros(1023), 16000, r"sprocket: expected at least 1024 finite samples.*\(1023,\)"),
        ("sprocket", np.zeros((9000, 1)), 16000, r"got shape \(9000, 1\)"),
        ("seq2seq-vc", np.full(9000, np.nan), 16000, "seq2seq-vc: expected .* finite samples"),
        ("crank", np.zeros(9000), 22050, "crank: the recording has no frames to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(name, samples, rate, said):
    with pytest.raises((ConfigError, DataError), match=said):
        compared_frames(name, samples, rate)


@pytest.mark.parametrize("name", ["sprocket", "seq2seq-vc", "parallel-wavegan"])
def test_silence_has_frames(name):
    assert np.isfinite(compared_frames(name, np.zeros(9000), 16000)).all()


def windowed() -> np.ndarray:
    samples = 32768.0 * audio.read(CORPUS / "eval/slt/101.flac", 16000)[0][8000:16000]
    return np.lib.stride_tricks.sliding_window_view(samples, 1024)[::256] * sptk.hamming(1024)


@pytest.mark.parametrize(("order", "warping"), [(23, 0.42), (34, 0.45), (39, 0.55), (12, 0.0)])
def test_mel_cepstral_analysis_equals_sptk(random, order, warping):
    pysptk = pytest.importorskip("pysptk")
    np.testing.assert_allclose(sptk.hamming(1024), pysptk.sptk.hamming(1024), atol=1e-12)
    loudness = 10 ** random.uniform(-4, 4, (20, 1))
    frames = np.concatenate([windowed(), loudness * random.standard_normal((20, 1024)), np.zeros((1, 1024))])
    ours = sptk.analyse(frames, order, warping=warping, floor=1e-6)
    theirs = [pysptk.mcep(frame, order, warping, etype=1, eps=1e-6) for frame in frames]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_mel_cepstral_analysis_takes_each_frame_by_itself():
    frames = windowed()[:5]
    alone = np.concatenate([sptk.analyse(frame[None], 24, warping=0.42, floor=1e-6) for frame in frames])
    np.testing.assert_allclose(sptk.analyse(frames, 24, warping=0.42, floor=1e-6), alone, atol=1e-9)
