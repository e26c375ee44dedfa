"""Split a long recording into overlapping pieces at quiet points, and join their conversions with cross-fades."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

SHORTEST = 0.5  # seconds; shorter recordings are padded with silence for analysis
LONGEST = 30.0  # seconds of a piece without its overlaps
SEARCH = 1 / 3  # final fraction of a piece in which to search for the quietest point
QUIET_WINDOW = 0.02  # seconds over which energy is measured for that
OVERLAP = 0.2  # seconds of context beyond a cut, so that pieces are converted as if the recording were whole
FADE = 0.02  # seconds of cross-fade at a cut


@dataclass(frozen=True)
class Piece:
    """Samples of a part of a recording, with overlaps at either end that belong to the neighbouring pieces."""

    samples: np.ndarray  # (samples,)
    before: int = 0  # samples of overlap with the previous piece
    after: int = 0  # samples of overlap with the next piece

    def without_overlap(self, samples: np.ndarray) -> np.ndarray:
        """Remove the overlaps from `samples`, which are as many as the piece's."""
        return samples[self.before : len(samples) - self.after]


def split(blocks: Iterable[np.ndarray], rate: int, longest: float = LONGEST) -> Iterator[Piece]:
    """Split a recording into pieces, each cut at the quietest point of its last third.

    Parameters
    ----------
    blocks : iterable of np.ndarray
        Shape `(samples,)` each, of any lengths.
    rate : int
        Sample rate in Hz.
    longest : float
        Longest piece in seconds, without its overlaps; the last may be longer by OVERLAP.

    Yields
    ------
    Piece
        Without overlaps, the pieces add up to the recording.
    """
    length, overlap, quiet = round(longest * rate), round(OVERLAP * rate), round(QUIET_WINDOW * rate)
    buffer, before = np.zeros(0, np.float32), 0
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while len(buffer) > before + length + overlap:
            piece = buffer[before : before + length]
            first = round((1 - SEARCH) * len(piece))
            energy = np.convolve(np.square(piece[first:], dtype=np.float64), np.ones(quiet), mode="valid")
            cut = before + first + quiet // 2 + int(np.argmin(energy))
            yield Piece(buffer[: cut + overlap], before, overlap)
            start = max(0, cut - overlap)
            buffer, before = buffer[start:], cut - start
    if len(buffer):
        yield Piece(buffer, before)


def cut_at(piece: Piece, points: Iterable[int], rate: int) -> list[tuple[Piece, int]]:
    """Split a piece at given points.

    Parameters
    ----------
    piece : Piece
        The piece to split.
    points : iterable of int
        Sample indices in the piece, ascending. Those too close to an overlap or to each other are ignored.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    list of (Piece, int)
        The parts, each with the number of `points` before it.
    """
    overlap, length = round(OVERLAP * rate), len(piece.samples)
    first, last = piece.before + overlap, length - piece.after - overlap
    cuts = []
    for number, point in enumerate(points, 1):
        if point < first:
            cuts = [(0, number)]  # the part before it belongs to the previous piece, or is too short
        elif point > last:
            break
        elif point - (cuts[-1][0] if cuts else 0) > 2 * overlap:
            cuts.append((point, number))
        else:
            cuts = [*cuts[:-1], (cuts[-1][0] if cuts else 0, number)]  # the part in between is too short
    cuts = cuts if cuts and cuts[0][0] == 0 else [(0, 0), *cuts]
    parts = []
    for (start, number), (stop, _) in zip(cuts, [*cuts[1:], (length, 0)]):
        before, after = (piece.before if start == 0 else overlap), (piece.after if stop == length else overlap)
        begin, end = (0 if start == 0 else start - overlap), (length if stop == length else stop + overlap)
        parts.append((Piece(piece.samples[begin:end], before, after), number))
    return parts


def join(pieces: Iterable[tuple[Piece, np.ndarray]], rate: int) -> Iterator[np.ndarray]:
    """Join converted pieces, with a cross-fade at each cut.

    Parameters
    ----------
    pieces : iterable of (Piece, np.ndarray)
        Each piece with its conversion, of the same length.
    rate : int
        Sample rate in Hz.

    Yields
    ------
    np.ndarray
        Shape `(samples,)`; as many samples in all as in the recording.
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
