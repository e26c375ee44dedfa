"""Recordings of any length analysed a window at a time: memory follows the window, frames lie where the whole's lie."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vc.corpus import audio
from vc.corpus.data_directory import Utterance
from vc.errors import DataError
from vc.features import kinds, pitch
from vc.features.autocorrelation import PitchTrack
from vc.features.content import ContentFeatures
from vc.features.kinds import FeatureConfig
from vc.features.world import F0Range

LONGEST = 30.0  # seconds of a recording that is analysed as a whole, as it is converted
OWN = 15.0  # seconds of a window that belong to no other; the last one has up to twice as many
SHARED = 1.0  # seconds that a window reaches into either neighbour


@dataclass(frozen=True)
class Window:
    """A part of an utterance, or all of it."""

    utterance: Utterance
    number: int = 0  # from 0
    last: bool = True  # of the utterance

    @property
    def whole(self) -> bool:
        return self.last and self.number == 0

    def samples(self, rate: int, first: float, count: float, shared: float) -> np.ndarray:
        """`(samples,)` at `rate` Hz of seconds `first` to `first + count` of the utterance, with `shared` at both ends.

        The last window goes on to the utterance's end, the first begins at its start.
        """
        part = self.utterance
        if not self.whole:
            start = part.start or 0.0
            end = part.end if self.last else start + first + count + shared
            part = replace(part, start=start + first - (shared if self.number else 0.0), end=end)
        samples, own = part.read()
        return audio.resample(samples, own, rate)


def claims_to_be_long(utterance: Utterance) -> bool:
    """Whether an utterance is analysed in windows, if it is as long as its recording's header says."""
    start, end = utterance.start or 0.0, np.inf if utterance.end is None else utterance.end
    if end - start <= LONGEST:
        return False
    try:
        return min(audio.info(utterance.path).seconds, end) - start > LONGEST
    except DataError:  # which its analysis will raise, too
        return False


def windows_of(utterance: Utterance) -> list[Window]:
    """The windows of an utterance; a long one is read once, for headers may claim more than there is."""
    if not claims_to_be_long(utterance):
        return [Window(utterance)]
    start, end = utterance.start or 0.0, np.inf if utterance.end is None else utterance.end
    seconds = min(audio.count(utterance.path) / audio.info(utterance.path).sample_rate, end) - start
    count = int(seconds // OWN) if seconds > LONGEST else 1
    return [Window(utterance, number, number == count - 1) for number in range(count)]


def track(window: Window, config: FeatureConfig, search: F0Range) -> dict[str, np.ndarray]:
    """What the first pass finds of F0 in a window's own frames: the arrays of a PitchTrack."""
    own = _Own(window, config.frame_rate)
    found = vars(pitch.first_pass(own.samples(config.sample_rate), config, search))
    arrays = {name: values[own.frames] for name, values in found.items()}
    return {**arrays, "times": arrays["times"] + own.begin}


def features(window: Window, config: FeatureConfig, f0_range: F0Range | None) -> dict[str, np.ndarray]:
    """What methods learn from in a window's own frames, and a digest of the samples that it was made of."""
    own = _Own(window, config.frame_rate)
    samples = own.samples(config.sample_rate)
    f0, frames = (values[own.frames] for values in kinds.extract(samples, config, f0_range))
    if not np.isfinite(frames).all():
        raise DataError(f"{window.utterance.path}: its spectrum is not finite")
    digest = np.frombuffer(hashlib.sha256(samples.tobytes()).digest(), np.uint8)
    arrays = {"frames": frames.astype(np.float32), "f0": f0.astype(np.float32), "samples": digest}
    if isinstance(config, ContentFeatures):
        from vc.encoders.features import content_of, encoder_of

        own = _Own(window, config.content.frame_rate)
        samples = samples if window.whole else own.samples(config.sample_rate)
        arrays["content"] = content_of(samples, config, encoder_of(config))[own.frames]
    return arrays


def valid(arrays: Mapping[str, np.ndarray], config: FeatureConfig, *, first_pass: bool) -> bool:
    """Whether arrays that a file gave are such as `track` makes, which is the first pass, or `features`."""
    found = {name: array.shape for name, array in arrays.items()}
    frames, content = found.get("f0", ())[:1], found.get("content", ())[:1]
    if first_pass:
        shapes = dict.fromkeys(PitchTrack.__dataclass_fields__, frames)
    else:
        shapes = {"frames": (*frames, config.bands), "f0": frames, "samples": (hashlib.sha256().digest_size,)}
        if isinstance(config, ContentFeatures):
            shapes["content"] = (*content, config.content.dims)
    return found == shapes and all(array.size and np.isfinite(array).all() for array in arrays.values())


class _Own:
    """Which frames of a window are its own, at a rate of frames a second."""

    def __init__(self, window: Window, frame_rate: float):
        self.window, self.frame_rate = window, frame_rate
        first, after = (round(number * OWN * frame_rate) for number in (window.number, window.number + 1))
        self.first, self.count, self.shared = first, after - first, round(SHARED * frame_rate)
        self.before = self.shared if window.number else 0
        self.frames = slice(self.before, None if window.last else self.before + self.count)

    @property
    def begin(self) -> float:
        """Seconds of the utterance before the first sample."""
        return (self.first - self.before) / self.frame_rate

    def samples(self, rate: int) -> np.ndarray:
        return self.window.samples(rate, *(n / self.frame_rate for n in (self.first, self.count, self.shared)))
