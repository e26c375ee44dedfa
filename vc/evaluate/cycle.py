"""Whether a model's way there and back hides information that nobody hears.

A cycle-consistent network may write what it needs for the way back into details of the converted features, as images
do (Chu, Zhmoginov and Sandler, "CycleGAN, a master of steganography", NIPS workshop 2017): the cycle then closes
although the content is gone. Such a code does not survive noise, which an honest way back leaves as small as it was.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vc.corpus.data_directory import Utterance
from vc.evaluate.anchors import Direction
from vc.metrics import audible

SENTENCES = 8  # spread over all
NOISE = 0.1  # deviations of the target's features
SEED = 0


class Cycle(NamedTuple):
    """There and back over the source's speech frames, c1..D in his deviations."""

    error: float  # root mean square of what comes back less what was given
    gain: float  # how much larger small noise has become on the way back; 1: as large as it was


def measure_cycle(utterances: Sequence[Utterance], direction: Direction) -> Cycle | None:
    """Take some of the source's utterances there and back; None of a model that has no way back."""
    from vc.convert.converter import Converter

    if not direction.maps:
        return None
    converter = Converter.load(direction.model, vocoder="world")
    if len(converter.speakers) != 2:
        return None
    random = np.random.default_rng(SEED)
    places = np.unique(np.linspace(0, len(utterances) - 1, min(SENTENCES, len(utterances))).round().astype(int))
    squares = np.array([_there_and_back(converter, utterances[place], direction, random) for place in places])
    error, noise = np.sqrt(squares.mean(axis=0))
    return Cycle(float(error), float(noise / NOISE))


def _there_and_back(
    converter: "vc.convert.converter.Converter",  # noqa: F821 - not light
    utterance: Utterance,
    direction: Direction,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Mean squares of the error, and of what noise has become."""
    pair = direction.source, direction.target
    source, target = (converter.model.speakers[name] for name in pair)
    samples, _ = utterance.read(converter.sample_rate)
    config = converter.model.features
    _, given = config.extract(samples, source.f0_range)
    there = converter.convert_frames(given, *pair)
    noise = NOISE * random.standard_normal(there.shape) * target.normaliser.deviation_
    noise[:, : config.unconverted_bands] = 0  # c0 is the source's on either way
    back, disturbed = (converter.convert_frames(frames, *pair[::-1]) for frames in (there, there + noise))
    heard, unit = audible(config.to_mel_cepstrum(given)), source.normaliser.deviation_[config.unconverted_bands :]
    error, moved = (
        (one - other)[heard, config.unconverted_bands :] / unit for one, other in ((back, given), (disturbed, back))
    )
    return float(np.square(error).mean()), float(np.square(moved).mean())
