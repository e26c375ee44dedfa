"""Statistics of a recording's speaker, piece by piece: F0 range and statistics, and content statistics.

If the model knows the source speaker, their F0 statistics are used, except where somebody else is clearly speaking, for
whom statistics are estimated. This is decided from loud and clearly voiced frames, in windows of one second throughout
the recording, so that what precedes speech (hum, noise, music, another voice) does not affect how it is converted.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
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
    decibels,
    loud_frames,
    whispers,
)
from vc.features.speech import DYNAMIC_RANGE, LOUD_QUANTILE, loudness
from vc.features.world import WorldConfig

MEDIAN_WINDOW = 1.0  # seconds of clearly voiced frames whose median F0 identifies the speaker
SHORTEST_TURN = 0.3  # seconds of clearly voiced frames before a change of speaker is accepted
MEMORY = 60.0  # seconds of clearly voiced frames that an unknown speaker's statistics are estimated from
FAINTEST = 2e-7  # mean square (full scale is 1): there is no speech below -67 dB
PAUSE = 10**-2.5  # of the power of the loudest speech so far; quieter pieces do not identify a speaker
MEDIAN_OF = 200  # values; more in one second do not improve the median
PRIOR = 0.5  # seconds, weight of the target's content statistics as a prior
log = logging.getLogger(__name__)


class VoicedSpeech:
    """Clearly voiced frames of the pieces so far, from which an unknown speaker's F0 statistics are estimated.

    Parameters
    ----------
    config : FeatureConfig or WorldConfig
        Settings of the analysis.

    Attributes
    ----------
    f0 : np.ndarray
        Hz, shape `(frames,)`: the last MEMORY seconds of what was added.
    """

    def __init__(self, config: FeatureConfig | WorldConfig):
        self.config = config
        self.f0 = np.zeros(0)
        self._loudest = 0.0  # mean square of clearly voiced frames in the loudest piece so far

    def track(self, samples: np.ndarray, search: F0Range) -> tuple[F0Track, np.ndarray, np.ndarray]:
        """F0 track in a search range, and masks of the loud frames and of the clearly voiced ones among them."""
        track = self.config.track_f0(samples, search)
        loud = loud_frames(track.power, max(FAINTEST, PAUSE * self._loudest))
        return track, loud, clear_frames(track, loud)

    @property
    def level(self) -> float | None:
        """Level, as in F0Statistics, of the loudest piece so far; None before the first."""
        return decibels(np.array(self._loudest)) if self._loudest > 0 else None

    def learn_level_of(self, samples: np.ndarray) -> None:
        """Learn how loud the speech is from the samples `(samples,)` of a piece."""
        track, _, clear = self.track(samples, WIDEST_RANGE)
        if clear.sum() >= FEWEST_CLEAR:
            self.learn_level(track.power[clear])

    def learn_level(self, power: np.ndarray) -> None:
        """Learn how loud the speech is from the power `(frames,)` of a piece's clearly voiced frames."""
        self._loudest = max(self._loudest, float(power.mean()))

    def add(self, f0: np.ndarray) -> None:
        """Remember `(frames,)` in Hz."""
        self.f0 = np.concatenate([self.f0, f0])[-round(MEMORY * self.config.frame_rate) :]

    def of_voice(self, median: float) -> np.ndarray:
        """Remembered F0 that may be of the voice with a median in Hz; not that of hum, music or most other voices."""
        return self.f0[np.abs(np.log2(self.f0 / median)) < min(MAIN_LOBE)]


class SourceVoice:
    """Identifies the speaker in the pieces of one recording, which must come in order.

    Parameters
    ----------
    known : F0Statistics or None
        F0 statistics of the source speaker; None for a speaker unknown to the model.
    config : FeatureConfig
        Settings of the analysis.
    recording : object
        The recording's name in warnings.
    name : str, optional
        The source speaker's name in warnings.
    search : F0Range, optional
        Search range for F0 set by the user, which is used for every speaker.
    warn_whispers : bool
        Whether to warn of pieces without F0.
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
        self._recent = np.zeros(0)  # Hz, clearly voiced frames of the previous piece
        self._speech = VoicedSpeech(config)  # its F0 is of speakers other than the known one
        self._warned: set[str] = set()

    @property
    def level(self) -> float | None:
        """Level of the speech so far, as `VoicedSpeech.level`."""
        return self._speech.level

    def with_voices(self, parts: Iterable[Piece]) -> Iterator[tuple[Piece, F0Statistics]]:
        """Pieces with their speakers' F0 statistics; a piece in which the speaker changes is split there."""
        rate = self.config.sample_rate
        for piece in parts:
            spans = self.spans(piece.samples)
            positions = [round(start * rate / self.config.frame_rate) for start, _ in spans[1:]]
            for part, number in pieces.cut_at(piece, positions, rate):
                yield part, spans[number][1]

    def spans(self, samples: np.ndarray) -> list[tuple[int, F0Statistics]]:
        """The speakers in `(samples,)`: first frame (0 for the first speaker) and F0 statistics of each.

        A piece with too little voiced speech gets the speaker of the previous piece, or at first the known speaker.
        """
        track, loud, clear = self._speech.track(samples, self.search or WIDEST_RANGE)
        if self.search is None and whispers(clear, loud, self.config.frame_rate):
            known_range = self.known and self.known.f0_range
            if known_range and not whispers(*self._speech.track(samples, known_range)[:0:-1], self.config.frame_rate):
                return [(0, self.known)]  # in noise, F0 may be found in the speaker's range but not in the widest one
            if self.known is not WHISPER and self.warn_whispers:
                hint = "in noise, an F0 range (--f0-range) may help to find it"
                self._warn("whisper", f"no F0 found, as in whispering; converted as unvoiced; {hint}")
            return [(0, WHISPER)]
        numbers = np.flatnonzero(clear)
        if len(numbers) < FEWEST_CLEAR:
            return [(0, self._voice)]
        self._speech.learn_level(track.power[numbers])
        f0 = track.f0[numbers]
        if len(self._recent) + len(f0) < self._frames(SHORTEST_TURN):
            self._recent = np.concatenate([self._recent, f0])
            return [(0, self._voice)]
        spans = []
        for run, is_known in self._runs(f0):
            start = 0
            if run.start:  # the quietest frame between the two speakers
                between = track.power[numbers[run.start - 1] : numbers[run.start] + 1]
                start = int(numbers[run.start - 1] + np.argmin(between))
            spans.append((start, self._in_search_range(self.known) if is_known else self._unknown_voice(f0[run])))
        self._voice = spans[-1][1]
        self._recent = np.concatenate([self._recent, f0])[-self._frames(MEDIAN_WINDOW) :]
        return spans

    def _frames(self, seconds: float) -> int:
        return round(seconds * self.config.frame_rate)

    def _runs(self, f0: np.ndarray) -> list[tuple[slice, bool]]:
        """Split clearly voiced `f0` by speaker: slices, and whether each is the known speaker."""
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
        while len(runs) > 1 and min(run.stop - run.start for run in runs) < self._frames(SHORTEST_TURN):
            shortest = min(range(len(runs)), key=lambda number: runs[number].stop - runs[number].start)
            joined = slice(max(0, shortest - 1), shortest + 2)  # with its neighbours, which are of the same kind
            runs[joined] = [slice(runs[joined][0].start, runs[joined][-1].stop)]
        return [(run, bool(inside[run].mean() >= 0.5)) for run in runs]

    def _unknown_voice(self, f0: np.ndarray) -> F0Statistics:
        """F0 statistics of a speaker who is not the known one, from `f0` and similar earlier frames."""
        median = float(np.median(f0))
        self._speech.add(f0)
        if self.known is not None:
            known = self.known.f0_range
            usual = f"speaks at {known.floor:.0f} to {known.ceiling:.0f} Hz" if known else "whispers"
            self._warn("other", f"F0 around {median:.0f} Hz, but {self.name} {usual}; its own F0 is used")
        return self._in_search_range(F0Statistics.of(self._speech.of_voice(median)))

    def _in_search_range(self, voice: F0Statistics) -> F0Statistics:
        return voice if self.search is None else replace(voice, f0_range=self.search)

    def _warn(self, kind: str, text: str) -> None:
        """Warn once per recording."""
        if kind not in self._warned:
            log.warning("%s: %s", escaped(self.recording), text)
        self._warned.add(kind)


class SourceContent:
    """Content statistics of a recording's speaker; its pieces must come in order.

    Parameters
    ----------
    known : ContentStatistics or None
        Statistics of the source speaker; None for a speaker unknown to the model: estimated from the recording.
    target : ContentStatistics
        Statistics of the target, the prior of that estimate.
    config : ContentFeatures
        Settings of the analysis.
    prior : float
        Weight of the prior in seconds.
    memory : float
        Seconds of speech that are remembered; earlier ones are forgotten little by little.
    """

    def __init__(
        self,
        known: ContentStatistics | None,
        target: ContentStatistics,
        config: FeatureConfig,
        *,
        prior: float = PRIOR,
        memory: float = np.inf,
    ):
        self.known, self.target, self.config, self.prior, self.memory = known, target, config, prior, memory
        self._meter = ContentMeter()
        self._loudest = -np.inf  # dB, of a piece's loud frames

    def statistics(self, frames: Frames) -> ContentStatistics:
        """Statistics of the recording up to and including the piece with these frames."""
        if self.known is not None:
            return self.known
        level = loudness(self.config.to_mel_cepstrum(frames.spectrum))
        loud = float(np.quantile(level, LOUD_QUANTILE))
        if loud > self._loudest + DYNAMIC_RANGE:  # all earlier pieces were pauses
            self._meter = ContentMeter(self.target, self.prior * self.config.frame_rate)
        self._loudest = max(self._loudest, loud)
        self._meter.forget(self.memory * self.config.frame_rate)
        speech = level > self._loudest - DYNAMIC_RANGE
        self._meter.add(frames.content, frames.spectrum, speech)
        self._loudest -= DYNAMIC_RANGE * speech.sum() / (self.memory * self.config.frame_rate)  # it may be of a knock
        return self._meter.statistics()
