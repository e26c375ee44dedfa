"""Laws of the metrics: distances of a thing to itself, known differences, and independent implementations."""

import functools
import math

import librosa
import numpy as np
import pytest
import scipy.linalg
import scipy.signal

from vc.errors import DataError
from vc.features import mel_cepstrum
from vc.metrics import (
    align,
    audible,
    content_lost,
    distance_interval,
    frechet_distance,
    global_variance,
    gv_ratio,
    log_f0_correlation,
    log_f0_rmse,
    mean_interval,
    mel_cepstral_distortion,
    modulation_spectra_distance,
    modulation_spectrum,
    speech_path,
    voicing_error,
)
from vc.metrics.scores import METRICS, Movement, Track, compare, summarise

DECIBELS = 10 / math.log(10) * math.sqrt(2)  # of a difference of 1 in one coefficient


def speech(random: np.random.Generator, frames: int = 120, order: int = 8) -> np.ndarray:
    """Smooth random mel-cepstra, all audible."""
    raw = random.standard_normal((frames + 8, order + 1))
    raw[:, 0] *= 0.3
    return np.stack([np.convolve(column, np.ones(9) / 3, mode="valid") for column in raw.T], axis=1)


def cost(one: np.ndarray, other: np.ndarray) -> float:
    rows, columns = align(one, other)
    return float(np.linalg.norm(one[rows] - other[columns], axis=1).sum())


def cheapest(one: np.ndarray, other: np.ndarray) -> float:
    """Cost of the best path, by trying every path."""

    @functools.cache
    def to(i: int, j: int) -> float:
        before = [to(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        return float(np.linalg.norm(one[i] - other[j])) + min(before, default=0.0)

    return to(len(one) - 1, len(other) - 1)


SIZES = [(1, 1), (1, 6), (6, 1), (2, 2), (5, 8), (8, 5), (7, 7)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_path_is_the_cheapest_of_all(random, sizes):
    one, other = (random.standard_normal((size, 3)) for size in sizes)
    assert cost(one, other) == pytest.approx(cheapest(one, other), abs=1e-12)


@pytest.mark.parametrize("sizes", [*SIZES, (60, 91), (200, 40)], ids=str)
def test_path_costs_what_librosa_s_costs(random, sizes):
    one, other = (random.standard_normal((size, 5)) for size in sizes)
    total, _ = librosa.sequence.dtw(one.T, other.T, metric="euclidean")
    assert cost(one, other) == pytest.approx(total[-1, -1], rel=1e-12)


@pytest.mark.parametrize("sizes", [*SIZES, (60, 91)], ids=str)
def test_path_is_monotone_and_complete(random, sizes):
    rows, columns = align(*(random.standard_normal((size, 2)) for size in sizes))
    steps = np.diff(np.stack([rows, columns]), axis=1)
    assert (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) == (0, 0, *sizes)
    assert ((steps >= 0) & (steps <= 1)).all() and (steps.sum(axis=0) > 0).all()


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (np.zeros((3, 2)), np.zeros((3, 4)), "equal bands"),
        (np.zeros(3), np.zeros(3), "equal bands"),
        (np.zeros((0, 2)), np.zeros((3, 2)), "cannot align 0 frames with 3"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "finite"),
        (np.zeros((30_000, 1)), np.zeros((30_000, 1)), "30000 and 30000 frames are too long"),
    ],
)
def test_what_cannot_be_aligned_is_refused(one, other, said):
    with pytest.raises(DataError, match=said):
        align(one, other)


def test_distortion_of_a_thing_to_itself_is_nothing(random):
    frames = speech(random)
    assert mel_cepstral_distortion(frames, frames) == 0


def test_distortion_is_symmetric(random):
    one, other = speech(random, 80), speech(random, 110)
    assert mel_cepstral_distortion(one, other) == pytest.approx(mel_cepstral_distortion(other, one), rel=1e-9)


@pytest.mark.parametrize("coefficient", [1, 5, 8])
@pytest.mark.parametrize("shift", [0.25, -1.0])
def test_shift_of_one_coefficient_is_known_exactly(random, coefficient, shift):
    frames = 100 * speech(random)  # so far apart that no other path is as cheap as the diagonal
    frames[:, 0] = 0
    moved = frames.copy()
    moved[:, coefficient] += shift
    assert mel_cepstral_distortion(moved, frames) == pytest.approx(DECIBELS * abs(shift), rel=1e-9)


def test_level_does_not_count(random):
    frames = speech(random)
    louder = frames + np.eye(frames.shape[1])[0]
    assert mel_cepstral_distortion(louder, frames) == 0


def test_stretching_by_repetition_costs_nothing(random):
    frames = speech(random)
    assert mel_cepstral_distortion(frames.repeat(2, axis=0), frames) == 0
    assert mel_cepstral_distortion(frames.repeat(random.integers(1, 4, len(frames)), axis=0), frames) == 0


def test_silent_frames_do_not_count(random):
    one, other = speech(random, 70), speech(random, 90)
    silence = 5 * speech(random, 40)
    silence[:, 0] = one[:, 0].min() - 10
    padded = np.concatenate([silence[:20], one, silence[20:]])
    assert audible(padded).tolist() == [False] * 20 + [True] * 70 + [False] * 20
    assert mel_cepstral_distortion(padded, other) == mel_cepstral_distortion(one, other)
    np.testing.assert_array_equal(global_variance(padded), global_variance(one))
    np.testing.assert_array_equal(modulation_spectrum(padded, 200), modulation_spectrum(one, 200))
    assert speech_path(padded, other)[0].min() == 20


def test_loudness_is_in_decibels(random):
    """A frame 35.1 dB below the loudest is silence, one 34.9 dB below is not."""
    envelope = np.exp(random.standard_normal((1, 257)))
    quieter = envelope * 10 ** (-np.array([0, 34.9, 35.1])[:, None] / 10)
    assert audible(mel_cepstrum.from_envelope(quieter, 24, 0.42)).tolist() == [True, True, False]


@pytest.mark.parametrize("given", [np.zeros((0, 5)), np.zeros(5), np.zeros((5, 1)), np.full((4, 5), np.inf)])
def test_what_is_no_mel_cepstrum_is_refused(given):
    with pytest.raises(DataError, match=r"mel-cepstra must be finite|expected non-empty"):
        audible(given)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_variance_ratio_of_scaled_trajectories_is_the_square(random, scale):
    frames = speech(random)
    scaled = frames * np.array([1.0, *[scale] * (frames.shape[1] - 1)])
    assert gv_ratio(global_variance(scaled), global_variance(frames)) == pytest.approx(scale**2)


def test_modulation_spectrum_is_the_periodogram(random):
    frames = speech(random, 300)
    frequencies, power = scipy.signal.periodogram(
        frames[:, 1:], fs=200, nfft=4096, detrend="constant", return_onesided=False, axis=0
    )
    kept = (frequencies > 0) & (frequencies <= 50)
    np.testing.assert_allclose(modulation_spectrum(frames, 200), 10 * np.log10(power[kept] * 200).T, atol=1e-6)


def test_modulation_spectrum_does_not_grow_with_length(random):
    short, long = (modulation_spectrum(random.standard_normal((n, 9)) * [0.1] + 1, 200).mean() for n in (500, 9000))
    assert long - short == pytest.approx(2.5 - 0.7, abs=0.5)  # the mean of a log of 1 or of 3 draws, in dB


def test_modulation_spectra_distance_of_known_differences(random):
    frames = speech(random)
    own = modulation_spectrum(frames, 200)
    doubled = modulation_spectrum(frames * np.array([1.0, *[2.0] * 8]), 200)
    assert modulation_spectra_distance(own, own) == 0
    assert modulation_spectra_distance(doubled, own) == pytest.approx(20 * math.log10(2))


def test_smoothing_shows_in_both_measures_of_movement(random):
    frames = random.standard_normal((300, 9)) * 0.3
    smooth = np.stack([np.convolve(column, np.ones(9) / 9, mode="same") for column in frames.T], axis=1)
    assert gv_ratio(global_variance(smooth), global_variance(frames)) < 0.3
    assert modulation_spectra_distance(modulation_spectrum(smooth, 200), modulation_spectrum(frames, 200)) > 5


def test_spectra_of_other_shapes_are_refused():
    with pytest.raises(DataError, match="cannot be compared"):
        modulation_spectra_distance(np.zeros((3, 4)), np.zeros((4, 4)))


DIAGONAL = (np.arange(100), np.arange(100))


def melody(random: np.random.Generator) -> np.ndarray:
    f0 = 120 * np.exp(0.2 * random.standard_normal(100))
    f0[::7] = 0
    return f0


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.9])
def test_known_ratio_of_f0_is_its_logarithm(random, ratio):
    f0 = melody(random)
    assert log_f0_rmse(ratio * f0, f0, DIAGONAL) == pytest.approx(abs(math.log(ratio)), abs=1e-12)
    assert log_f0_correlation(ratio * f0, f0, DIAGONAL) == pytest.approx(1)
    assert voicing_error(ratio * f0, f0, DIAGONAL) == 0


def test_mirrored_melody_correlates_negatively(random):
    f0 = melody(random)
    mirrored = np.divide(120**2, f0, out=np.zeros_like(f0), where=f0 > 0)
    assert log_f0_correlation(mirrored, f0, DIAGONAL) == pytest.approx(-1)


def test_voicing_error_counts_what_differs(random):
    f0 = np.full(100, 100.0)
    other = f0.copy()
    other[:30] = 0
    assert voicing_error(other, f0, DIAGONAL) == pytest.approx(0.3)
    assert log_f0_rmse(other, f0, DIAGONAL) == 0


def test_what_cannot_be_told_is_nan():
    f0, flat = np.zeros(100), np.full(100, 100.0)
    assert math.isnan(log_f0_rmse(f0, flat, DIAGONAL)) and math.isnan(log_f0_correlation(flat, flat, DIAGONAL))


@pytest.mark.parametrize("bad", [np.full(100, -1.0), np.full(100, np.nan), np.ones((100, 1)), np.ones(50)])
def test_what_is_no_f0_track_is_refused(bad):
    with pytest.raises(DataError, match=r"reference F0|frames of the reference"):
        voicing_error(np.ones(100), bad, DIAGONAL)


def test_interval_of_a_mean_is_the_usual_one(random):
    values = random.standard_normal(200)
    low, high = mean_interval(values)
    usual = 1.96 * values.std() / math.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - usual, values.mean() + usual), abs=0.03)
    assert mean_interval(values) == (low, high) and mean_interval(np.array([3.0])) == (3.0, 3.0)


def test_interval_of_a_distance_holds_the_distance(random):
    differences = 1.5 + random.standard_normal((30, 4, 100))
    low, high = distance_interval(differences)
    distance = float(np.sqrt(np.square(differences.mean(axis=0)).mean()))
    assert low < distance < high and high - low < 0.2
    assert distance_interval(differences[:1]) == pytest.approx([np.sqrt(np.square(differences[0]).mean())] * 2)


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([np.nan]), np.zeros((2, 2))])
def test_interval_of_nothing_is_refused(bad):
    with pytest.raises(DataError, match=r"interval needs finite|utterances first"):
        mean_interval(bad)


def tracks(random: np.random.Generator, count: int) -> list[Track]:
    return [Track(speech(random, 60 + 5 * n), melody(random)[: 60 + 5 * n]) for n in range(count)]


def scores_of(converted: list[Track], reference: list[Track]):
    rows = [compare(one, other) for one, other in zip(converted, reference)]
    return summarise(rows, *([Movement.of(track, 200) for track in side] for side in (converted, reference)))


def test_order_of_utterances_changes_no_figure(random):
    converted, reference = tracks(random, 7), tracks(random, 7)
    scores, order = scores_of(converted, reference), random.permutation(7)
    permuted = scores_of([converted[n] for n in order], [reference[n] for n in order])
    assert list(scores.means) == list(METRICS)
    assert permuted.means == pytest.approx(scores.means, rel=1e-5)


def test_a_set_against_itself_is_the_ideal(random):
    reference = tracks(random, 5)
    ideal = {name: 1.0 if metric.best.startswith("1") else 0.0 for name, metric in METRICS.items()}
    assert scores_of(reference, reference).means == pytest.approx(ideal, abs=1e-9)


def test_an_utterance_without_voice_leaves_the_mean_of_the_others(random):
    converted, reference = tracks(random, 3), tracks(random, 3)
    known = scores_of(converted[1:], reference[1:]).means["log_f0_rmse"]
    converted[0] = Track(converted[0].mel_cepstrum, np.zeros(60))
    assert scores_of(converted, reference).means["log_f0_rmse"] == pytest.approx(known)
    silent = [Track(track.mel_cepstrum, np.zeros(len(track.f0))) for track in converted]
    scores = scores_of(silent, reference)
    assert math.isnan(scores.means["log_f0_rmse"]) and all(map(math.isnan, scores.intervals["log_f0_rmse"]))


def test_frechet_distance_equals_its_formula_by_scipy(random):
    one, other = random.standard_normal((200, 5)), random.standard_normal((300, 5)) @ random.standard_normal((5, 5)) + 1
    first, second = np.cov(one.T), np.cov(other.T)
    apart = np.square(one.mean(axis=0) - other.mean(axis=0)).sum()
    expected = apart + np.trace(first + second - 2 * scipy.linalg.sqrtm(first @ second).real)
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_laws(random):
    one, other = random.standard_normal((200, 5)), random.standard_normal((150, 5))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, random.permutation(one)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one + 2) == pytest.approx(5 * 2**2)


def test_content_is_kept_by_linear_maps_and_lost_in_noise(random):
    source = random.standard_normal((2000, 5))
    assert content_lost(source @ random.standard_normal((5, 5)) + 3, source) == pytest.approx(0, abs=1e-9)
    assert content_lost(random.standard_normal((2000, 5)), source) == pytest.approx(1, abs=0.02)
    assert content_lost(source + random.standard_normal((2000, 5)), source) == pytest.approx(0.5, abs=0.05)
