"""Laws of the metrics: distances of a thing to itself, known differences, and independent implementations."""

import functools
import math

import librosa
import numpy as np
import pytest
import scipy.cluster.vq
import scipy.linalg
import scipy.signal
import scipy.stats

from vc.errors import DataError
from vc.features import mel_cepstrum
from vc.metrics import (
    align,
    approach,
    audible,
    compare_paired,
    content_lost,
    different_sentences,
    diversity,
    frechet_distance,
    global_variance,
    gv_ratio,
    holm,
    interval_around,
    jackknife_variance,
    kernel_distance,
    log_f0_correlation,
    log_f0_rmse,
    mean_interval,
    mel_cepstral_distortion,
    modulation_spectra_distance,
    modulation_spectrum,
    moving,
    sets,
    speech_path,
    voicing_error,
)
from vc.metrics.content import Content
from vc.metrics.registry import HALF, HIGHER, LOWER, METRICS, ONE
from vc.metrics.scores import Observation, Scores, Track, summarise
from vc.metrics.sets import MAX_PAIRS, Moments, frechet_distance_of_moments
from vc.metrics.sounds import Sounds, k_means, nearest_centre, score, sums_of_shares

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
        (np.zeros((3, 2)), np.zeros((3, 4)), "equal number of bands"),
        (np.zeros(3), np.zeros(3), "equal number of bands"),
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


def test_jackknife_of_a_mean_is_the_usual_variance(random):
    values = random.standard_normal(30)
    variance = jackknife_variance(lambda kept: float(values[kept].mean()), 30)
    assert variance == pytest.approx(values.var(ddof=1) / 30)
    assert interval_around(2.0, 0.25) == pytest.approx((2 - 1.96 / 2, 2 + 1.96 / 2))
    assert math.isnan(jackknife_variance(lambda kept: 1.0, 1))


def test_jackknife_intervals_hold_the_true_value_about_as_often_as_they_say(random):
    def holds() -> bool:
        values = random.standard_normal(100)  # more than there are groups
        variance = jackknife_variance(lambda kept: float(values[kept].std()), 100)
        low, high = interval_around(float(values.std()), variance)
        return low < 1 < high

    assert 0.88 <= np.mean([holds() for _ in range(200)]) <= 1.0


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([np.nan]), np.zeros((2, 2))])
def test_interval_of_nothing_is_refused(bad):
    with pytest.raises(DataError, match="an interval needs"):
        mean_interval(bad)


def tracks(random: np.random.Generator, count: int) -> list[Track]:
    return [Track(speech(random, 60 + 5 * n), melody(random)[: 60 + 5 * n]) for n in range(count)]


def observed(own: list[Track], reference: list[Track] | None = None, source: list[Track] | None = None):
    nobody = [None] * len(own)
    return [
        Observation.of(track, 200, reference=target, source=origin)
        for track, target, origin in zip(own, reference or nobody, source or nobody)
    ]


def scores_of(converted: list[Track], reference: list[Track], source: list[Track] | None = None) -> Scores:
    origin = source and observed(source, reference, source)
    return summarise(observed(converted, reference, source), observed(reference), source=origin, paired=True)


def test_order_of_utterances_changes_no_figure(random):
    sides = [tracks(random, 7) for _ in range(3)]
    scores, order = scores_of(*sides), random.permutation(7)
    permuted = scores_of(*([side[n] for n in order] for side in sides))
    assert list(scores.means) == list(METRICS)
    drawn = {"diversity", "content_lost"}  # they compare a sentence with the one half the set away; evaluate sorts
    for name in METRICS.keys() - drawn:
        assert permuted.means[name] == pytest.approx(scores.means[name], rel=1e-5, nan_ok=True), name


def test_a_set_against_itself_is_the_ideal(random):
    reference = tracks(random, 5)
    ideal = {LOWER: 0.0, ONE: 1.0}
    copies = [Track(track.mel_cepstrum.copy(), track.f0) for track in reference]
    found = {name: value for name, value in scores_of(copies, reference).means.items() if math.isfinite(value)}
    assert found == pytest.approx({name: ideal[METRICS[name].best] for name in found}, abs=1e-6)
    assert len(found) > 8


def test_intervals_stay_inside_what_is_possible(random):
    """Three recordings of two voices that nothing confuses: an interval around an error rate of 0 would go below."""
    sides = []
    for voice in np.eye(256)[:2]:
        embeddings = np.abs(voice + random.normal(0, 0.3, (3, 256)))
        sides.append([Observation.of(track, 200, embedding=each) for track, each in zip(tracks(random, 3), embeddings)])
    scores = summarise(*sides, source=sides[0], paired=True)
    for name, (low, high) in scores.intervals.items():
        lowest, highest = METRICS[name].limits
        assert math.isnan(low) or lowest <= low <= high <= highest, name
    assert math.isfinite(scores.intervals["speaker_eer"][1]) and METRICS["speaker_eer"].limits == (0, 1)


def test_the_source_itself_has_not_approached_the_target_nor_lost_content(random):
    source, reference = tracks(random, 5), tracks(random, 5)
    means = scores_of(source, reference, source).means
    assert (means["approach"], means["content_lost"]) == pytest.approx((0, 0), abs=1e-3)
    means = scores_of(tracks(random, 5), reference, source).means
    assert 0.3 < means["approach"] < 0.7 and means["content_lost"] > 0.8


def test_content_of_another_pace_is_found_by_alignment(random):
    source = [Track(speech(random, 300), np.zeros(300)) for _ in range(3)]
    slower = [Track(np.repeat(track.mel_cepstrum, 2, axis=0), np.zeros(600)) for track in source]
    assert scores_of(slower, tracks(random, 3), source).means["content_lost"] == pytest.approx(0, abs=1e-6)


def test_sets_that_share_no_sentence_are_compared_as_sets(random):
    own, reference = observed(tracks(random, 6)), observed(tracks(random, 9))
    scores = summarise(own, reference, source=None, paired=False)
    assert math.isnan(scores.means["mcd"])
    for name in ("msd", "frechet_distance", "kernel_distance"):
        low, high = scores.intervals[name]
        assert low < scores.means[name] < high
    assert len(scores.rows) == 6 and all(row["gv_ratio"] > 0 for row in scores.rows)


def test_an_utterance_without_voice_leaves_the_mean_of_the_others(random):
    converted, reference = tracks(random, 3), tracks(random, 3)
    known = scores_of(converted[1:], reference[1:]).means["log_f0_rmse"]
    converted[0] = Track(converted[0].mel_cepstrum, np.zeros(60))
    assert scores_of(converted, reference).means["log_f0_rmse"] == pytest.approx(known)
    silent = [Track(track.mel_cepstrum, np.zeros(len(track.f0))) for track in converted]
    scores = scores_of(silent, reference)
    assert math.isnan(scores.means["log_f0_rmse"]) and all(map(math.isnan, scores.intervals["log_f0_rmse"]))


def spoken(tracks: list[Track], contents: list[Content]) -> list[Observation]:
    return [Observation.of(track, 200, content=content) for track, content in zip(tracks, contents)]


def random_content(random: np.random.Generator) -> Content:
    vectors, cepstra = (random.standard_normal((30, bands)).astype(np.float32) for bands in (8, 20))
    return Content(vectors, cepstra, np.ones(30, bool))


def test_copies_of_one_recording_are_no_reference_for_other_sentences(random):
    converted = spoken(tracks(random, 3), [random_content(random) for _ in range(3)])
    copies = spoken(tracks(random, 1) * 3, [random_content(random)] * 3)
    scores = summarise(converted, copies, source=copies, paired=True)
    assert math.isnan(scores.means["content_distance"]) and math.isnan(scores.means["diversity"])
    assert math.isfinite(scores.means["frechet_distance"]) and "content_distance" not in scores.rows[0]
    own = summarise(copies, converted, source=converted, paired=True)
    assert own.means["diversity"] == 0 and own.means["content_distance"] > 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_frame_has_no_distribution(random, count):
    sides = [[Track(track.mel_cepstrum[:1], track.f0[:1]) for track in tracks(random, count)] for _ in range(3)]
    scores = scores_of(*sides)
    assert math.isnan(scores.intervals["frechet_distance"][0]) and math.isfinite(scores.means["mcd"])
    assert math.isnan(scores.means["frechet_distance"]) == math.isnan(scores.means["approach"]) == (count == 1)


@pytest.mark.parametrize(
    ("best", "better", "worse"), [(LOWER, 1, 2), (HIGHER, 2, 1), (ONE, 0.9, 1.2), (HALF, 0.4, 0.9)]
)
def test_what_is_better_is_less_of_a_fault(best, better, worse):
    metric = next(metric for metric in METRICS.values() if metric.best == best)
    assert metric.fault(better) < metric.fault(worse)


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


def test_moments_add_up_to_those_of_all_frames(random):
    parts = [random.standard_normal((count, 4)) for count in (20, 50, 30)]
    pooled = Moments.stack([Moments.of(part) for part in parts]).pool(np.arange(3))
    together, unit = np.concatenate(parts), np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(pooled.mean, together.mean(axis=0))
    np.testing.assert_allclose(pooled.covariance, np.cov(together.T))
    other = random.standard_normal((90, 4)) + 1
    expected = frechet_distance(together / unit, other / unit)
    assert frechet_distance_of_moments(pooled, Moments.of(other), unit) == pytest.approx(expected)


def test_slopes_are_those_of_a_regression(random):
    frames = speech(random, 50)
    expected = [np.polyfit(np.arange(-2, 3), frames[place - 2 : place + 3, 1:], 1)[0] for place in range(2, 48)]
    found = moving(frames)
    np.testing.assert_allclose(found[:, : frames.shape[1] - 1], frames[:, 1:])
    np.testing.assert_allclose(found[2:-2, frames.shape[1] - 1 :], expected, atol=1e-12)


def kernel(one: np.ndarray, other: np.ndarray) -> float:
    return (float(one @ other) / len(one) + 1) ** 3


# Sounds.


def sounding(random, centres: np.ndarray, utterances: int = 6, spread: float = 0.2) -> list[np.ndarray]:
    """Utterances of 200 frames around random ones of the centres."""
    places = [random.integers(len(centres), size=200) for _ in range(utterances)]
    return [centres[some] + spread * random.standard_normal((200, centres.shape[1])) for some in places]


def share_of_sounds(converted: list[np.ndarray], reference: list[np.ndarray]) -> float:
    moving_frames = [[np.hstack([frames, frames]) for frames in side] for side in (converted, reference)]
    figure = sets.sound_score(*moving_frames, np.ones(2 * reference[0].shape[1]))
    return figure(np.arange(len(converted)), np.arange(len(reference)))


def test_a_score_of_sounds_falls_with_collapse_and_with_blur_and_not_with_order(random):
    centres = 3 * random.standard_normal((24, 6))
    reference, own = (sounding(random, centres) for _ in "ab")
    assert share_of_sounds(reference, reference) == 1
    assert share_of_sounds(own, reference) == pytest.approx(1, abs=0.1)
    assert share_of_sounds(own[::-1], reference) == pytest.approx(share_of_sounds(own, reference))
    scores = [share_of_sounds(sounding(random, centres[:count]), reference) for count in (1, 3, 8, 24)]
    assert scores == sorted(scores) and scores[0] < 0.1 and scores[1] < 0.25 and scores[2] < 0.6  # modes lost
    halfway = [(frames + np.roll(frames, 1, axis=0)) / 2 for frames in own]
    assert share_of_sounds(halfway, reference) < 0.9
    assert share_of_sounds([0 * frames for frames in own], reference) < 0.15  # a mean says nothing


def test_clusters_are_scipys(random):
    frames = random.standard_normal((300, 4))
    start = np.concatenate([frames[:5], [[100.0] * 4]])  # the last stays empty
    with pytest.warns(UserWarning, match="empty"):
        centres, _ = scipy.cluster.vq.kmeans2(frames, start, iter=4, minit="matrix")
    assert np.allclose(k_means(frames, start, 4), centres)
    assert np.array_equal(nearest_centre(frames, centres), scipy.cluster.vq.vq(frames, centres)[0])


def test_classes_of_sounds_are_shares_and_entropies_those_of_the_formula(random):
    sounds = Sounds(np.concatenate(sounding(random, 3 * random.standard_normal((5, 4)))))
    frames = random.standard_normal((50, 4))
    shares = sounds.classify(frames)
    assert shares.min() >= 0 and np.allclose(shares.sum(axis=1), 1)
    mean = shares.mean(axis=0)
    divergence = (shares * (np.log(shares + 1e-300) - np.log(mean + 1e-300))).sum(axis=1).mean()
    assert score(sums_of_shares(sounds, [frames[:20], frames[20:]])) == pytest.approx(np.exp(divergence))


def test_kernel_distance_equals_its_sums(random):
    """Over pairs of frames of different utterances; utterances of five frames each, so that means of means agree."""
    one, other = ([random.standard_normal((5, 3)) + shift for _ in range(4)] for shift in (0, 0.5))
    for paired in (True, False):
        means = [
            np.mean(
                [
                    kernel(a, b)
                    for i, x in enumerate(left)
                    for j, y in enumerate(right)
                    if i != j or not apart
                    for a in x
                    for b in y
                ]
            )
            for left, right, apart in ((one, one, True), (other, other, True), (one, other, paired))
        ]
        assert kernel_distance(one, other, paired=paired) == pytest.approx(means[0] + means[1] - 2 * means[2])


def test_kernel_distance_laws(random):
    def utterances(shift: float, count: int = 30) -> list[np.ndarray]:
        return [random.standard_normal((20, 4)) + shift for _ in range(count)]

    one, alike, other = utterances(0), utterances(0), utterances(1)
    assert kernel_distance(one, one, paired=True) == pytest.approx(0, abs=1e-12)
    assert kernel_distance(one, other, paired=False) == pytest.approx(kernel_distance(other, one, paired=False))
    assert abs(kernel_distance(one, alike, paired=False)) < 0.1 < kernel_distance(one, other, paired=False)


def test_approach_is_the_place_between_source_and_target():
    assert approach(0, 4) == 0 and approach(4, 0) == 1 and approach(9, 1) == pytest.approx(0.75)
    assert math.isnan(approach(0, 0))


def tracks_of(random: np.random.Generator, count: int) -> list[np.ndarray]:
    return [track.mel_cepstrum for track in tracks(random, count)]


def test_a_collapsed_system_is_not_diverse(random):
    reference = [speech(random, frames) for frames in (60, 80, 70, 90)]
    same = [reference[0]] * 4
    apart = different_sentences(reference)
    assert diversity(apart, apart) == 1 and diversity(different_sentences(same), apart) == 0
    assert len(set(apart)) == 4 and len(different_sentences(reference[:2])) == 1
    assert len(set(different_sentences([*reference, *tracks_of(random, 46)]))) == MAX_PAIRS
    with pytest.raises(DataError, match="expected at least two sentences to compare, got 1"):
        different_sentences(reference[:1])


@pytest.mark.parametrize("count", [8, 40])
def test_paired_test_agrees_with_scipy_s(random, count):
    one, other = random.standard_normal((2, count)) + np.array([[0.6], [0.0]])
    found = compare_paired(one, other)
    expected = scipy.stats.permutation_test(
        (one, other), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20000, rng=1
    ).pvalue
    assert found.p == pytest.approx(expected, abs=1e-9 if count == 8 else 0.02)
    assert found.difference == pytest.approx((one - other).mean()) and found.utterances == count
    assert found.interval[0] < found.difference < found.interval[1]


def test_paired_test_laws(random):
    one, other = random.standard_normal((2, 10))
    there, back = compare_paired(one, other), compare_paired(other, one)
    assert there.p == back.p and there.difference == -back.difference
    assert compare_paired(one, one).p == 1
    assert compare_paired(other + 5, other).p == 2 / 2**10
    with pytest.raises(DataError, match="of one length"):
        compare_paired(one, other[1:])


def test_false_alarms_are_as_rare_as_said(random):
    alarms = [compare_paired(*random.standard_normal((2, 9))).p <= 0.05 for _ in range(400)]
    assert np.mean(alarms) <= 0.075


def test_holm_s_correction_of_known_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0]) and holm([]) == []
