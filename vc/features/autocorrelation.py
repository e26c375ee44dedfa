"""F0 by normalised cross-correlation: peaks over the lag are candidates, and the best path through them is the F0.

The correlation is RAPT's (Talkin, "A robust algorithm for pitch tracking", in Speech Coding and Synthesis, Elsevier
1995), of two stretches of the waveform one lag apart. Differs from RAPT: the two lie evenly around the frame's time
and last in proportion to the lag, so that a high voice keeps its onsets and a low one its periods; and there is one
pass, for a lag's running sums give every frame at once. The path is that of Boersma, "Accurate short-term analysis of
the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", Proc. Inst. Phonetic Sciences 17,
Amsterdam 1993: an unvoiced candidate of fixed strength, costs for leaps and for changes of voicing. Ours is, too, that
frames no louder than a recording's quietest are a pause, in which hum or music is no voice. What the numbers below do
to the errors was measured: recipes/EXPERIMENTS.md, 2026-11-22 and 2026-11-26. A steady pure tone above the range, a
whistle, repeats itself at its subharmonics too, and is taken for one of them.
"""

from dataclasses import dataclass

import numpy as np

from vc import audio

RATE = 8000  # Hz, of the search: a higher one hears more noise, a lower one has few lags in a high voice's period
SMOOTHING = (0.25, 0.5, 0.25)  # half the amplitude at 2 kHz, so that a parabola fits a correlation's peak
PERIODS = 2.0  # lags that a stretch lasts
SHORTEST = 0.015  # seconds, of a stretch
FAINT = 3e-4  # power, of the loud samples', at which a frame's correlation is lowered by 3 dB
CANDIDATES = 4  # of a frame, beside the unvoiced one
OCTAVE = 0.02  # strength gained an octave up: a period and its multiples correlate alike, and the period shall win
UNVOICED = 0.30  # strength of the unvoiced candidate
LEAP = 0.5  # cost of an octave between frames 10 ms apart
SWITCH = 0.25  # cost of a change of voicing between frames 10 ms apart
BLOCK = 2048  # frames worked on at once: memory depends on it, results do not
NONE = -9.0  # strength of a candidate that is none
QUIETEST = 5.0  # % of the frames, whose power is that of what sounds in pauses, too: noise, hum
ABOVE_QUIETEST = 4.0  # times that power: frames below it are a pause, and none of them is voiced
DIGITAL_SILENCE = 1e-8  # of the loud samples' power; what is fainter is digital silence, and tells of no pause
PAUSE = 10**-1.8  # of the loud samples' power; a louder frame is no pause
POWER_WINDOW = 0.025  # seconds over which a frame's power is taken, or twice the longest period
TINY = np.finfo(float).tiny  # so that digital silence correlates 0


@dataclass(frozen=True)
class PitchTrack:
    """The F0 of a recording, and how far to believe it; frames are at the times at which WORLD sets them."""

    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced
    times: np.ndarray  # (frames,) seconds
    periodicity: np.ndarray  # (frames,) normalised correlation at the F0's period, in -1..1; 0 where unvoiced
    power: np.ndarray  # (frames,) mean square of the samples around, below 2 kHz or so


def track(samples: np.ndarray, rate: int, floor: float, ceiling: float, frame_shift: float) -> PitchTrack:
    """F0 by the best path through the peaks of the correlation.

    F0 is a mean over three periods or more; StoneMask, given it, finds the frequency at the frame itself.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`, of any level and offset.
    rate : int
        Hz, of the samples.
    floor, ceiling : float
        Hz, between which F0 is looked for.
    frame_shift : float
        Milliseconds.
    """
    times = frame_times(len(samples), rate, frame_shift)
    centred = np.pad(samples - samples.mean(dtype=np.float64), (0, rate // RATE))  # a single sample leaves one, too
    band = _band(audio.resample(centred.astype(np.float32), rate, RATE).astype(np.float64), floor)
    power = np.square(band)
    loud = power[power >= power.mean()].mean()
    faint = FAINT * loud
    lags = np.arange(int(RATE / ceiling) - 1, int(RATE / floor) + 3)
    blocks = [times[start : start + BLOCK] for start in range(0, len(times), BLOCK)]
    candidates = [peaks(_correlations(band, block, lags, faint), lags, floor, ceiling) for block in blocks]
    f0, strength = (np.concatenate(parts) for parts in zip(*candidates))
    path = np.arange(len(f0)), _best_path(f0, strength, 10 / frame_shift)
    f0, strength = f0[path], strength[path]
    powers = _powers(power, times, max(POWER_WINDOW, 2 / floor))
    sounding = powers[powers > DIGITAL_SILENCE * loud]
    quietest = np.percentile(sounding, QUIETEST) if len(sounding) else 0.0
    f0 = np.where(powers < min(ABOVE_QUIETEST * quietest, PAUSE * loud), 0.0, f0)
    voiced = f0 > 0
    octaves = np.log2(f0, out=np.zeros_like(f0), where=voiced) - np.log2(floor)
    periodicity = np.where(voiced, strength - OCTAVE * octaves, 0.0)
    return PitchTrack(f0, times, periodicity, powers)


def estimate_f0(
    samples: np.ndarray, rate: int, floor: float, ceiling: float, frame_shift: float
) -> tuple[np.ndarray, np.ndarray]:
    """F0 `(frames,)` in Hz, 0 where unvoiced, and the frames' times `(frames,)` in seconds, as `track` finds them."""
    found = track(samples, rate, floor, ceiling, frame_shift)
    return found.f0, found.times


def frame_times(samples: int, rate: int, frame_shift: float) -> np.ndarray:
    """`(frames,)` seconds: where WORLD sets the frames of so many samples at `rate` Hz, every `frame_shift` ms."""
    return np.arange(int(1000.0 * samples / rate / frame_shift) + 1) * frame_shift / 1000


def _powers(power: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    """`(frames,)`: means of squared samples at RATE over `window` seconds around each time, with zeros at the ends."""
    half = round(window * RATE / 2)
    centres = np.round(times * RATE).astype(int)
    sums = _sums(power)
    ends = [np.clip(centres + side, 0, len(power)) for side in (-half, half)]
    return (sums[ends[1]] - sums[ends[0]]) / (2 * half)


def _band(samples: np.ndarray, floor: float) -> np.ndarray:
    """`(samples,)` at RATE without what drifts (a running mean over the longest period is taken off) nor hisses."""
    width = round(RATE / floor)
    return _filtered(samples - _filtered(samples, np.full(width, 1 / width)), np.array(SMOOTHING))


def _filtered(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`(samples,)` filtered by a response centred on each of them."""
    return np.convolve(samples, response)[len(response) // 2 :][: len(samples)]


def _correlations(samples: np.ndarray, times: np.ndarray, lags: np.ndarray, faint: float) -> np.ndarray:
    """`(frames, lags)` in -1..1: how alike two stretches around each time are that lie a lag apart."""
    widths = np.maximum(round(SHORTEST * RATE), (PERIODS * lags).astype(int))
    reach = (lags[-1] + widths[-1]) // 2 + 1
    centres = np.round(times * RATE).astype(int)
    first, last = centres[0] - reach, centres[-1] + reach + 1
    piece = np.pad(samples[max(0, first) : last], (max(0, -first), max(0, last - len(samples))))
    centres -= first
    energies = _sums(np.square(piece))
    correlations = np.empty((len(times), len(lags)))
    for column, (lag, width) in enumerate(zip(lags, widths)):
        starts = centres - (lag + width) // 2
        products = _sums(piece[:-lag] * piece[lag:])
        energy = energies[starts + width] - energies[starts]
        energy_later = energies[starts + lag + width] - energies[starts + lag]
        scale = np.sqrt(np.abs(energy * energy_later) + (faint * width) ** 2)
        correlations[:, column] = (products[starts + width] - products[starts]) / (scale + TINY)
    return correlations


def _sums(values: np.ndarray) -> np.ndarray:
    """`(n + 1,)`: running sums of `(n,)` from 0 on."""
    return np.concatenate([[0.0], np.cumsum(values)])


def peaks(
    correlations: np.ndarray, lags: np.ndarray, floor: float, ceiling: float, rate: float = RATE
) -> tuple[np.ndarray, np.ndarray]:
    """F0 in Hz and strength of the highest peaks of each frame, each `(frames, candidates + 1)`; last the unvoiced.

    Correlations are `(frames, lags)`, of samples at `rate` Hz.
    """
    before, middle, after = correlations[:, :-2], correlations[:, 1:-1], correlations[:, 2:]
    highest = (middle > before) & (middle >= after)
    curvature = np.where(highest, before - 2 * middle + after, -1.0)
    shift = np.where(highest, 0.5 * (before - after) / curvature, 0.0)  # of the parabola through the three
    f0 = rate / (lags[1:-1] + shift)
    strength = middle - 0.25 * (before - after) * shift + OCTAVE * np.log2(f0 / floor)
    strength = np.where(highest & (f0 >= floor) & (f0 <= ceiling), strength, NONE)
    count = min(CANDIDATES, f0.shape[1])
    best = np.argpartition(-strength, count - 1, axis=1)[:, :count]
    rows = np.arange(len(best))[:, None]
    candidates, gains = np.zeros((len(best), count + 1)), np.full((len(best), count + 1), UNVOICED)
    candidates[:, :count], gains[:, :count] = f0[rows, best], strength[rows, best]
    return candidates, gains


def _best_path(f0: np.ndarray, strength: np.ndarray, pace: float) -> np.ndarray:
    """`(frames,)` candidate of each frame on the path of greatest strength less `pace` times its costs (Viterbi)."""
    totals, came_from = strength[0], []
    for start in range(1, len(f0), BLOCK):
        stop = min(start + BLOCK, len(f0))
        costs = pace * costs_of_moves(f0[start - 1 : stop - 1], f0[start:stop])
        heads = np.empty((stop - start, len(totals)))
        for frame, (cost, gain) in enumerate(zip(costs, strength[start:stop])):
            heads[frame] = totals
            totals = (totals - cost).max(axis=1) + gain
        came_from += (heads[:, None, :] - costs).argmax(axis=2).tolist()
    path = [int(totals.argmax())]
    for choices in reversed(came_from):
        path.append(choices[path[-1]])
    return np.array(path[::-1])


def costs_of_moves(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`(frames, candidates after, candidates before)`: cost of going from one candidate to another in 10 ms."""
    octaves = [np.log2(np.where(f0 > 0, f0, 1.0)) for f0 in (before, after)]
    leap = LEAP * np.abs(octaves[1][:, :, None] - octaves[0][:, None, :])
    voiced = [f0 > 0 for f0 in (before, after)]
    same = voiced[1][:, :, None] == voiced[0][:, None, :]
    return np.where(same, leap, SWITCH)
