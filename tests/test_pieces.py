"""A recording as pieces, and their conversions joined: nothing is lost, and no cut is heard."""

import numpy as np
import pytest

from vc.corpus import pieces

RATE = 1000


def pieces_of(samples: np.ndarray, blocks: int = 9, longest: float = 10.0) -> list[pieces.Piece]:
    return list(pieces.split(np.array_split(samples, blocks), RATE, longest))


def join(made: list[pieces.Piece], change=np.array) -> np.ndarray:
    return np.concatenate(list(pieces.join(((piece, change(piece.samples)) for piece in made), RATE)))


@pytest.mark.parametrize("blocks", [1, 9, 1000])
@pytest.mark.parametrize("length", [1, 9_999, 10_000, 10_201, 35_000])
def test_pieces_joined_are_the_recording(length, blocks, random):
    samples = random.standard_normal(length).astype(np.float32)
    made = pieces_of(samples, blocks)
    np.testing.assert_allclose(join(made), samples, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([piece.without_overlap(piece.samples) for piece in made]), samples)


def test_pieces_are_no_longer_than_asked(random):
    made = pieces_of(random.standard_normal(95_000).astype(np.float32))
    assert len(made) >= 10 and max(len(piece.without_overlap(piece.samples)) for piece in made) <= 10_200
    assert all(piece.before == piece.after == 200 for piece in made[1:-1])


def test_cuts_are_where_it_is_quiet(random):
    samples = np.sign(random.standard_normal(25_000)).astype(np.float32)  # equally loud everywhere
    for second in (8, 16):
        samples[second * RATE : second * RATE + 100] *= 0.8  # a little quieter: no edge may look quieter still
    cuts = np.cumsum([len(piece.without_overlap(piece.samples)) for piece in pieces_of(samples)])[:2] / RATE
    assert 8 <= cuts[0] <= 8.1 and 16 <= cuts[1] <= 16.1


def test_a_cut_fades_from_one_conversion_to_the_next():
    made = pieces_of(np.ones(15_000, np.float32))  # cut at two thirds of 10,000 and of what is left
    levels = iter((1.0, 3.0))
    joined = join(made, lambda samples: samples * np.float32(next(levels)))
    assert np.abs(np.diff(joined)).max() < 2 / (pieces.FADE * RATE - 1)
    assert {1.0, 3.0} <= set(joined.tolist()) and (np.diff(joined) != 0).sum() <= pieces.FADE * RATE + 1
