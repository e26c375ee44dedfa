"""wav -> wav: the whole conversion."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from vc import audio, devices, model_file
from vc.errors import ConfigError, DataError, shortened
from vc.features import pitch, world
from vc.features.world import Frames
from vc.models import converter, network_config
from vc.models.base import AbstractConverter
from vc.models.mean_variance import MeanVarianceConfig, MeanVarianceConverter
from vc.vocoders.world import synthesise

SHORTEST = 0.5  # seconds; shorter recordings are lengthened by silence while they are converted
PIECE = 30.0  # seconds converted at a time
SEARCH = 10.0  # seconds before a piece's end in which its quietest place is looked for
QUIET = 0.02  # seconds over which quietness is measured
LOWEST = 70.0  # Hz, from which on a recording's loudness is measured
KEPT = 1 << 26  # bytes of a converted recording that wait in memory rather than on disk
log = logging.getLogger(__name__)


class Converter:
    """Converts samples from one speaker of a model to another."""

    def __init__(self, model: model_file.Model, network: AbstractConverter, device: torch.device | str = "cpu"):
        self.model, self.network = model, network.to(device).eval()
        self.device = torch.device(device)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Converter":
        """From a model file or an experiment directory; a bad one is refused by name."""
        model, weights = model_file.read(Path(path))
        try:
            network = _network(model)
            network.load_state_dict(weights, assign=True)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        except (RuntimeError, OverflowError) as error:
            raise ConfigError(f"{path}: weights do not fit {model.method}: {shortened(error)}") from error
        return cls(model, network, devices.choose(device))

    @property
    def sample_rate(self) -> int:  # Hz, of the output
        return self.model.features.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(self.model.speakers)

    def mean_variance(self) -> "Converter":
        """The same speakers, without the network: means and variances alone, the anchor of an evaluation."""
        network = MeanVarianceConverter(MeanVarianceConfig(), self.model.features.bands, self.speakers)
        return Converter(self.model, network, self.device)

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """Source and target; for a pair the target is its second speaker, and the source is the other one."""
        to = to or (self.speakers[1] if source in (None, self.speakers[0]) else self.speakers[0])
        for name in (to, source or to):
            if name not in self.speakers:
                raise ConfigError(f"the model has no speaker {name!r}; there are: {', '.join(self.speakers)}")
        source = source or next(name for name in self.speakers if name != to)
        if source == to:
            raise ConfigError(f"source and target are both {to!r}")
        return source, to

    def convert(
        self, samples: np.ndarray, sample_rate: int, to: str | None = None, source: str | None = None
    ) -> np.ndarray:
        """`(samples,)` or `(samples, channels)` at any rate to `(samples,)` float32 at `self.sample_rate`.

        The output is as long and as loud as the input, and within -1..1. Long recordings are converted in pieces that
        begin and end at quiet places.
        """
        samples = np.asarray(samples, np.float32)
        samples = samples.mean(axis=1) if samples.ndim == 2 else samples
        if samples.ndim != 1 or len(samples) == 0 or not np.isfinite(samples).all():
            raise DataError(f"expected finite samples (samples,) or (samples, channels), got shape {samples.shape}")
        level = Level()
        blocks = iter([audio.resample(samples, sample_rate, self.sample_rate)])
        pieces = list(self._pieces(blocks, self.direction(to, source), level))
        return level.gain("samples") * np.concatenate([np.zeros(0, np.float32), *pieces])

    @torch.inference_mode()
    def convert_mel_cepstrum(self, mel_cepstrum: np.ndarray, source_name: str, target_name: str) -> np.ndarray:
        """`(frames, bands)` of one speaker to the same shape of the other; c0, the loudness, stays the source's."""
        source, target = (self.model.speakers[name].normaliser for name in (source_name, target_name))
        frames = torch.from_numpy(source.transform(mel_cepstrum).astype(np.float32).T)[None].to(self.device)
        converted = self.network.convert(frames, source_name, target_name)[0].T.cpu().numpy()
        return np.concatenate([mel_cepstrum[:, :1], target.inverse(converted)[:, 1:]], axis=1)

    def convert_file(
        self, path: str | Path, output: str | Path, to: str | None = None, source: str | None = None
    ) -> None:
        """A recording (`-`: standard input) to a mono 16-bit WAV (`-`: standard output), whole or not at all.

        Memory does not follow the recording's length: converted pieces wait on disk for the gain of the whole.
        """
        try:
            with tempfile.SpooledTemporaryFile(max_size=KEPT) as spool:
                level = Level()
                for piece in self._pieces(audio.blocks(path, self.sample_rate), self.direction(to, source), level):
                    spool.write(piece.tobytes())
                spool.seek(0)
                gain = level.gain(path)
                Path(output).parent.mkdir(parents=True, exist_ok=True)
                audio.write_blocks(output, (gain * block for block in _float_blocks(spool)), self.sample_rate)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"{output}: {error.strerror}") from error

    def _pieces(self, blocks: Iterator[np.ndarray], speakers: tuple[str, str], level: "Level") -> Iterator[np.ndarray]:
        """Convert samples at the model's rate piece by piece, taking note of their level."""
        for piece in split_at_quiet(blocks, self.sample_rate):
            converted = self._convert_piece(piece, *speakers)
            level.add(piece, converted, self.sample_rate)
            yield converted

    def _convert_piece(self, samples: np.ndarray, source_name: str, target_name: str) -> np.ndarray:
        """The path of the data, `(samples,)` at the model's rate to the same length."""
        source, target = self.model.speakers[source_name], self.model.speakers[target_name]
        settings = self.model.features
        padded = audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))
        frames = world.analyse(padded, settings, source.f0_range)
        mel_cepstrum = self.convert_mel_cepstrum(frames.mel_cepstrum, source_name, target_name)
        f0 = pitch.map_f0(frames.f0, source.log_f0, target.log_f0)
        converted = synthesise(Frames(f0, mel_cepstrum, frames.aperiodicity), settings)
        return audio.fit_length(converted.astype(np.float32), len(samples))


def _network(model: model_file.Model) -> AbstractConverter:
    """A model's network without its weights; it takes no memory, whatever sizes the file claims."""
    bands = model.features.bands
    for name, speaker in model.speakers.items():
        if len(speaker.mel_cepstrum_mean) != bands:
            raise ConfigError(f"speaker {name} has {len(speaker.mel_cepstrum_mean)} bands, the model {bands}")
    with torch.device("meta"):
        return converter(model.method, network_config(model.method, model.network), bands, tuple(model.speakers))


@dataclass
class Level:
    """Energy and peak of a recording and of its conversion, summed over their pieces."""

    before: float = 0.0
    after: float = 0.0
    peak: float = 0.0

    def add(self, samples: np.ndarray, converted: np.ndarray, rate: int) -> None:
        self.before += speech_energy(samples, rate)
        self.after += speech_energy(converted, rate)
        self.peak = max(self.peak, float(np.abs(converted).max(initial=0)))

    def gain(self, who: object) -> np.float32:
        """Factor that makes the conversion as loud as the recording, or as loud as it can be without clipping.

        c0 alone does not keep the loudness: another spectral envelope with the same mean logarithm has another power.
        """
        gain = np.sqrt(self.before / self.after) if self.after > 0 else 1.0
        if gain * self.peak > 1:
            log.warning("%s: scaled down by %.1f dB, for it would clip", who, 20 * np.log10(gain * self.peak))
            gain = (1 - 1e-6) / self.peak  # the last bit must not round above 1
        return np.float32(gain)


def speech_energy(samples: np.ndarray, rate: int) -> float:
    """Sum of squares of `(samples,)` above LOWEST Hz: synthesis keeps neither an offset nor rumble."""
    length = 2 ** int(np.ceil(np.log2(max(2, len(samples)))))
    spectrum = np.fft.rfft(samples, length)
    spectrum[: 1 + int(LOWEST * length / rate)] = 0
    return float(2 * np.square(np.abs(spectrum)).sum() / length)


def split_at_quiet(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Join blocks of samples into pieces of at most PIECE seconds, cut at the quietest place of the last SEARCH."""
    longest, search, quiet = (round(seconds * rate) for seconds in (PIECE, SEARCH, QUIET))
    waiting = np.zeros(0, np.float32)
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) > longest:
            energy = np.square(waiting[longest - search : longest], dtype=np.float64)
            smooth = np.convolve(energy, np.ones(quiet), mode="valid")
            cut = longest - search + quiet // 2 + int(np.argmin(smooth))
            yield waiting[:cut]
            waiting = waiting[cut:]
    if len(waiting):
        yield waiting


def _float_blocks(file: IO[bytes]) -> Iterator[np.ndarray]:
    while content := file.read(4 * audio.BLOCK):
        yield np.frombuffer(content, np.float32)
