"""A recording of any length as pieces that overlap, cut where it is quiet, and their conversions joined again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SHORTEST = 0.5  # seconds; shorter recordings are lengthened by silence while they are analysed
LONGEST = 30.0  # seconds of a piece, without what it shares with its neighbours
SEARCH = 1 / 3  # of a piece, at its end, in which its quietest place is looked for
QUIET = 0.02  # seconds over which quietness is measured
SHARED = 0.2  # seconds that a piece goes on beyond its cuts, so that it is converted as if it were whole
FADE = 0.02  # seconds around a cut in which one conversion gives way to the next


@dataclass(frozen=True)
class Piece:
    """Samples of a recording; at either end, some that belong to its neighbour."""

    samples: np.ndarray  # (samples,)
    before: int = 0  # samples of the piece before
    after: int = 0  # samples of the piece after

    def without_overlap(self, samples: np.ndarray) -> np.ndarray:
        """The part of `samples`, as long as the piece's, that belongs to no neighbour."""
        return samples[self.before : len(samples) - self.after]


def split(blocks: Iterable[np.ndarray], rate: int, longest: float = LONGEST) -> Iterator[Piece]:
    """Join blocks of samples at `rate` Hz into pieces cut at their quietest late place.

    No piece has more than `longest` seconds of its own, but the last, which may have SHARED more.
    """
    length, shared = round(longest * rate), round(SHARED * rate)
    waiting, before = np.zeros(0, np.float32), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) > before + length + shared:
            cut = before + _quietest(waiting[before : before + length], rate)
            yield Piece(waiting[: cut + shared], before, shared)
            start = max(0, cut - shared)
            waiting, before = waiting[start:], cut - start
    if len(waiting):
        yield Piece(waiting, before)


def cut_at(piece: Piece, places: Iterable[int], rate: int) -> list[tuple[Piece, int]]:
    """A piece cut further, at samples `places` in ascending order: parts, each with how many places lie before it.

    Places that lie outside the piece's own samples, or too near to their ends or each other, are left out.
    """
    shared, length = round(SHARED * rate), len(piece.samples)
    first, last = piece.before + shared, length - piece.after - shared
    cuts = []
    for number, place in enumerate(places, 1):
        if place < first:
            cuts = [(0, number)]  # what comes before it belongs to the piece before, or is too short
        elif place > last:
            break
        elif place - (cuts[-1][0] if cuts else 0) > 2 * shared:
            cuts.append((place, number))
        else:
            cuts = [*cuts[:-1], (cuts[-1][0] if cuts else 0, number)]  # what lies between is too short
    cuts = cuts if cuts and cuts[0][0] == 0 else [(0, 0), *cuts]
    parts = []
    for (start, number), (stop, _) in zip(cuts, [*cuts[1:], (length, 0)]):
        before, after = (piece.before if start == 0 else shared), (piece.after if stop == length else shared)
        begin, end = (0 if start == 0 else start - shared), (length if stop == length else stop + shared)
        parts.append((Piece(piece.samples[begin:end], before, after), number))
    return parts


def _quietest(samples: np.ndarray, rate: int) -> int:
    """Middle of the quietest QUIET seconds in the last SEARCH of `(samples,)`."""
    first, quiet = round((1 - SEARCH) * len(samples)), round(QUIET * rate)
    energy = np.square(samples[first:], dtype=np.float64)
    smooth = np.convolve(energy, np.ones(quiet), mode="valid")
    return first + quiet // 2 + int(np.argmin(smooth))


def join(pieces: Iterable[tuple[Piece, np.ndarray]], rate: int) -> Iterator[np.ndarray]:
    """Pieces with their conversions, each as long as its piece, to blocks that are as long as the whole recording.

    Around each cut the one before fades out while the next fades in.
    """
    half = round(FADE * rate / 2)
    ramp = ((np.arange(2 * half) + 0.5) / (2 * half)).astype(np.float32)
    fading = None
    for piece, converted in pieces:
        first = piece.before - half if piece.before else 0
        last = len(converted) - piece.after + half if piece.after else len(converted)
        block = converted[first:last].copy()
        if fading is not None:
            block[: 2 * half] = fading * (1 - ramp) + block[: 2 * half] * ramp
        if piece.after:
            fading, block = block[-2 * half :], block[: -2 * half]
        yield block
