"""Online conversion of anyone's speech by a decoder (vc/models/recognition_synthesis.py), block by block.

Each block of frames is analysed within a window of past samples and a few future ones. The decoder sees as much of the
past as offline, the encoder, which may be a faster one, nearly; of the future both see the look-ahead only. The
vocoder's result is that of the whole log-mel (vc/vocoders/online.py), or nearly WORLD's (vc/live/online_world.py).
Statistics of the speaker and the level are those of the speech so far.
"""

import math
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

from vc.config import require
from vc.convert.converter import Converter
from vc.convert.level import speech_energy, usual_peak_gain
from vc.convert.source import FAINTEST, MEDIAN_WINDOW, SourceContent, VoicedSpeech
from vc.encoders import choice
from vc.encoders.base import Encoder
from vc.encoders.features import complete, content_of
from vc.errors import ConfigError
from vc.features import mel
from vc.features.base import Frames
from vc.features.content import ContentFeatures
from vc.features.f0 import (
    DEFAULT_F0,
    HIGHEST_F0,
    LOWEST_F0,
    WIDEST_RANGE,
    F0Options,
    F0Range,
    F0Statistics,
    F0Track,
    LogF0,
    clear_frames,
    loud_frames,
    map_f0,
)
from vc.features.world import WorldConfig
from vc.live.base import AbstractStream
from vc.live.delay import DecoderDelay
from vc.live.gate import Gate
from vc.live.online_world import OnlineWorld
from vc.live.settings import DECODER_DELAY, DECODER_METHODS, GATE, WORLD_DECODER_DELAY
from vc.vocoders.base import OnlineVocoder, Vocoder
from vc.vocoders.online import OnlineHiFiGAN
from vc.vocoders.world import WORLD

BLOCK = 0.093  # seconds converted at once: fewer cost more computing time, more cost more delay
CONTENT_PAST = 1.0  # seconds before a block from which its content is encoded
CONTENT_PRIOR = 2.0  # seconds, weight of the target's content statistics, for an unknown speaker
CONTENT_MEMORY = 60.0  # seconds of speech whose statistics of content are remembered
F0_PAST = 0.7  # seconds before a block in which F0 is tracked
LEVEL_MEMORY = 2.0  # seconds over which the levels of input and output are compared
LARGEST_GAIN = 20.0  # of the output
PEAK_MEMORY = 60.0  # seconds of voiced speech after which the remembered peak has halved
EXCESS = 2.0  # largest amplitude of a block's output, relative to its input


def live_encoder(encoder: Encoder) -> Encoder:
    """The encoder for live use of a model of `encoder`: `distilled` in place of `quantised`, whose vectors it imitates.

    Each block is encoded with a second of its past, which takes `quantised` nearly as long as the block lasts.
    """
    bundled = encoder.quantised and encoder.digest == choice.choose(choice.QUANTISED).digest
    return choice.choose(choice.DISTILLED, device=encoder.device) if bundled else encoder


def online_vocoder(vocoder: Vocoder, config: ContentFeatures) -> OnlineVocoder:
    """The online form of a model's vocoder, for features with these settings; ConfigError if there is none."""
    if vocoder is WORLD:
        return OnlineWorld(config)
    takes_log_mel = config.mel is not None
    require(takes_log_mel, f"live, only WORLD synthesises features of kind {config.kind}; leave out --vocoder")
    return OnlineHiFiGAN(vocoder)


class DecoderStream(AbstractStream):
    """Online conversion by a decoder.

    Parameters
    ----------
    converter : Converter
        The model, encoder and vocoder.
    to, source : str, optional
        Speakers, as for `vc.Converter`.
    delay : float, optional
        Delay from input to output in milliseconds. Default: DECODER_DELAY, or WORLD_DECODER_DELAY through
        WORLD; the shortest possible one, if that is longer.
    f0_options : F0Options
        Changes to F0.
    gate : float
        Threshold of the noise gate in dB of full scale; -inf: always open.
    f0_range : F0Range, optional
        Search range for F0. Default: the model's for a known source, otherwise estimated.

    Raises
    ------
    ConfigError
        A setting is invalid, or the model cannot be used live.
    """

    method, can_hurry = "decoder", False

    def __init__(
        self,
        converter: Converter,
        to: str | None = None,
        source: str | None = None,
        *,
        delay: float | None = None,
        f0_options: F0Options = DEFAULT_F0,
        gate: float = GATE,
        f0_range: F0Range | None = None,
    ):
        model = converter.model
        require(model.method in DECODER_METHODS, f"method {model.method} cannot run live by a decoder")
        self._reach = converter.network.reach
        self.source, self.target = converter.direction(to, source)
        self.f0_options, self.muted, self.passthrough = f0_options, False, False
        self._encoder = live_encoder(converter.encoder)
        self._converter, self._config = converter, complete(model.features, self._encoder)
        self._settings = {"delay": delay, "gate": gate}
        self._vocoder = online_vocoder(converter.vocoder, self._config)
        rate, self._hop = self._config.sample_rate, self._config.hop
        # Frames of a block: whole content frames, so that these are of the same samples in each window
        content_hop = max(1, round(self._config.frame_rate / self._config.content.frame_rate))
        self._block = content_hop * max(1, round(BLOCK * rate / self._hop / content_hop))
        self.sample_rate, self.step = rate, self._block * self._hop
        window_reach = math.ceil(self._config.margin / self._hop)  # frames after a block in its last window
        self.delay = DecoderDelay.of(
            delay,
            self._config,
            usual=WORLD_DECODER_DELAY if converter.vocoder is WORLD else DECODER_DELAY,
            block=self._block,
            lag=self._vocoder.lag,
            least=window_reach,
        )
        self._ahead = self.delay.look_ahead // self._hop  # frames
        # Frames before a block that are analysed
        self._f0_past = max(self._reach, round(F0_PAST * rate / self._hop))
        self._past = max(self._f0_past, self._vocoder.lag, round(CONTENT_PAST * rate / self._hop))
        self._past += -self._past % content_hop
        known = model.speakers.get(self.source)
        self._known, self._prior = known, model.speakers[self.target]
        # Statistics of another encoder's vectors are no more than a first guess.
        self._known_content = known.content if known and self._encoder is converter.encoder else None
        self._content_prior = (known or self._prior).content
        self._pitch = SourcePitch(known and known.f0_statistics, self._prior.log_f0, f0_range, self._config.world)
        self._silence = np.full(self._config.bands, np.log(mel.FLOOR))  # a frame
        self._gate = Gate(gate, self._config.frame_rate, self._ahead)
        self.reset()

    @classmethod
    def load(
        cls,
        path: str | Path,
        to: str | None = None,
        source: str | None = None,
        *,
        device: str = "cpu",
        vocoder: str | None = None,
        **settings: object,
    ) -> "DecoderStream":
        """Read a model, as `vc.Converter.load` does; other arguments as for `DecoderStream`."""
        converter = Converter.load(path, device, precision="auto", vocoder=vocoder)
        try:
            return cls(converter, to, source, **settings)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def reset(self) -> None:
        self._start(self._past * self._hop)
        for part in (self._pitch, self._gate, self._vocoder):
            part.reset()
        # Here rather than in the first block, which would take several times as long as others
        self._vocoder.begin(self._silence)
        self._content = SourceContent(
            self._known_content, self._content_prior, self._config, prior=CONTENT_PRIOR, memory=CONTENT_MEMORY
        )
        self._statistics = self._content_prior
        self._frame = 0  # the first of the next block
        self._open = deque([False] * self._vocoder.lag)  # whether the gate is, from the next frame to be output
        self._gated = 0  # frames that the gate has seen
        self._peak = 0.0  # of the voiced speech so far
        self._energies = np.zeros(2)  # of recent input and output
        self._gain = 1.0  # at the end of the last block

    def _between_speakers(self, source: str, target: str, f0_range: F0Range | None) -> "DecoderStream":
        settings = {**self._settings, "f0_options": self.f0_options, "f0_range": f0_range}
        return DecoderStream(self._converter, target, source, **settings)

    @property
    def _needed(self) -> int:
        return (self._frame + self._block + self._ahead) * self._hop

    def _next(self, hurry: bool) -> np.ndarray:
        hop, first, lag = self._hop, self._frame, self._vocoder.lag
        self._frame += self._block
        for frame in range(self._gated, self._frame + self._ahead):
            samples = self._between(frame * hop, (frame + 1) * hop)
            is_open = self._gate.push(float(samples @ samples) / hop)
            if frame >= self._ahead:
                self._open.append(is_open)
        self._gated = self._frame + self._ahead
        decoded = self._decode(first, learn=any([*self._open][-self._block :]))
        if not np.isfinite(decoded.spectrum).all():  # overflow in a bad model
            self.not_finite += decoded.spectrum.size
            decoded = replace(decoded, spectrum=np.tile(self._silence, (self._block, 1)))
        converted = self._vocoder.push(decoded).astype(np.float64)
        if not np.isfinite(converted).all():
            self.not_finite += len(converted)
            converted = np.zeros(len(converted))
            self._vocoder.reset()
            self._vocoder.begin(self._silence)
        original = self._between((first - lag) * hop, (self._frame - lag) * hop)
        converted = self._level(converted, original) * converted
        mixed = [
            self._mix(converted[start : start + hop], original[start : start + hop], self._open.popleft())
            for start in range(0, len(converted), hop)
        ]
        self._forget((self._frame - self._past) * hop)
        return np.concatenate(mixed)[max(0, lag - first) * hop :]

    def _decode(self, first: int, *, learn: bool) -> Frames:
        """The frames of the block from frame `first` on; with `learn`, the source's statistics are updated."""
        config, hop, last = self._config, self._hop, first + self._block + self._ahead
        window = self._between((first - self._past) * hop, last * hop).astype(np.float32)
        recent = window[(self._past - self._f0_past) * hop :]
        centred = recent[config.first_centre :].astype(np.float64)
        if learn:
            self._pitch.add(centred, self._f0_past + self._block, self._block)
        track = config.world.track_f0(centred, self._pitch.search)
        if learn:
            self._learn_peak(track, recent[self._f0_past * hop :])
        gain = usual_peak_gain(self._peak)
        content = content_of(gain * window, config, self._encoder)
        content = config.content_at_frames(content, self._past + last - first)[self._past - self._reach :]
        before, frames = self._f0_past - self._reach, self._reach + last - first  # of `recent`; of the decoder
        f0 = config.world.refine_f0(centred, track.f0, track.times)[before:][:frames]
        f0 = np.pad(f0, (0, frames - len(f0)))
        if config.mel is None:
            log_mel = mel.log_mel_of_envelope(config.world.cheaptrick(gain * centred, f0, before), config)
        else:
            log_mel = mel.analyse(gain * recent, config)[before:].astype(np.float64)
        block = slice(self._reach, self._reach + self._block)
        if learn and self._known_content is None:
            self._statistics = self._content.statistics(Frames(None, log_mel[block], None, content[block]))
        aperiodicity = None
        if self._vocoder.needs_excitation:
            aperiodicity = config.world.d4c(centred, f0[block], self._f0_past)
        f0 = map_f0(f0, self._pitch.log_f0, self._prior.log_f0, self.f0_options)
        decoded = self._converter.decode(content, log_mel, f0, self._statistics, self.target)
        return Frames(f0[block], decoded[block], aperiodicity)

    def _learn_peak(self, track: F0Track, samples: np.ndarray) -> None:
        """Learn the voice's peak from a block `(samples,)`, unless most of it is noise, which is not amplified."""
        clear = clear_frames(track, loud_frames(track.power, FAINTEST))[self._f0_past :][: self._block]
        if clear.mean() > 0.5:
            forgotten = 2 ** (-self.step / self.sample_rate / PEAK_MEMORY)
            self._peak = max(forgotten * self._peak, float(np.abs(samples).max()))

    def _level(self, converted: np.ndarray, original: np.ndarray) -> np.ndarray:
        """Gain `(samples,)` that gives the output the input's level over the last seconds.

        A decoder makes noise in pauses louder than it was, so no block is raised far above its own input. The gain
        changes within a hop, because a block in which speech begins needs it from there on.
        """
        energies = np.array([speech_energy(samples, self.sample_rate) for samples in (original, converted)])
        self._energies = self._energies * np.exp(-self.step / self.sample_rate / LEVEL_MEMORY) + energies
        before = self._gain
        if energies[1] > 0 and np.isfinite(self._energies).all():
            usual, now = (float(np.sqrt(pair[0] / pair[1])) for pair in (self._energies, energies))
            self._gain = min(usual, LARGEST_GAIN, EXCESS * now)
        weight = np.minimum((np.arange(len(converted)) + 1) / self._hop, 1)
        return before + (self._gain - before) * weight


class SourcePitch:
    """Search range and log-F0 statistics of a speaker, from the speech so far.

    They are those of whoever spoke last: hum, music or another voice before them is forgotten within seconds. For that,
    they are learnt in the widest range, in which a voice outside the range so far is not found an octave off; but what
    is converted is searched in the range so far, because in the widest one unvoiced frames are voiced more often.

    Parameters
    ----------
    known : F0Statistics or None
        Those of a speaker whom the model knows, which are kept.
    target : LogF0 or None
        The target's: until the speaker's voice has been heard, theirs is taken for the same, and its deviation remains
        a prior.
    search : F0Range or None
        Search range set by the user, which is kept.
    config : WorldConfig
        Settings of the analysis.

    Attributes
    ----------
    search : F0Range
        Where F0 is searched.
    log_f0 : LogF0 or None
        None for a speaker who whispers.
    """

    INITIAL_RANGE = F0Range(65.0, 500.0)  # in which nearly everybody speaks, until the voice has been heard
    OCTAVE_AFTER = 0.3  # seconds of clearly voiced frames that set the search range to an octave around their median
    RANGE_AFTER = 2.0  # seconds of clearly voiced frames that set it to their range
    PRIOR = 10.0  # seconds, weight of the target's deviation: that of a sentence is a poor estimate
    INTERVAL = 0.3  # seconds of speech that are learnt at once

    def __init__(self, known: F0Statistics | None, target: LogF0 | None, search: F0Range | None, config: WorldConfig):
        self._known, self._target, self._given, self._config = known, target, search, config
        self.reset()

    def reset(self) -> None:
        """Forget the voice."""
        self.search = self._given or (self._known and self._known.f0_range) or self.INITIAL_RANGE
        self.log_f0 = self._known.log_f0 if self._known else self._target
        self._speech = VoicedSpeech(self._config)
        self._new = 0  # frames that have not been learnt from

    def add(self, samples: np.ndarray, stop: int, frames: int) -> None:
        """Learn from speech: samples around the last `frames` frames before frame `stop` of theirs, which are new."""
        if self._known is not None or self._target is None:
            return
        self._new += frames
        rate = self._config.frame_rate
        if self._new < self.INTERVAL * rate:
            return
        track, _, clear = self._speech.track(samples, self._given or WIDEST_RANGE)
        new = slice(max(0, stop - self._new), stop)
        self._new = 0
        f0 = track.f0[new][clear[new]]
        if not len(f0):
            return
        self._speech.learn_level(track.power[clear])
        self._speech.add(f0)
        median = float(np.median(self._speech.f0[-round(MEDIAN_WINDOW * rate) :]))
        same = self._speech.of_voice(median)
        statistics, count, weight = F0Statistics.of(same), len(same), self.PRIOR * rate
        variance = weight * self._target.deviation**2 + count * statistics.log_f0.deviation**2
        self.log_f0 = LogF0(statistics.log_f0.mean, float(np.sqrt(variance / (weight + count))))
        if self._given is not None:
            return
        if count >= self.RANGE_AFTER * rate:
            self.search = statistics.f0_range
        elif count >= self.OCTAVE_AFTER * rate:
            self.search = F0Range(max(LOWEST_F0, median / 2), min(2 * median, HIGHEST_F0))
        else:
            self.search = self.INITIAL_RANGE
