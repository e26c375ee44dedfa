"""What a recording tells of its speaker, piece by piece: F0 range and statistics, and the statistics of content.

A model may know the speaker. F0 is then theirs, unless somebody else plainly speaks, who has statistics of their own.
Whether that is so is decided by loud and clearly voiced frames, a second of them at a time, throughout the recording:
what comes before speech (hum, noise, music, another voice) does not decide how the speech is converted.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from vc.corpus import pieces
from vc.corpus.pieces import Piece
from vc.errors import escaped
from vc.features.base import FeatureConfig, Frames
from vc.features.content import ContentMeter, ContentStatistics
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
from vc.features.speech import DYNAMIC_RANGE, LOUD_QUANTILE, loudness

MEDIAN_WINDOW = 1.0  # seconds of clearly voiced frames whose median F0 identifies the speaker
CHANGED = 0.3  # seconds of them that a change of voice lasts at least
REMEMBERED = 60.0  # seconds of them from which range and statistics of an unknown voice are taken
FAINTEST = 2e-7  # mean square, full scale being 1: below -67 dB there is no speech
PAUSE = 10**-2.5  # of the loudest voice so far; a fainter piece is a pause, and does not identify its speaker
MEDIAN_OF = 200  # values; more of them in a second give no better median
LIKELY = 0.5  # seconds of frames that the target's statistics of content count for at the start
log = logging.getLogger(__name__)


class SourceVoice:
    """The voice of each piece of one recording; the pieces come in their order.

    Parameters
    ----------
    known : F0Statistics or None
        The voice of the source speaker; None for a speaker whom the model does not know.
    config : FeatureConfig
        Settings of the analysis.
    recording : object
        Its name, for warnings.
    name : str, optional
        The source speaker's, for warnings.
    search : F0Range, optional
        Hz in which to search for F0, if a user chose it; it is then every voice's range.
    warn_whispers : bool
        Whether to warn of a piece without F0.
    """

    def __init__(
        self,
        known: F0Statistics | None,
        config: FeatureConfig,
        *,
        recording: object = "recording",
        name: str | None = None,
        search: F0Range | None = None,
        warn_whispers: bool = True,
    ):
        self.known, self.config, self.search = known, config, search
        self.recording, self.name, self.warn_whispers = recording, name, warn_whispers
        self._voice = self._in_search_range(known or F0Statistics(WIDEST_RANGE, None))
        self._recent = np.zeros(0)  # Hz, clearly voiced frames of the piece before
        self._unknown = np.zeros(0)  # Hz, clearly voiced frames of speakers that are not the known one
        self._loudest = 0.0  # mean square of clearly voiced frames, in the piece in which they were loudest
        self._warned: set[str] = set()

    def with_voices(self, cut: Iterable[Piece]) -> Iterator[tuple[Piece, F0Statistics]]:
        """Pieces with the voice of each; a piece in which the voice changes is cut there."""
        rate = self.config.sample_rate
        for piece in cut:
            spans = self.spans(piece.samples)
            positions = [round(start * rate / self.config.frame_rate) for start, _ in spans[1:]]
            for part, number in pieces.cut_at(piece, positions, rate):
                yield part, spans[number][1]

    def spans(self, samples: np.ndarray) -> list[tuple[int, F0Statistics]]:
        """The voices in `(samples,)`, each with the frame from which on it speaks; the first frame is 0.

        A piece with too little voiced speech has the voice of the piece before; at first that is the known one.
        """
        track, loud, clear = self._voiced(samples, self.search or WIDEST_RANGE)
        if self.search is None and whispers(clear, loud, self.config.frame_rate):
            known_range = self.known and self.known.f0_range
            if known_range and not whispers(*self._voiced(samples, known_range)[:0:-1], self.config.frame_rate):
                return [(0, self.known)]  # noise hides F0 from a wide search, not from one in the speaker's range
            if self.known is not WHISPER and self.warn_whispers:
                hint = "an F0 range (--f0-range) finds one that noise hides"
                self._warn("whisper", f"without F0, as whispering is: converted without a melody; {hint}")
            return [(0, WHISPER)]
        numbers = np.flatnonzero(clear)
        if len(numbers) < FEWEST_CLEAR:
            return [(0, self._voice)]
        self._loudest = max(self._loudest, float(track.power[numbers].mean()))
        f0 = track.f0[numbers]
        if len(self._recent) + len(f0) < self._frames(CHANGED):
            self._recent = np.concatenate([self._recent, f0])
            return [(0, self._voice)]
        spans = []
        for run, is_known in self._runs(f0):
            start = 0
            if run.start:  # the quietest frame between the two voices
                between = track.power[numbers[run.start - 1] : numbers[run.start] + 1]
                start = int(numbers[run.start - 1] + np.argmin(between))
            spans.append((start, self._in_search_range(self.known) if is_known else self._unknown_voice(f0[run])))
        self._voice = spans[-1][1]
        self._recent = np.concatenate([self._recent, f0])[-self._frames(MEDIAN_WINDOW) :]
        return spans

    def _voiced(self, samples: np.ndarray, search: F0Range) -> tuple[F0Track, np.ndarray, np.ndarray]:
        """F0 in a range, the loud frames, and the clearly voiced ones among them."""
        track = self.config.track_f0(samples, search)
        loud = loud_frames(track.power, max(FAINTEST, PAUSE * self._loudest))
        return track, loud, clear_frames(track, loud)

    def _frames(self, seconds: float) -> int:
        return round(seconds * self.config.frame_rate)

    def _runs(self, f0: np.ndarray) -> list[tuple[slice, bool]]:
        """Stretches of clearly voiced `f0` of one speaker each, and whether that is the known one."""
        if self.known is None or self.known.f0_range is None:
            return [(slice(0, len(f0)), False)]
        step = max(1, self._frames(MEDIAN_WINDOW) // MEDIAN_OF)
        values = np.concatenate([self._recent, f0])
        thinned = values[::step]
        half = min(self._frames(MEDIAN_WINDOW) // step // 2, len(thinned) - 1)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(thinned, half, mode="reflect"), 2 * half + 1)
        level = np.repeat(np.median(windows, axis=1), step)[len(self._recent) : len(values)]
        inside = (level >= self.known.f0_range.floor) & (level <= self.known.f0_range.ceiling)
        bounds = [0, *(np.flatnonzero(np.diff(inside)) + 1).tolist(), len(f0)]
        runs = [slice(*pair) for pair in pairwise(bounds)]
        while len(runs) > 1 and min(run.stop - run.start for run in runs) < self._frames(CHANGED):
            shortest = min(range(len(runs)), key=lambda number: runs[number].stop - runs[number].start)
            joined = slice(max(0, shortest - 1), shortest + 2)  # its neighbours are of one kind
            runs[joined] = [slice(runs[joined][0].start, runs[joined][-1].stop)]
        return [(run, bool(inside[run].mean() >= 0.5)) for run in runs]

    def _unknown_voice(self, f0: np.ndarray) -> F0Statistics:
        """The voice of a stretch that is not the known speaker's, from it and from like stretches before."""
        median = float(np.median(f0))
        self._unknown = np.concatenate([self._unknown, f0])[-self._frames(REMEMBERED) :]
        if self.known is not None:
            known = self.known.f0_range
            usual = f"speaks at {known.floor:.0f} to {known.ceiling:.0f} Hz" if known else "whispers"
            self._warn("other", f"F0 around {median:.0f} Hz, but {self.name} {usual}; its own F0 is used")
        same = np.abs(np.log2(self._unknown / median)) < min(MAIN_LOBE)
        return self._in_search_range(F0Statistics.of(self._unknown[same]))

    def _in_search_range(self, voice: F0Statistics) -> F0Statistics:
        return voice if self.search is None else F0Statistics(self.search, voice.log_f0)

    def _warn(self, kind: str, text: str) -> None:
        """Once a recording."""
        if kind not in self._warned:
            log.warning("%s: %s", escaped(self.recording), text)
        self._warned.add(kind)


class SourceContent:
    """Statistics of the speaker's content, piece by piece in their order.

    Parameters
    ----------
    known : ContentStatistics or None
        The source's; None for a speaker whom the model does not know: the recording's own are gathered.
    target : ContentStatistics
        The target's, a prior for what is gathered.
    config : ContentFeatures
        Settings of the analysis.
    """

    def __init__(self, known: ContentStatistics | None, target: ContentStatistics, config: FeatureConfig):
        self.known, self.target, self.config = known, target, config
        self._meter = ContentMeter()
        self._loudest = -np.inf  # dB, of a piece's loud frames

    def statistics(self, frames: Frames) -> ContentStatistics:
        """Of the recording up to the end of the piece that has these frames."""
        if self.known is not None:
            return self.known
        level = loudness(self.config.to_mel_cepstrum(frames.spectrum))
        loud = float(np.quantile(level, LOUD_QUANTILE))
        if loud > self._loudest + DYNAMIC_RANGE:  # what came before was a pause
            self._meter = ContentMeter(self.target, LIKELY * self.config.frame_rate)
        self._loudest = max(self._loudest, loud)
        self._meter.add(frames.content, frames.spectrum, level > self._loudest - DYNAMIC_RANGE)
        return self._meter.statistics()
