"""Whose F0 a recording has: the speaker's that a model knows, or its own where somebody else plainly speaks.

It is judged by loud and clearly voiced frames, a second of them at a time, for as long as the recording goes on: what
comes before speech, hum, noise, music or another voice, does not decide how the speech is converted.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from vc.corpus import pieces
from vc.corpus.pieces import Piece
from vc.errors import escaped
from vc.features.base import FeatureConfig
from vc.features.f0 import (
    FEWEST_CLEAR,
    MAIN_LOBE,
    WHISPER,
    WIDEST_RANGE,
    F0Range,
    F0Statistics,
    F0Track,
    clear_frames,
    loud_frames,
    whispers,
)

JUDGED = 1.0  # seconds of clearly voiced frames whose median F0 says who speaks
CHANGED = 0.3  # seconds of them that a change of voice lasts at least
REMEMBERED = 60.0  # seconds of them from which another's range and statistics are taken
FAINTEST = 2e-7  # mean square, full scale being 1: below -67 dB nobody speaks
PAUSE = 10**-2.5  # of the loudest voice so far; a piece that is fainter is a pause, and says nothing of who speaks
MEDIAN_OF = 200  # values; more of them in a second tell no more
log = logging.getLogger(__name__)


class SourceVoice:
    """Judges a recording piece by piece, in their order.

    Parameters
    ----------
    known : Voice or None
        The voice of the source speaker; None: nobody is known, and each recording has its own.
    config : FeatureConfig
        Settings of the analysis.
    who : object
        The recording, for warnings.
    name : str
        The source speaker, for warnings; without a name nothing is said of a whisper whom nobody knows.
    search : F0Range, optional
        Where to look for F0, if a user gave it; it is then every voice's range.
    """

    def __init__(
        self,
        known: F0Statistics | None,
        config: FeatureConfig,
        *,
        who: object = "recording",
        name: str = "",
        search: F0Range | None = None,
    ):
        self.known, self.config, self.who, self.name, self.search = known, config, who, name, search
        self._voice = self._searched(known or F0Statistics(WIDEST_RANGE, None))
        self._recent = np.zeros(0)  # Hz, clearly voiced frames of the piece before
        self._others = np.zeros(0)  # Hz, clearly voiced frames of whoever is not known
        self._loudest = 0.0  # mean square of clearly voiced frames, in the piece in which they were loudest
        self._warned: set[str] = set()

    def judge(self, cut: Iterable[Piece]) -> Iterator[tuple[Piece, F0Statistics]]:
        """Pieces with the voice of each; a piece in which the voice changes is cut there."""
        rate = self.config.sample_rate
        for piece in cut:
            spans = self.spans(piece.samples)
            places = [round(start * rate / self.config.frame_rate) for start, _ in spans[1:]]
            for part, number in pieces.cut_at(piece, places, rate):
                yield part, spans[number][1]

    def spans(self, samples: np.ndarray) -> list[tuple[int, F0Statistics]]:
        """Frames from which on a voice speaks in `(samples,)`, the first 0, and the voice.

        Where too little is heard to tell, it is the voice of the piece before, at first the known one.
        """
        track, loud, clear = self._heard(samples, self.search or WIDEST_RANGE)
        if self.search is None and whispers(clear, loud, self.config.frame_rate):
            known = self.known and self.known.f0_range
            if known and not whispers(*self._heard(samples, known)[:0:-1], self.config.frame_rate):
                return [(0, self.known)]  # who is hidden by noise, but found where they are looked for
            if self.known is not WHISPER and self.name:
                hint = "an F0 range (--f0-range) finds one that noise hides"
                self._warn("whisper", f"without F0, as whispering is: converted without a melody; {hint}")
            return [(0, WHISPER)]
        places = np.flatnonzero(clear)
        if len(places) < FEWEST_CLEAR:
            return [(0, self._voice)]
        self._loudest = max(self._loudest, float(track.power[places].mean()))
        f0 = track.f0[places]
        if len(self._recent) + len(f0) < self._frames(CHANGED):
            self._recent = np.concatenate([self._recent, f0])
            return [(0, self._voice)]
        spans = []
        for run, is_known in self._runs(f0):
            start = 0
            if run.start:  # the quietest frame between the two voices
                between = track.power[places[run.start - 1] : places[run.start] + 1]
                start = int(places[run.start - 1] + np.argmin(between))
            spans.append((start, self._searched(self.known) if is_known else self._other(f0[run])))
        self._voice = spans[-1][1]
        self._recent = np.concatenate([self._recent, f0])[-self._frames(JUDGED) :]
        return spans

    def _heard(self, samples: np.ndarray, search: F0Range) -> tuple[F0Track, np.ndarray, np.ndarray]:
        """F0 in a range, the loud frames, and the clearly voiced ones among them."""
        track = self.config.track_f0(samples, search)
        loud = loud_frames(track.power, max(FAINTEST, PAUSE * self._loudest))
        return track, loud, clear_frames(track, loud)

    def _frames(self, seconds: float) -> int:
        return round(seconds * self.config.frame_rate)

    def _runs(self, f0: np.ndarray) -> list[tuple[slice, bool]]:
        """Stretches of clearly voiced `f0` in which the same one speaks, and whether it is the one who is known."""
        if self.known is None or self.known.f0_range is None:
            return [(slice(0, len(f0)), False)]
        step = max(1, self._frames(JUDGED) // MEDIAN_OF)
        values = np.concatenate([self._recent, f0])
        level = np.repeat(_running_median(values[::step], self._frames(JUDGED) // step), step)
        level = level[len(self._recent) : len(values)]
        inside = (level >= self.known.f0_range.floor) & (level <= self.known.f0_range.ceiling)
        bounds = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), len(f0)]
        runs = [slice(*pair) for pair in pairwise(bounds)]
        while len(runs) > 1 and min(run.stop - run.start for run in runs) < self._frames(CHANGED):
            shortest = min(range(len(runs)), key=lambda place: runs[place].stop - runs[place].start)
            joined = slice(max(0, shortest - 1), shortest + 2)  # its neighbours are of one kind
            runs[joined] = [slice(runs[joined][0].start, runs[joined][-1].stop)]
        return [(run, bool(inside[run].mean() >= 0.5)) for run in runs]

    def _other(self, f0: np.ndarray) -> F0Statistics:
        """The voice of a stretch in which somebody else speaks, from it and from what was heard of them before."""
        median = float(np.median(f0))
        self._others = np.concatenate([self._others, f0])[-self._frames(REMEMBERED) :]
        if self.known is not None:
            known = self.known.f0_range
            usual = f"speaks at {known.floor:.0f} to {known.ceiling:.0f} Hz" if known else "whispers"
            self._warn("other", f"F0 around {median:.0f} Hz, but {self.name} {usual}; its own F0 is used")
        same = np.abs(np.log2(self._others / median)) < min(MAIN_LOBE)
        return self._searched(F0Statistics.of(self._others[same]))

    def _searched(self, voice: F0Statistics) -> F0Statistics:
        return voice if self.search is None else F0Statistics(self.search, voice.log_f0)

    def _warn(self, kind: str, text: str) -> None:
        """Once a recording."""
        if kind not in self._warned:
            log.warning("%s: %s", escaped(self.who), text)
        self._warned.add(kind)


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Of the `width` values around each of `(values,)`, which are mirrored at their ends."""
    half = min(width // 2, len(values) - 1)
    padded = np.pad(values, half, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
