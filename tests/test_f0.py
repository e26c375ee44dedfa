"""F0 by autocorrelation: known pitches, what has none, invariances, WORLD's frames, and Harvest as the measure."""

import time

import numpy as np
import pytest
from conftest import CORPUS, vowel

from vc.corpus import audio
from vc.features.f0 import F0Range, track_f0

RATE, SHIFT = 16000, 5.0  # Hz, milliseconds
FRAMES_PER_SECOND = 200


def pulses(f0: float, seconds: float, rate: int) -> np.ndarray:
    """Band-limited pulse train, `(samples,)`: every harmonic below half the rate, alike in phase and strength."""
    phase = 2 * np.pi * f0 * np.arange(round(seconds * rate)) / rate
    return np.cos(np.arange(1, int(0.45 * rate / f0) + 1)[:, None] * phase).mean(axis=0)


def estimate_f0(
    samples: np.ndarray, rate: int, floor: float, ceiling: float, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    track = track_f0(samples, rate, F0Range(floor, ceiling), shift)
    return track.f0, track.times


def inner(f0: np.ndarray, frames: int = 12) -> np.ndarray:
    return f0[frames:-frames]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("pitch", [60.0, 101.3, 223.7, 444.4])
def test_the_pitch_of_pulses_is_found(pitch, rate):
    f0, _ = estimate_f0(pulses(pitch, 0.8, rate), rate, 50, 700, SHIFT)
    np.testing.assert_allclose(inner(f0), pitch, rtol=0.005)


@pytest.mark.parametrize("shift", [1.0, 3.7, 5.0, 10.0, 20.0])
def test_a_glide_is_followed_at_every_frame_shift(shift):
    seconds = np.arange(RATE) / RATE
    phase = 100 * seconds + 50 * seconds**2  # 100 to 200 Hz
    samples = np.cos(2 * np.pi * np.arange(1, 30)[:, None] * phase).mean(axis=0)
    f0, times = estimate_f0(samples, RATE, 60, 400, shift)
    kept = (times > 0.06) & (times < 0.94)
    np.testing.assert_allclose(f0[kept], 100 + 100 * times[kept], rtol=0.01)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.3), np.zeros(1), np.eye(1, RATE, 5000)[0]])
def test_what_never_vibrates_is_unvoiced(samples):
    f0, _ = estimate_f0(samples, RATE, 50, 700, SHIFT)
    assert not f0.any()


def test_white_noise_is_unvoiced(random):
    f0, _ = estimate_f0(random.standard_normal(10 * RATE), RATE, 60, 400, SHIFT)
    assert (f0 > 0).mean() < 0.02


def test_voicing_starts_and_stops_with_the_voice(random):
    """Noise, a vowel from 0.5 s to 1.5 s, noise: each end is found within 25 ms."""
    samples = 0.003 * random.standard_normal(2 * RATE)
    samples[RATE // 2 : 3 * RATE // 2] += vowel(1.0, RATE, f0=140.0)
    voiced = np.flatnonzero(estimate_f0(samples, RATE, 60, 400, SHIFT)[0])
    assert abs(voiced[0] - 0.5 * FRAMES_PER_SECOND) <= 5 and abs(voiced[-1] - 1.5 * FRAMES_PER_SECOND) <= 5
    assert len(voiced) == voiced[-1] - voiced[0] + 1


@pytest.mark.parametrize("strong", [2, 3])
@pytest.mark.parametrize("pitch", [110.0, 230.0])
def test_a_strong_harmonic_is_no_octave(pitch, strong):
    samples = 0.1 * pulses(pitch, 0.8, RATE) + np.cos(2 * np.pi * strong * pitch * np.arange(0.8 * RATE) / RATE) / 100
    f0, _ = estimate_f0(samples, RATE, 50, 700, SHIFT)
    np.testing.assert_allclose(inner(f0), pitch, rtol=0.005)


def test_a_missing_fundamental_is_heard():
    samples = pulses(120.0, 0.8, RATE) - np.cos(2 * np.pi * 120.0 * np.arange(0.8 * RATE) / RATE) / 60
    f0, _ = estimate_f0(samples, RATE, 50, 700, SHIFT)
    np.testing.assert_allclose(inner(f0), 120, rtol=0.005)


def speech() -> np.ndarray:
    return audio.read(CORPUS / "eval/slt/101.flac")[0].astype(np.float64)


@pytest.mark.parametrize(("gain", "offset"), [(1e-4, 0.0), (300.0, 0.0), (1.0, 0.4), (-0.5, 0.0)])
def test_level_offset_and_sign_change_nothing(gain, offset):
    plain, _ = estimate_f0(speech(), RATE, 100, 400, SHIFT)
    moved, _ = estimate_f0(gain * speech() + offset, RATE, 100, 400, SHIFT)
    np.testing.assert_allclose(moved, plain, rtol=1e-3)


def test_a_delay_delays_and_a_mirror_mirrors():
    samples = np.pad(speech()[: 80 * 400 + 1], 4000)
    f0, _ = estimate_f0(samples, RATE, 100, 400, SHIFT)
    delayed, _ = estimate_f0(np.pad(samples, (1600, 0)), RATE, 100, 400, SHIFT)
    np.testing.assert_allclose(delayed[20:], f0, rtol=1e-3)
    mirrored = estimate_f0(samples[::-1], RATE, 100, 400, SHIFT)[0][::-1]
    assert ((mirrored > 0) == (f0 > 0)).mean() > 0.98
    both = (mirrored > 0) & (f0 > 0)
    assert (np.abs(mirrored[both] / f0[both] - 1) < 0.02).mean() > 0.95


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("shift", [1.0, 5.0, 7.3])
def test_frames_are_worlds(rate, shift, random):
    import pyworld

    for length in (200, 1999, 2000, 2001, 8820, 11025):
        samples = random.standard_normal(length)
        f0, times = estimate_f0(samples, rate, 71, 600, shift)
        _, theirs = pyworld.dio(samples, rate, 71, 600, frame_period=shift)
        assert f0.shape == theirs.shape
        np.testing.assert_allclose(times, theirs, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 2, 37, 500])
def test_blocks_equal_the_whole(block, monkeypatch):
    whole, _ = estimate_f0(speech(), RATE, 60, 400, SHIFT)
    monkeypatch.setattr("vc.features.f0.BLOCK", block)
    np.testing.assert_allclose(estimate_f0(speech(), RATE, 60, 400, SHIFT)[0], whole, rtol=1e-6)


@pytest.mark.parametrize(("floor", "ceiling"), [(20, 2000), (20, 21), (100, 104), (1900, 2000)])
def test_every_range_that_may_be_set_works(floor, ceiling):
    f0, _ = estimate_f0(speech(), RATE, floor, ceiling, SHIFT)
    assert np.isfinite(f0).all() and f0.max() < 1.25 * ceiling


def test_samples_are_not_written_into():
    samples = speech()
    estimate_f0(samples, RATE, 100, 400, SHIFT)
    np.testing.assert_array_equal(samples, speech())


def known(speaker: str, scale: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A sentence spoken again by WORLD on a known contour, white noise 20 dB below: samples and F0."""
    import pyworld

    samples = audio.read(CORPUS / "eval" / speaker / "101.flac")[0].astype(np.float64)
    f0, times = pyworld.dio(samples, RATE, 60, 400)
    f0 = pyworld.stonemask(samples, f0, times, RATE)
    aperiodicity = pyworld.d4c(samples, f0, times, RATE)
    f0[aperiodicity[:, :20].min(axis=1) > 0.9] = 0  # where D4C hears noise, synthesis makes noise
    aperiodicity[f0 == 0] = 1 - 1e-12
    again = pyworld.synthesize(scale * f0, pyworld.cheaptrick(samples, f0, times, RATE), aperiodicity, RATE)
    return again + 0.1 * again.std() * random.standard_normal(len(again)), scale * f0


def errors(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Shares of frames: false voiced, and voiced without the pitch within 20 %."""
    length = min(len(found), len(truth))
    found, truth = found[:length], truth[:length]
    missed = (truth > 0) & (np.abs(found - truth) > 0.2 * truth)
    return np.array([((truth == 0) & (found > 0)).mean(), missed.mean()])


def test_no_worse_than_harvest_at_a_fraction_of_its_cost(random):
    import pyworld

    ours, harvests, spent = [], [], np.zeros(2)
    for speaker, floor, ceiling in (("slt", 100, 400), ("rms", 55, 220)):
        for scale in (0.8, 1.0, 1.25):
            samples, truth = known(speaker, scale, random)
            marks = [time.process_time()]
            ours.append(errors(estimate_f0(samples, RATE, floor * scale, ceiling * scale, SHIFT)[0], truth))
            marks.append(time.process_time())
            harvests.append(errors(pyworld.harvest(samples, RATE, floor * scale, ceiling * scale)[0], truth))
            spent += np.diff([*marks, time.process_time()])
    (false_voiced, missed), (false_voiced_harvest, missed_harvest) = np.mean(ours, axis=0), np.mean(harvests, axis=0)
    assert false_voiced < 0.5 * false_voiced_harvest and missed < missed_harvest + 0.015  # of all frames
    assert false_voiced + missed < 0.6 * (false_voiced_harvest + missed_harvest)
    assert spent[0] < spent[1] / 4
