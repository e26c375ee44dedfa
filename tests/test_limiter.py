"""Laws of the look-ahead limiter: the ceiling holds, nothing below it changes, nor does cutting; the gain is smooth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vc.corpus import limiter
from vc.corpus.limiter import CEILING, LOOK_AHEAD, RELEASE, WARN_ABOVE, limit, limit_blocks

RATE = 16000
AHEAD = round(LOOK_AHEAD * RATE)  # samples
SMALLEST = np.float32(1e-3)  # of a sample whose gain can be read from its quotient


def impulses(*places: int, height: float = 5.0) -> np.ndarray:
    samples = np.full(8000, SMALLEST)
    samples[list(places)] = height
    return samples


SIGNALS = {
    "noise": np.random.default_rng(0).standard_normal(20_000) * 3,
    "louder and louder": np.random.default_rng(1).standard_normal(20_000) * np.geomspace(1e-3, 1e6, 20_000),
    "square": 8 * np.sign(np.sin(np.arange(20_000) / 20)),
    "sine": 1.5 * np.sin(np.arange(20_000) / 10),
    "just above": np.full(2000, np.nextafter(CEILING, np.float32(2))),
    "impulse": impulses(2000),
    "impulses": impulses(0, 1, 50, 81, 82, 500, 7999),
    "loudest of all": impulses(100, height=1e31),
    "one sample": np.array([-7.0]),
}


def attenuation(samples: np.ndarray, limited: np.ndarray) -> np.ndarray:
    """`(samples,)` in dB."""
    return 20 * np.log10(np.abs(samples.astype(np.float32).astype(np.float64) / limited))


@pytest.mark.parametrize("rate", [50, 8000, RATE, 44100, 192_000])
@pytest.mark.parametrize("name", SIGNALS)
def test_no_sample_passes_the_ceiling_and_none_gets_another_sign(name, rate):
    samples = SIGNALS[name]
    limited = limit(samples, rate)
    assert limited.dtype == np.float32 and limited.shape == samples.shape
    assert np.abs(limited).max() <= CEILING < 1
    assert (limited * samples >= 0).all() and (np.abs(limited) <= np.abs(samples.astype(np.float32))).all()


@pytest.mark.parametrize("name", SIGNALS)
def test_the_highest_peak_meets_the_ceiling(name):
    """It is lowered by what it needs and no more."""
    samples = SIGNALS[name]
    limited, highest = limit(samples, RATE), np.abs(samples).argmax()
    assert np.abs(limited[highest]) == pytest.approx(CEILING, rel=1e-4)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(SIGNALS)), st.lists(st.integers(0, 20_000), max_size=30), st.integers(1, 200))
def test_cutting_into_blocks_changes_no_sample(name, cuts, small):
    samples = SIGNALS[name].astype(np.float32)
    places = sorted({min(cut, len(samples)) for cut in cuts} | set(range(0, min(1000, len(samples)), small)))
    cut = list(limit_blocks(np.split(samples, places), RATE))
    assert all(len(block) for block in cut)
    np.testing.assert_array_equal(np.concatenate(cut), limit(samples, RATE))


def test_a_long_signal_is_worked_on_in_parts_and_is_the_same(monkeypatch):
    samples = SIGNALS["noise"]
    whole = limit(samples, RATE)
    monkeypatch.setattr(limiter, "BLOCK", 777)
    np.testing.assert_array_equal(limit(samples, RATE), whole)


@pytest.mark.parametrize("size", [1, 37, AHEAD, 1000])
def test_what_is_given_lags_by_the_look_ahead_and_no_more(size):
    taken = given_back = 0

    def blocks():
        nonlocal taken
        for _ in range(40):
            taken += size
            yield np.full(size, np.float32(2))
            assert taken - given_back <= AHEAD

    for block in limit_blocks(blocks(), RATE):
        given_back += len(block)
    assert given_back == 40 * size


@pytest.mark.parametrize("peak", [CEILING, -CEILING, 0.5, 0.0])
def test_below_the_ceiling_every_bit_stays(peak, random):
    samples = random.standard_normal(30_000)
    samples = (samples / np.abs(samples).max() * abs(peak)).astype(np.float32)
    samples[1000] = peak
    assert limit(samples, RATE).tobytes() == samples.tobytes()


def test_no_samples_are_no_samples():
    assert limit(np.zeros(0), RATE).shape == (0,) and list(limit_blocks([], RATE)) == []


@pytest.mark.parametrize("height", [1.0, 2.0, 10.0])
def test_a_peak_is_heard_coming_and_forgotten_after_its_release(height):
    samples = impulses(2000, height=height).astype(np.float32)
    changed = np.flatnonzero(limit(samples, RATE) != samples)
    decibels = 20 * np.log10(height / CEILING)
    assert changed[0] >= 2000 - AHEAD and changed[-1] <= 2000 + AHEAD + decibels / RELEASE * RATE + 1
    assert changed[-1] >= 2000 + 0.8 * decibels / RELEASE * RATE


@pytest.mark.parametrize("name", ["noise", "sine", "square", "impulse", "impulses"])
def test_the_gain_moves_smoothly(name):
    """Down by at most the largest attenuation in half the look-ahead, up no faster than the release."""
    samples = SIGNALS[name]
    samples = np.where(np.abs(samples) < SMALLEST, SMALLEST, samples)
    found = attenuation(samples, limit(samples, RATE))
    steps = np.diff(found)
    assert steps.max() < found.max() / (AHEAD / 2) + 1e-5
    assert -steps.min() < RELEASE / RATE + 1e-5


@pytest.mark.parametrize("cause", ["impulse", "louder and louder"])
def test_the_gain_never_hears_further_than_the_look_ahead(cause):
    samples = SIGNALS[cause]
    other = samples.copy()
    other[2500:] *= 100
    one, two = limit(samples, RATE), limit(other, RATE)
    np.testing.assert_array_equal(one[: 2500 - AHEAD], two[: 2500 - AHEAD])


@pytest.mark.parametrize(("decibels", "lines"), [(-3, 0), (WARN_ABOVE - 0.1, 0), (WARN_ABOVE + 0.1, 1), (40, 1)])
def test_hard_work_is_told_once(decibels, lines, caplog):
    samples = CEILING * np.float32(10 ** (decibels / 20)) * np.sin(np.arange(200_000) / 10)
    limit(samples, RATE, "a\nb.wav")
    assert len(caplog.records) == lines
    if lines:
        assert caplog.messages == [f"a\\nb.wav: peaks lowered by up to {decibels:.1f} dB to prevent clipping"]
    caplog.clear()
    limit(samples, RATE)
    assert not caplog.records
