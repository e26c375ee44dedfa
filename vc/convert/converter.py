"""Convert recordings with a trained model, from waveform to waveform."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch

from vc import devices, model_file
from vc.config import AnyPath, require, require_known, require_type
from vc.convert.level import Level, speech_energy, training_level_gain, usual_level_gain, vocoder_gain
from vc.convert.source import SourceContent, SourceVoice, VoicedSpeech
from vc.corpus import audio, pieces
from vc.corpus.limiter import limit, limit_blocks
from vc.corpus.pieces import SHORTEST, Piece
from vc.encoders.base import Encoder
from vc.encoders.features import content_of, encoder_of
from vc.errors import ConfigError, DataError, shorten, suggestion
from vc.features.base import FeatureConfig, Frames
from vc.features.content import ContentStatistics, normalise_content, prosody, standard_loudness
from vc.features.f0 import DEFAULT_F0, F0Options, F0Range, F0Statistics, LogF0, map_f0
from vc.features.speakers import Speaker
from vc.models.base import AbstractConverter, AbstractDecoder, FrameMap
from vc.models.linear import MeanVarianceConfig, MeanVarianceConverter
from vc.parallel import map_ahead
from vc.vocoders import choice, differential
from vc.vocoders.base import Vocoder
from vc.vocoders.world import WORLD

METHODS = ("world", "diff")
LAYOUT = torch.channels_last  # memory format of the weights, the fastest for batches of one on a CPU


@dataclass(frozen=True)
class ConversionOptions:
    """Options of a conversion, independent of the speakers.

    Attributes
    ----------
    f0 : F0Options
        Changes to F0 in addition to the mapping to the target's.
    method : str
        `world`: analysis and synthesis; `diff`: filters the recording by the spectral difference and keeps its F0.
    f0_range : F0Range, optional
        Search range for F0. Default: estimated from each recording.

    Raises
    ------
    ConfigError
        There is no such method, or it cannot change F0 as `f0` asks.
    """

    f0: F0Options = DEFAULT_F0
    method: str = "world"
    f0_range: F0Range | None = None

    def __post_init__(self) -> None:
        require_type(F0Options, f0=self.f0)
        require_type(F0Range | None, f0_range=self.f0_range)
        require_known("method", self.method, METHODS)
        self.f0.check_method(self.method)


DEFAULT_OPTIONS = ConversionOptions()


@dataclass(frozen=True)
class SourcePiece:
    """A piece of a recording and statistics of its speaker."""

    piece: Piece
    voice: F0Statistics
    gain: float = 1.0  # before the analysis, only for a model that converts frames
    frames: Frames | None = None  # with content, only for a decoder
    statistics: ContentStatistics | None = None  # of the speaker's content, only for a decoder


def _with_level(parts: Iterable[Piece], settings: FeatureConfig, speaker: Speaker) -> Iterator[SourcePiece]:
    """Pieces of a known speaker, whose F0 is not needed, each with the gain for its recording so far."""
    speech = VoicedSpeech(settings)
    for piece in parts:
        speech.learn_level_of(piece.samples)
        yield SourcePiece(piece, speaker.f0_statistics, gain=training_level_gain(speech.level, speaker.level))


class Overflow(DataError):
    """The output of a model is not finite."""


def check_blocks(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks `(samples,)` of a stream as they come; DataError for another shape or samples not finite."""
    for number, block in enumerate(blocks):
        if np.ndim(block) != 1:
            raise DataError(f"block {number} of the stream: expected shape (samples,), got {np.shape(block)}")
        audio.require_floating_point(np.asarray(block), f"block {number} of the stream")
        if not np.isfinite(block).all():
            raise DataError(f"block {number} of the stream: holds samples that are not finite")
        yield block


class Converter:
    """Converts recordings to a speaker of a model; thread-safe.

    Parameters
    ----------
    model : Model
        The model's description, from its file.
    network : AbstractConverter or AbstractDecoder
        The model's network.
    device : torch.device or str
        Device of the network.
    precision : str
        Precision of the network's forward pass, one of devices.PRECISIONS.
    vocoder : Vocoder
        A vocoder for the model's features.
    encoder : Encoder, optional
        Content encoder of a decoder. Default: the one that the model's features name.

    Attributes
    ----------
    sample_rate : int
        Sample rate of the output in Hz.
    speakers : tuple of str
        Ids of the model's speakers; for a pair, the source comes first.
    decodes : bool
        Whether the model converts any speaker to its own, rather than only between its own.
    """

    def __init__(
        self,
        model: model_file.Model,
        network: AbstractConverter | AbstractDecoder,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        *,
        vocoder: Vocoder = WORLD,
        encoder: Encoder | None = None,
    ):
        self.model, self.network, self.vocoder = model, network.to(device).eval(), vocoder
        self.device, self.precision = torch.device(device), precision
        self.path: Path | None = None  # of the model's file, for messages
        self.decodes = isinstance(network, AbstractDecoder)
        self.encoder = encoder or (encoder_of(model.features) if self.decodes else None)

    @classmethod
    def load(
        cls, path: AnyPath, device: str = "cpu", *, precision: str = "float32", vocoder: AnyPath | None = None
    ) -> "Converter":
        """Read a model.

        Parameters
        ----------
        path : str or Path
            A model file, an experiment directory, or the name of a model that comes with the package.
        device : str
            `cpu`, `cuda`, or `auto` for a GPU if there is one.
        precision : str
            Precision of the networks' forward passes, one of devices.PRECISIONS; WORLD always computes in float64.
            Whether a GPU may use TF32 is a setting of the whole process, so the last call decides.
        vocoder : str or path, optional
            A name or path, as in vc/vocoders/choice.py. Default: the usual one for the model's features.

        Returns
        -------
        Converter

        Raises
        ------
        ConfigError
            The file is not a model, or the device, precision or vocoder cannot be used with it.
        """
        require_type(AnyPath, path=path)
        require_type(AnyPath | None, vocoder=vocoder)
        torch_device = devices.choose(device)
        devices.set_precision(precision, torch_device)
        model, network, encoder = model_file.read_network(Path(path), torch_device)
        network.to(memory_format=LAYOUT)
        if vocoder is None:
            synthesiser = choice.usual(model.features, torch_device, precision)
        else:
            synthesiser = choice.choose(os.fspath(vocoder), torch_device, precision)
        synthesiser.check_features(model.features)
        converter = cls(model, network, torch_device, precision, vocoder=synthesiser, encoder=encoder)
        converter.path = Path(path)
        return converter

    @property
    def sample_rate(self) -> int:
        return self.model.features.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.model.speakers)

    def mean_variance(self) -> "Converter":
        """A converter that only matches means and variances, for the same speakers: the anchor of an evaluation.

        Raises
        ------
        ConfigError
            The model is a decoder, which has no statistics of a source.
        """
        require(not self.decodes, f"method {self.model.method} has no means and variances of a source")
        network = MeanVarianceConverter(MeanVarianceConfig(), self.model.features.bands, self.speakers)
        return Converter(self.model, network, self.device, self.precision, vocoder=self.vocoder)

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str | None, str]:
        """Resolve the source and target of a conversion.

        Parameters
        ----------
        to, source : str, optional
            Target and source, by id or name. Default for a pair: the second speaker is the target, the other the
            source. A decoder needs no source, and a target only if it has more than two speakers.

        Returns
        -------
        source : str or None
            Speaker id; None for a speaker unknown to the model.
        target : str
            Speaker id.

        Raises
        ------
        ConfigError
            A speaker is unknown or missing, or both are the same.
        """
        if not self.decodes:
            return self.model.direction(to, source)
        require_type(str | None, to=to, source=source)
        to, source = self.model.speaker_id(to), self.model.speaker_id(source)
        require(to is not None or len(self.speakers) <= 2, f"name the target (--to); {self.model.there_are()}")
        others = [name for name in self.speakers if name != source]
        target = to or (others or self.speakers)[-1]
        self.model.require_speaker(target)
        if source is not None and source not in self.speakers:
            hint = suggestion(self.model.speaker_names, source)
            raise ConfigError(f"the model does not know {source!r}: leave the source (--from) out{hint}")
        require(source != target, f"source and target are both {target!r}")
        return source, target

    def check(self, options: ConversionOptions) -> None:
        """Raise ConfigError for options that this model or its vocoder does not support."""
        require_type(ConversionOptions, options=options)
        method = options.method
        if method != "world":
            require(self.model.features.cepstral, f"method {method} needs a model of mel-cepstra")
            require(self.vocoder is WORLD, f"method {method} uses no vocoder")
        elif not self._uses_f0:
            reason = "this vocoder takes F0 from the model's log-mel"
            require(options.f0 == DEFAULT_F0, f"F0 cannot be changed: {reason}")
            require(options.f0_range is None, f"an F0 range has no effect: {reason}")

    @property
    def _uses_f0(self) -> bool:
        """Whether conversion by `world` uses the recording's F0."""
        return self.decodes or self.vocoder.needs_excitation(self.model.features)

    def convert(
        self,
        samples: np.ndarray,
        sample_rate: int,
        to: str | None = None,
        source: str | None = None,
        *,
        options: ConversionOptions = DEFAULT_OPTIONS,
    ) -> np.ndarray:
        """Convert a recording in memory; a long one is converted in pieces.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)` or `(samples, channels)`, finite, not empty; full scale is 1.
        sample_rate : int
            Sample rate of `samples` in Hz.
        to, source : str, optional
            Speakers, as for `direction`.
        options : ConversionOptions
            Changes to F0, method, F0 range.

        Returns
        -------
        np.ndarray
            Shape `(samples,)`, float32, at `self.sample_rate`; as long and as loud as the input, and within -1..1:
            peaks that would clip are limited (vc/corpus/limiter.py), with a warning if they are lowered a lot.

        Raises
        ------
        ConfigError
            The speakers or options do not fit the model.
        DataError
            The samples cannot be converted, or the model's output is not finite.
        """
        if isinstance(samples, AnyPath):
            raise ConfigError(f"samples: expected an array, got {samples!r}; convert_file converts files")
        require_type(Real, sample_rate=sample_rate)
        try:
            samples = np.asarray(samples)
            samples = samples.astype(np.float32) if samples.dtype == object else samples
        except ValueError:
            raise DataError("expected samples (samples,) or (samples, channels), got rows of unequal lengths") from None
        except (TypeError, RuntimeError) as error:  # such as tensors on a GPU or with gradients
            raise DataError(f"samples: {shorten(error)}") from error
        audio.require_floating_point(samples, "samples")
        samples = samples.astype(np.float32, copy=False)
        if samples.ndim not in (1, 2) or samples.size == 0 or not np.isfinite(samples).all():
            raise DataError(f"expected finite samples (samples,) or (samples, channels), got shape {samples.shape}")
        if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
            raise DataError(f"expected (samples, channels), got shape {samples.shape}: give samples.T")
        samples = audio.mix_down(samples) if samples.ndim == 2 else samples
        level, blocks = Level(), [audio.resample(samples, sample_rate, self.sample_rate)]
        converted = self._convert_blocks(blocks, to, source, options, level=level, recording="samples")
        converted = np.concatenate([np.zeros(0, np.float32), *converted])
        return limit(level.gain("samples") * converted, self.sample_rate, "samples")

    def convert_stream(
        self,
        blocks: Iterable[np.ndarray],
        to: str | None = None,
        source: str | None = None,
        *,
        longest: float = 2.0,
        options: ConversionOptions = DEFAULT_OPTIONS,
    ) -> Iterator[np.ndarray]:
        """Convert blocks of samples as they arrive.

        The output lags the input by at most `longest` seconds, plus 0.4 s for the overlap of pieces, 5 ms for the
        limiter's look-ahead, the current block and the computing time.

        Parameters
        ----------
        blocks : iterable of np.ndarray
            Each of shape `(samples,)`, at `self.sample_rate`; full scale is 1.
        to, source : str, optional
            Speakers, as for `direction`.
        longest : float
            Longest piece in seconds, at least SHORTEST.
        options : ConversionOptions
            Changes to F0, method, F0 range.

        Yields
        ------
        np.ndarray
            Shape `(samples,)`, float32; as many samples in all as in `blocks`. The loudness follows the input so far.
            Peaks that would clip are limited, with a warning at the end if they were lowered a lot.

        Raises
        ------
        ConfigError, DataError
            As for `convert`.
        """
        require_type(Iterable, blocks=blocks)
        require_type(Real, longest=longest)
        in_range = SHORTEST <= longest < np.inf
        require(in_range, f"longest must be {SHORTEST} s or more, and finite, got {longest}")
        level = Level()
        blocks = check_blocks(blocks)
        converted = self._convert_blocks(blocks, to, source, options, level=level, recording="stream", longest=longest)

        def scaled() -> Iterator[np.ndarray]:
            gain = None
            for block in converted:
                before, gain = gain, level.gain()
                yield np.linspace(gain if before is None else before, gain, len(block), dtype=np.float32) * block

        yield from limit_blocks(scaled(), self.sample_rate, "stream")

    def convert_file(
        self,
        path: str | Path,
        output: str | Path,
        to: str | None = None,
        source: str | None = None,
        *,
        options: ConversionOptions = DEFAULT_OPTIONS,
        jobs: int = 1,
        advance: Callable[[float], None] | None = None,
    ) -> None:
        """Convert a recording to a mono 16-bit WAV, which is written atomically.

        Memory is bounded: converted pieces are buffered on disk until the gain of the whole recording is known.

        Parameters
        ----------
        path : str or Path
            The recording; `-` is standard input.
        output : str or Path
            The file to write, whose folder is created if missing; `-` is standard output. Peaks that would clip are
            limited, with a warning if they are lowered a lot.
        to, source : str, optional
            Speakers, as for `direction`.
        options : ConversionOptions
            Changes to F0, method, F0 range.
        jobs : int
            Number of threads for the pieces of a long recording.
        advance : callable, optional
            Called with the fraction of the recording, 0..1, that has been read so far.

        Raises
        ------
        ConfigError, DataError
            As for `convert`; ConfigError also if `output` is `path`, DataError for a file that cannot be read or
            written.
        """
        require_type(AnyPath, path=path, output=output)
        require_type(Integral, jobs=jobs)
        require(jobs >= 1, f"jobs must be 1 or more, got {jobs}")
        audio.check_output(output, path)
        level, blocks = Level(), audio.blocks(path, self.sample_rate, advance=advance)
        converted = self._convert_blocks(blocks, to, source, options, level=level, recording=path, jobs=jobs)
        try:
            audio.write_scaled(output, converted, self.sample_rate, lambda: level.gain(path), path)
        except Overflow as error:
            raise DataError(f"{path}: {error}") from error

    def _convert_blocks(
        self,
        blocks: Iterable[np.ndarray],
        to: str | None,
        source: str | None,
        options: ConversionOptions,
        *,
        level: Level,
        recording: object,
        longest: float = pieces.LONGEST,
        jobs: int = 1,
    ) -> Iterator[np.ndarray]:
        """Convert blocks at the model's rate to as many samples, and measure both in `level`."""
        self.check(options)
        source, target = self.direction(to, source)
        known, settings = self.model.speakers.get(source), self.model.features
        search = options.f0_range or (known.f0_range if known and known.f0_range_given else None)
        parts = pieces.split(blocks, self.sample_rate, longest)
        if options.method == "diff" or self._uses_f0:
            voice = SourceVoice(
                known and known.f0_statistics, settings, recording=recording, name=source, search=search
            )
            usual = None if self.decodes else known.level
            inputs = (
                SourcePiece(*pair, gain=training_level_gain(voice.level, usual)) for pair in voice.with_voices(parts)
            )
        else:
            inputs = _with_level(parts, settings, known)
        if self.decodes:
            content = SourceContent(known and known.content, self.model.speakers[target].content, settings)
            inputs = (self._with_content(piece, content) for piece in inputs)

        def convert(piece: SourcePiece) -> np.ndarray:
            return self._convert_piece(piece, source, target, options)

        def converted_pieces() -> Iterator[tuple[Piece, np.ndarray]]:
            for source_piece, converted in map_ahead(convert, inputs, jobs):
                piece = source_piece.piece
                level.add(piece.without_overlap(piece.samples), piece.without_overlap(converted), self.sample_rate)
                yield piece, converted

        yield from pieces.join(converted_pieces(), self.sample_rate)

    def _with_content(self, source: SourcePiece, content: SourceContent) -> SourcePiece:
        """Add frames, content and the speaker's content statistics to a piece."""
        settings = self.model.features
        samples = source.piece.samples
        samples = self._pad(usual_level_gain(samples) * samples)
        excited = self.vocoder.needs_excitation(settings)
        frames = settings.analyse(samples, source.voice.f0_range, excitation=excited)
        vectors = content_of(samples, settings, self.encoder)
        frames = replace(frames, content=settings.content_at_frames(vectors, len(frames.spectrum)))
        return replace(source, frames=frames, statistics=content.statistics(frames))

    def _pad(self, samples: np.ndarray) -> np.ndarray:
        """Pad a very short recording with silence."""
        return audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))

    def _convert_piece(
        self, piece: SourcePiece, source: str | None, target: str, options: ConversionOptions
    ) -> np.ndarray:
        """Convert a piece: analysis, model, synthesis."""
        voice, settings, speaker = piece.voice, self.model.features, self.model.speakers[target]
        samples = piece.piece.samples
        padded = self._pad(samples)
        if self.decodes:
            frames = piece.frames
            source_f0, target_f0, voiced = voice.log_f0, speaker.log_f0, frames.f0[frames.f0 > 0]
            if source_f0 is None and voice.f0_range is not None and len(voiced):  # too short for a speaker's statistics
                source_f0 = LogF0.of(voiced)
            if source is None and source_f0 and target_f0:  # one recording gives the mean of F0, but not its deviation
                source_f0 = replace(source_f0, deviation=target_f0.deviation)
            f0 = map_f0(frames.f0, source_f0, target_f0, options.f0)
            spectrum = self.decode(frames.content, frames.spectrum, f0, piece.statistics, target)
            self._refuse_overflow(spectrum)
            converted = self.vocoder.synthesise(Frames(f0, spectrum, frames.aperiodicity), settings)
            # A decoder turns whatever is loudest in a piece into speech, so restore the pieces' relative levels.
            before, after = speech_energy(padded, self.sample_rate), speech_energy(converted, self.sample_rate)
            converted = np.sqrt(before / after if after > 0 else 0.0) * converted
        elif options.method == "diff":
            _, mel_cepstrum = settings.extract(piece.gain * padded, voice.f0_range)
            spectrum = self.convert_frames(mel_cepstrum, source, target)
            self._refuse_overflow(spectrum)
            spectrum = settings.restore_power(spectrum, mel_cepstrum)
            converted = differential.filter_samples(padded, spectrum - mel_cepstrum, settings)
        else:
            excited = self.vocoder.needs_excitation(settings)
            gain = piece.gain * vocoder_gain(self.vocoder.native_rate, piece.gain * padded)
            frames = settings.analyse(gain * padded, voice.f0_range, excitation=excited)
            spectrum = self.convert_frames(frames.spectrum, source, target)
            self._refuse_overflow(spectrum)
            spectrum = settings.restore_power(spectrum, frames.spectrum)
            f0 = map_f0(frames.f0, voice.log_f0, speaker.log_f0, options.f0) if excited else None
            converted = self.vocoder.synthesise(Frames(f0, spectrum, frames.aperiodicity), settings) / gain
        self._refuse_overflow(converted)
        return audio.fit_length(converted.astype(np.float32), len(samples))

    def _refuse_overflow(self, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise Overflow(f"the output of the model {self.path or 'in use'} is not finite")

    def resynthesise(self, content: np.ndarray, f0: np.ndarray, log_mel: np.ndarray, speaker: str) -> np.ndarray:
        """Decode a recording of one of a decoder's speakers from its own content and prosody (copy synthesis).

        Parameters
        ----------
        content : np.ndarray
            Shape `(content frames, dims)`.
        f0 : np.ndarray
            Shape `(frames,)`, Hz, 0 where unvoiced.
        log_mel : np.ndarray
            Shape `(frames, bands)`; only its loudness is used.
        speaker : str
            Speaker id.

        Returns
        -------
        np.ndarray
            Log-mel, shape `(frames, bands)`, float64.
        """
        content = self.model.features.content_at_frames(content, len(log_mel))
        return self.decode(content, log_mel, f0, self.model.speakers[speaker].content, speaker)

    @torch.inference_mode()
    def decode(
        self, content: np.ndarray, log_mel: np.ndarray, f0: np.ndarray, source: ContentStatistics, target: str
    ) -> np.ndarray:
        """Decode a target's log-mel from a source's content and loudness.

        Parameters
        ----------
        content : np.ndarray
            The source's content at the log-mel frames, shape `(frames, dims)`.
        log_mel : np.ndarray
            The source's log-mel, shape `(frames, bands)`; only its loudness is used.
        f0 : np.ndarray
            The target's F0, shape `(frames,)`, Hz, 0 where unvoiced.
        source : ContentStatistics
            The source's.
        target : str
            Speaker id.

        Returns
        -------
        np.ndarray
            Shape `(frames, bands)`, float64.
        """
        speaker, settings = self.model.speakers[target], self.model.features
        arrays = (
            normalise_content(content, source, speaker.content),
            prosody(f0, standard_loudness(log_mel, source), speaker.log_f0, settings),
        )
        inputs = (torch.from_numpy(array.astype(np.float32).T[None]).to(self.device) for array in arrays)
        with devices.autocast(self.precision, self.device):
            decoded = self.network.decode(*inputs, target)
        return speaker.normaliser.inverse(decoded[0].T.double().cpu().numpy())

    @torch.inference_mode()
    def convert_frames(self, frames: np.ndarray, source: str, target: str) -> np.ndarray:
        """Convert features, without analysis and synthesis.

        Parameters
        ----------
        frames : np.ndarray
            The source's frames, shape `(frames, bands)`.
        source, target : str
            Speaker ids.

        Returns
        -------
        np.ndarray
            The target's frames, same shape, float64; c0 of mel-cepstra is kept from the source.
        """
        inputs = torch.from_numpy(np.asarray(frames, np.float64)).to(self.device)
        with devices.autocast(self.precision, self.device):
            return self.frame_map(source, target)(inputs).cpu().numpy()

    def frame_map(self, source: str, target: str) -> FrameMap:
        """The network of one direction, including both speakers' normalisation."""
        normalisers = tuple(self.model.speakers[name].normaliser for name in (source, target))
        return FrameMap(
            self.network, (source, target), normalisers, self.device, unconverted=self.model.features.unconverted_bands
        )
