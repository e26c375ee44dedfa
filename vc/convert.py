"""wav -> wav: the whole conversion."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vc import audio, devices, model_file, pieces
from vc.config import require
from vc.encoders import choice as encoders
from vc.encoders.base import Encoder
from vc.encoders.features import completed, content_of, encoder_of
from vc.errors import ConfigError, DataError, shortened
from vc.features import kinds, pitch, world
from vc.features.content import ContentStatistics, prosody, standard_loudness
from vc.features.pitch import AS_MAPPED, LogF0, Melody, Voice
from vc.features.world import F0Range, Frames
from vc.level import Level, speech_energy, to_usual_level
from vc.limiter import limit, limit_blocks
from vc.models import network, network_config
from vc.models.base import AbstractConverter, AbstractDecoder, FrameMap
from vc.models.mean_variance import MeanVarianceConfig, MeanVarianceConverter
from vc.parallel import ahead
from vc.pieces import SHORTEST, Piece
from vc.source_content import SourceContent
from vc.source_voice import SourceVoice
from vc.vocoders import choice, differential
from vc.vocoders.base import Vocoder
from vc.vocoders.world import WORLD

METHODS = ("world", "diff")
LAYOUT = torch.channels_last  # of the weights: the fastest for a single item on a CPU (recipes/EXPERIMENTS.md)


@dataclass(frozen=True)
class Wish:
    """What to make of a recording."""

    source: str | None  # None: whoever speaks
    target: str
    melody: Melody
    method: str  # one of METHODS
    f0_range: F0Range | None = None  # where to look for the recording's F0; None: where it lies


@dataclass(frozen=True)
class Spoken:
    """A piece of a recording, and what was found of who speaks."""

    piece: Piece
    voice: Voice
    frames: Frames | None = None  # where it was analysed already: its content is wanted
    statistics: ContentStatistics | None = None  # of the one who speaks


class Overflow(DataError):
    """A model whose numbers leave what can be computed with."""


class Converter:
    """Converts samples to a speaker of a model; may be used by several threads at once."""

    def __init__(
        self,
        model: model_file.Model,
        network: AbstractConverter | AbstractDecoder,
        device: torch.device | str = "cpu",
        precision: str = "float32",
        vocoder: Vocoder = WORLD,
        encoder: Encoder | None = None,
    ):
        """Without an `encoder`, one that is wanted is the one that the model's features name."""
        self.model, self.network, self.vocoder = model, network.to(device).eval(), vocoder
        self.device, self.precision = torch.device(device), precision
        self.path: Path | None = None  # of its file, for messages
        self.decodes = isinstance(network, AbstractDecoder)  # whoever speaks, in place of maps between speakers
        self.encoder = encoder or (encoder_of(model.features) if self.decodes else None)

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", precision: str = "float32", vocoder: str | None = None
    ) -> "Converter":
        """From a model file or an experiment directory; a bad one is refused by name.

        `precision` is that of the networks' passes, one of devices.PRECISIONS; WORLD computes in float64. Whether a GPU
        may use TF32 is a setting of the whole process, which the last call decides. `vocoder` is a name or a path, as
        vc/vocoders/choice.py has it; by default the one that goes with the model's features.
        """
        chosen = devices.choose(device)
        devices.set_precision(precision, chosen)
        model, network, encoder = read_network(Path(path), chosen)
        network.to(memory_format=LAYOUT)
        how = (chosen, precision)
        speaks = choice.usual(model.features, *how) if vocoder is None else choice.choose(vocoder, *how)
        speaks.refuse_other(model.features)
        made = cls(model, network, *how, speaks, encoder)
        made.path = Path(path)
        return made

    @property
    def sample_rate(self) -> int:  # Hz, of the output
        return self.model.features.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.model.speakers)

    def mean_variance(self) -> "Converter":
        """The same speakers, without the network: means and variances alone, the anchor of an evaluation."""
        require(not self.decodes, f"method {self.model.method} has no means and variances of a source")
        network = MeanVarianceConverter(MeanVarianceConfig(), self.model.features.bands, self.speakers)
        return Converter(self.model, network, self.device, self.precision, self.vocoder)

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str | None, str]:
        """Source and target; for a pair the target is its second speaker, and the source is the other one.

        Where a decoder says what anyone speaks, there is no source unless it is named. Speakers are given by id or by
        what people call them.
        """
        if self.decodes:
            return self._from_anyone(self.model.resolved(to), self.model.resolved(source))
        return self.model.direction(to, source)

    def _from_anyone(self, to: str | None, source: str | None) -> tuple[str | None, str]:
        known = self.model.known_speakers
        require(to is not None or len(self.speakers) <= 2, f"name the target (--to); there are: {known}")
        others = [name for name in self.speakers if name != source]
        target = to or (others or self.speakers)[-1]
        require(target in self.speakers, f"the model has no speaker {target!r}; there are: {known}")
        require(source is None or source in self.speakers, f"the model does not know {source!r}: leave --from out")
        require(source != target, f"source and target are both {target!r}")
        return source, target

    def wish(
        self,
        to: str | None = None,
        source: str | None = None,
        melody: Melody = AS_MAPPED,
        method: str = "world",
        f0_range: F0Range | None = None,
    ) -> Wish:
        """What to make of recordings, checked: speakers as `direction` finds them."""
        require(method in METHODS, f"method must be one of {', '.join(METHODS)}, got {method!r}")
        require(method == "world" or melody == Melody(keep=melody.keep), f"method {method} cannot change F0")
        require(method == "world" or self.vocoder is WORLD, f"method {method} needs no vocoder")
        require(method == "world" or self.model.features.kind == "world", f"method {method} filters by mel-cepstra")
        by_f0 = method == "diff" or self._takes_f0
        require(by_f0 or melody == AS_MAPPED, "F0 cannot be changed: this vocoder takes it from the model's log-mel")
        require(by_f0 or f0_range is None, "an F0 range plays no part: this vocoder takes F0 from the model's log-mel")
        return Wish(*self.direction(to, source), melody, method, f0_range)

    @property
    def _takes_f0(self) -> bool:
        return self.decodes or self.vocoder.needs_excitation(self.model.features)

    def convert(
        self,
        samples: np.ndarray,
        sample_rate: int,
        to: str | None = None,
        source: str | None = None,
        melody: Melody = AS_MAPPED,
        method: str = "world",
        f0_range: F0Range | None = None,
    ) -> np.ndarray:
        """`(samples,)` or `(samples, channels)` at any rate to `(samples,)` float32 at `self.sample_rate`.

        The output is as long and as loud as the input, and within -1..1: peaks that would clip are limited
        (vc/limiter.py), with a warning where that takes much. Long recordings are converted in pieces.
        `method` is `world` (analysis and synthesis) or `diff` (the recording itself, filtered; F0 stays). `f0_range`
        says where the recording's F0 lies, if that is known better than it can be found.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim not in (1, 2) or samples.size == 0 or not np.isfinite(samples).all():
            raise DataError(f"expected finite samples (samples,) or (samples, channels), got shape {samples.shape}")
        samples = audio.mixed_down(samples) if samples.ndim == 2 else samples
        level, wish = Level(), self.wish(to, source, melody, method, f0_range)
        blocks = [audio.resample(samples, sample_rate, self.sample_rate)]
        converted = np.concatenate([np.zeros(0, np.float32), *self._converted(blocks, wish, level, "samples")])
        return limit(level.gain("samples") * converted, self.sample_rate, "samples")

    def convert_stream(
        self,
        blocks: Iterable[np.ndarray],
        to: str | None = None,
        source: str | None = None,
        melody: Melody = AS_MAPPED,
        method: str = "world",
        longest: float = 2.0,
        f0_range: F0Range | None = None,
    ) -> Iterator[np.ndarray]:
        """Blocks of samples `(samples,)` at `self.sample_rate` to converted blocks, while they come.

        What is given lags behind what is taken by `longest` seconds, 0.4 s for the overlap of pieces and 5 ms in which
        the limiter looks ahead at most, beside the block in hand and the time to compute; in all there are as many
        samples. Loudness follows what has been heard so far: nobody knows the rest. Peaks that would clip are limited,
        and where that takes much, a warning says so at the end.
        """
        require(longest >= SHORTEST, f"longest must be {SHORTEST} s or more, got {longest}")
        level, wish = Level(), self.wish(to, source, melody, method, f0_range)
        converted = self._converted(blocks, wish, level, "stream", longest)
        yield from limit_blocks(_with_running_gain(converted, level), self.sample_rate, "stream")

    def convert_file(
        self,
        path: str | Path,
        output: str | Path,
        to: str | None = None,
        source: str | None = None,
        melody: Melody = AS_MAPPED,
        method: str = "world",
        jobs: int = 1,
        f0_range: F0Range | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> None:
        """A recording (`-`: standard input) to a mono 16-bit WAV (`-`: standard output), whole or not at all.

        Memory does not follow the recording's length: converted pieces wait on disk for the gain of the whole. Peaks
        that would clip are limited, with a warning where that takes much. `jobs` threads work on a long one's pieces;
        `advance` is called with the share of it that is done.
        """
        level, wish = Level(), self.wish(to, source, melody, method, f0_range)
        converted = self._converted(audio.blocks(path, self.sample_rate, advance=advance), wish, level, path, jobs=jobs)
        try:
            audio.write_scaled(output, converted, self.sample_rate, lambda: level.gain(path), path)
        except Overflow as error:
            raise DataError(f"{path}: {error}") from error

    def _converted(
        self,
        blocks: Iterable[np.ndarray],
        wish: Wish,
        level: "Level",
        who: object,
        longest: float = pieces.LONGEST,
        jobs: int = 1,
    ) -> Iterator[np.ndarray]:
        """Blocks at the model's rate to converted blocks, as many samples, taking note of their level."""
        cut = pieces.split(blocks, self.sample_rate, longest)
        source = self._source_voice(wish.source, who, wish.f0_range)
        if wish.method == "diff" or self._takes_f0:
            spoken = (Spoken(*heard) for heard in source.judge(cut))
        else:  # F0 plays no part
            spoken = (Spoken(piece, source.known) for piece in cut)
        if self.decodes:
            spoken = self._listened(spoken, wish)
        measured = self._measured(ahead(partial(self._convert_piece, wish=wish), spoken, jobs), level)
        yield from pieces.join(measured, self.sample_rate)

    def _measured(self, converted: Iterable[tuple[Spoken, np.ndarray]], level: "Level") -> Iterator[tuple]:
        for spoken, samples in converted:
            piece = spoken.piece
            level.add(piece.own(piece.samples), piece.own(samples), self.sample_rate)
            yield piece, samples

    def _source_voice(self, source: str | None, who: object, f0_range: F0Range | None = None) -> SourceVoice:
        """A judge of one recording. A search range that was given for the source at its extraction holds here, too."""
        if source is None:
            return SourceVoice(None, self.model.features, who=who, name="anyone", search=f0_range)
        known = self.model.speakers[source]
        search = f0_range or (known.f0_range if known.f0_range_given else None)
        return SourceVoice(known.voice, self.model.features, who=who, name=source, search=search)

    def _listened(self, spoken: Iterable[Spoken], wish: Wish) -> Iterator[Spoken]:
        """Pieces with their content and the statistics of who speaks, which gather unless the source is known."""
        settings = self.model.features
        known = None if wish.source is None else self.model.speakers[wish.source].content
        heard = SourceContent(known, self.model.speakers[wish.target].content, settings)
        for each in spoken:
            samples = self._padded(to_usual_level(each.piece.samples))
            excited = self.vocoder.needs_excitation(settings)
            frames = kinds.analyse(samples, settings, each.voice.f0_range, excited)
            content = content_of(samples, settings, self.encoder)
            places = kinds.content_places(len(frames.spectrum), len(content), settings)
            frames = replace(frames, content=kinds.content_at(content, places))
            yield Spoken(each.piece, each.voice, frames, heard.statistics(frames))

    def _padded(self, samples: np.ndarray) -> np.ndarray:
        """`(samples,)`, those of a very short recording with silence after them."""
        return audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))

    def _voice(self, samples: np.ndarray, source: str, who: object) -> Voice:
        """The voice that speaks for most of `(samples,)`."""
        spans = self._source_voice(source, who).spans(samples)
        ends = [*(start for start, _ in spans[1:]), np.inf]
        return max(zip(spans, ends), key=lambda pair: pair[1] - pair[0][0])[0][1]

    def _convert_piece(self, spoken: Spoken, wish: Wish) -> np.ndarray:
        """The path of the data: `(samples,)` at the model's rate to as many."""
        voice, settings = spoken.voice, self.model.features
        samples = spoken.piece.samples
        padded = self._padded(samples)
        if self.decodes:
            frames, target = spoken.frames, self.model.speakers[wish.target]
            spoken_f0, target_f0, voiced = voice.log_f0, target.log_f0, frames.f0[frames.f0 > 0]
            if spoken_f0 is None and voice.f0_range is not None and len(voiced):  # too short to judge
                spoken_f0 = LogF0.of(voiced)
            if wish.source is None and spoken_f0 and target_f0:  # one recording tells how high it is, not how lively
                spoken_f0 = replace(spoken_f0, deviation=target_f0.deviation)
            f0 = pitch.map_f0(frames.f0, spoken_f0, target_f0, wish.melody)
            wanted = self._decoded(frames.content, frames.spectrum, f0, spoken.statistics, wish.target)
            self._refuse_overflow(wanted)
            converted = self.vocoder.synthesise(Frames(f0, wanted, frames.aperiodicity), settings)
            # A decoder makes speech of whatever is loudest in a piece: let pieces keep their levels beside each other.
            wanted_energy, energy = (speech_energy(each, self.sample_rate) for each in (padded, converted))
            converted = np.sqrt(wanted_energy / energy if energy > 0 else 0.0) * converted
        elif wish.method == "diff":
            _, mel_cepstrum = world.extract(padded, settings, voice.f0_range)
            wanted = self.convert_frames(mel_cepstrum, wish.source, wish.target)
            self._refuse_overflow(wanted)
            wanted = world.restore_power(wanted, mel_cepstrum, settings)
            converted = differential.filtered(padded, wanted - mel_cepstrum, settings)
        else:
            excited = self.vocoder.needs_excitation(settings)
            frames = kinds.analyse(padded, settings, voice.f0_range, excited)
            wanted = self.convert_frames(frames.spectrum, wish.source, wish.target)
            self._refuse_overflow(wanted)
            if settings.kind == "world":
                wanted = world.restore_power(wanted, frames.spectrum, settings)
            target = self.model.speakers[wish.target].log_f0
            f0 = pitch.map_f0(frames.f0, voice.log_f0, target, wish.melody) if excited else None
            converted = self.vocoder.synthesise(Frames(f0, wanted, frames.aperiodicity), settings)
        self._refuse_overflow(converted)
        return audio.fit_length(converted.astype(np.float32), len(samples))

    def _refuse_overflow(self, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise Overflow(f"the model {self.path or 'in use'} makes values that are not finite")

    def say(self, content: np.ndarray, f0: np.ndarray, log_mel: np.ndarray, speaker: str) -> np.ndarray:
        """A recording of a speaker of a decoder again, from its content and prosody.

        Parameters
        ----------
        content : np.ndarray
            Shape `(content frames, dims)`.
        f0 : np.ndarray
            Shape `(frames,)`, Hz, 0 where unvoiced.
        log_mel : np.ndarray
            Shape `(frames, bands)`, whose loudness alone counts.
        speaker : str
            Whose recording it is, and who says it again.

        Returns
        -------
        np.ndarray
            Log-mel, shape `(frames, bands)`, float64.
        """
        at = kinds.content_at(content, kinds.content_places(len(log_mel), len(content), self.model.features))
        return self._decoded(at, log_mel, f0, self.model.speakers[speaker].content, speaker)

    @torch.inference_mode()
    def _decoded(
        self, content: np.ndarray, log_mel: np.ndarray, f0: np.ndarray, source: ContentStatistics, target: str
    ) -> np.ndarray:
        """`(frames, bands)` of what a target says with content and loudness of a source, at the target's F0."""
        speaker, settings = self.model.speakers[target], self.model.features
        said = (content - np.asarray(source.mean)) / speaker.content.deviation
        manner = prosody(f0, standard_loudness(log_mel, source), speaker.log_f0, settings)
        given = (torch.from_numpy(each.astype(np.float32).T[None]).to(self.device) for each in (said, manner))
        with devices.autocast(self.precision, self.device):
            decoded = self.network.decode(*given, target)
        return speaker.normaliser.inverse(decoded[0].T.double().cpu().numpy())

    @torch.inference_mode()
    def convert_frames(self, frames: np.ndarray, source: str, target: str) -> np.ndarray:
        """`(frames, bands)` of one speaker to the same shape of the other, float64; c0 stays the source's."""
        given = torch.from_numpy(np.asarray(frames, np.float64)).to(self.device)
        with devices.autocast(self.precision, self.device):
            return self.frame_map(source, target)(given).cpu().numpy()

    def frame_map(self, source: str, target: str) -> FrameMap:
        """The network of one direction with both speakers' normalisations inside."""
        normalisers = tuple(self.model.speakers[name].normaliser for name in (source, target))
        return FrameMap(self.network, (source, target), normalisers, self.device, self.model.features.kept)


def _with_running_gain(blocks: Iterable[np.ndarray], level: Level) -> Iterator[np.ndarray]:
    """Each block times the gain so far, which moves from the one before's by a straight line."""
    gain = None
    for block in blocks:
        before, gain = gain, level.gain()
        yield np.linspace(gain if before is None else before, gain, len(block), dtype=np.float32) * block


def read_network(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[model_file.Model, AbstractConverter | AbstractDecoder, Encoder | None]:
    """What a model file or an experiment directory says, its network, and the content encoder if it holds one.

    The encoder is on `device`. A bad file is refused by name.
    """
    model, weights = model_file.read(path)
    try:
        encoder, weights = model_file.encoder_of(model, weights, device)
        network = _network(model)
        if isinstance(network, AbstractDecoder):
            what = "another content encoder than" if encoder else "no content encoder, and the carried one is not"
            encoder = encoder or encoders.choose(encoders.DISTILLED, device=device)
            same = completed(model.features, encoder) == model.features
            require(same, f"holds {what} the one that its features are of")
        wanted = network.state_dict()
        for name in weights.keys() & wanted.keys():
            if (weights[name].dtype, wanted[name].dtype) == (torch.float16, torch.float32):
                weights[name] = weights[name].float()
        _refuse_other_types(network, weights)
        network.load_state_dict(weights, assign=True)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (RuntimeError, OverflowError) as error:
        raise ConfigError(f"{path}: weights do not fit {model.method}: {shortened(error)}") from error
    return model, network, encoder


def _refuse_other_types(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    for name, tensor in network.state_dict().items():
        if name in weights and weights[name].dtype != tensor.dtype:
            raise ConfigError(f"tensor {name!r} is of type {weights[name].dtype}, not {tensor.dtype}")


def _network(model: model_file.Model) -> AbstractConverter | AbstractDecoder:
    """A model's network without its weights; it takes no memory, whatever sizes the file claims."""
    bands, content = model.features.bands, getattr(model.features, "content", None)
    with torch.device("meta"):
        untrained = network(
            model.method, network_config(model.method, model.network), model.features, tuple(model.speakers)
        )
    fewest = 1 if isinstance(untrained, AbstractDecoder) else 2
    require(len(model.speakers) >= fewest, f"a model has {fewest} speakers or more, this one {len(model.speakers)}")
    for name, speaker in model.speakers.items():
        if len(speaker.mel_cepstrum_mean) != bands:
            raise ConfigError(f"speaker {name} has {len(speaker.mel_cepstrum_mean)} bands, the model {bands}")
        if content and len(speaker.content.mean if speaker.content else ()) != content.dims:
            raise ConfigError(f"speaker {name} has no statistics of {content.dims} dims of content")
    return untrained
