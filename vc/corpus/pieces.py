"""A recording of any length cut into overlapping pieces where it is quiet, and their conversions joined again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SHORTEST = 0.5  # seconds; shorter recordings are lengthened by silence while they are analysed
LONGEST = 30.0  # seconds of a piece, without what it shares with its neighbours
SEARCH = 1 / 3  # of a piece, at its end, in which its quietest place is looked for
QUIET = 0.02  # seconds over which quietness is measured
OVERLAP = 0.2  # seconds that a piece goes on beyond its cuts, so that it is converted as if it were whole
FADE = 0.02  # seconds around a cut in which one conversion gives way to the next


@dataclass(frozen=True)
class Piece:
    """Samples of a recording, with an overlap at either end that belongs to its neighbour."""

    samples: np.ndarray  # (samples,)
    before: int = 0  # samples of the overlap with the piece before
    after: int = 0  # samples of the overlap with the piece after

    def without_overlap(self, samples: np.ndarray) -> np.ndarray:
        """`samples`, as many as the piece has, without those of the overlaps."""
        return samples[self.before : len(samples) - self.after]


def split(blocks: Iterable[np.ndarray], rate: int, longest: float = LONGEST) -> Iterator[Piece]:
    """Cut a recording into pieces, each at the quietest point of its last third.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Shape `(samples,)` each, of any lengths.
    rate : int
        Hz.
    longest : float
        Seconds of a piece without its overlaps, at most; the last may have OVERLAP more.

    Yields
    ------
    Piece
        Without overlaps they are the recording.
    """
    length, shared, quiet = round(longest * rate), round(OVERLAP * rate), round(QUIET * rate)
    waiting, before = np.zeros(0, np.float32), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) > before + length + shared:
            piece = waiting[before : before + length]
            first = round((1 - SEARCH) * len(piece))
            energy = np.convolve(np.square(piece[first:], dtype=np.float64), np.ones(quiet), mode="valid")
            cut = before + first + quiet // 2 + int(np.argmin(energy))
            yield Piece(waiting[: cut + shared], before, shared)
            start = max(0, cut - shared)
            waiting, before = waiting[start:], cut - start
    if len(waiting):
        yield Piece(waiting, before)


def cut_at(piece: Piece, places: Iterable[int], rate: int) -> list[tuple[Piece, int]]:
    """Cut a piece further.

    Parameters
    ----------
    piece : Piece
        To cut.
    places : iterable of int
        Samples of the piece, in ascending order. Those in an overlap, or too near to it or to each other, are left out.
    rate : int
        Hz.

    Returns
    -------
    list of (Piece, int)
        Parts, each with how many of `places` lie before it.
    """
    shared, length = round(OVERLAP * rate), len(piece.samples)
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


def join(pieces: Iterable[tuple[Piece, np.ndarray]], rate: int) -> Iterator[np.ndarray]:
    """Join converted pieces: around each cut one fades out while the next fades in.

    Parameters
    ----------
    pieces : iterable of (Piece, np.ndarray)
        Each with its conversion, as long as the piece.
    rate : int
        Hz.

    Yields
    ------
    np.ndarray
        Shape `(samples,)`; as many samples in all as the recording.
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
