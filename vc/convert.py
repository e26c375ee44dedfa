"""wav -> wav: the whole conversion."""

import logging
from pathlib import Path

import numpy as np
import torch

from vc import audio, model_file
from vc.errors import ConfigError, DataError
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
        config = network_config(model.method, model.network)
        bands, speakers = model.features.bands, tuple(model.speakers)
        for name, speaker in model.speakers.items():
            if len(speaker.mel_cepstrum_mean) != bands:
                raise ConfigError(
                    f"{path}: speaker {name} has {len(speaker.mel_cepstrum_mean)} bands, the model {bands}"
                )
        network = converter(model.method, config, bands, speakers)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ConfigError(
                f"{path}: weights do not fit {model.method}: {' '.join(str(error).split())[:200]}"
            ) from error
        return cls(model, network, device)

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

        The output is as long as the input and within -1..1. Long recordings are converted in pieces that begin
        and end at quiet places.
        """
        converted, excess = _within_range(self._convert(samples, sample_rate, to, source))
        if excess:
            log.warning("scaled down by %.1f dB, for the result would clip", excess)
        return converted

    def convert_file(
        self, path: str | Path, output: str | Path, to: str | None = None, source: str | None = None
    ) -> None:
        """A recording (`-`: standard input) to a mono 16-bit WAV (`-`: standard output), whole or not at all."""
        samples, rate = audio.read(path, self.sample_rate)
        converted, excess = _within_range(self._convert(samples, rate, to, source))
        if excess:
            log.warning("%s: scaled down by %.1f dB, for the result would clip", path, excess)
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        audio.write(output, converted, rate)

    def _convert(self, samples: np.ndarray, sample_rate: int, to: str | None, source: str | None) -> np.ndarray:
        """`(samples,)` at the model's rate, as loud as they come."""
        samples = np.asarray(samples, np.float32)
        samples = samples.mean(axis=1) if samples.ndim == 2 else samples
        if samples.ndim != 1 or len(samples) == 0 or not np.isfinite(samples).all():
            raise DataError(f"expected finite samples (samples,) or (samples, channels), got shape {samples.shape}")
        speakers = self.direction(to, source)
        samples = audio.resample(samples, sample_rate, self.sample_rate)
        pieces = [self._convert_piece(piece, *speakers) for piece in split_at_quiet(samples, self.sample_rate)]
        return np.concatenate(pieces)

    def _convert_piece(self, samples: np.ndarray, source_name: str, target_name: str) -> np.ndarray:
        """The path of the data, `(samples,)` at the model's rate to the same length."""
        source, target = self.model.speakers[source_name], self.model.speakers[target_name]
        settings = self.model.features
        padded = audio.fit_length(samples, max(len(samples), round(SHORTEST * self.sample_rate)))
        frames = world.analyse(padded, settings, source.f0_range)
        mel_cepstrum = self._convert_frames(frames.mel_cepstrum, source_name, target_name)
        f0 = pitch.map_f0(frames.f0, source.log_f0, target.log_f0)
        converted = synthesise(Frames(f0, mel_cepstrum, frames.aperiodicity), settings)
        return audio.fit_length(converted.astype(np.float32), len(samples))

    @torch.inference_mode()
    def _convert_frames(self, mel_cepstrum: np.ndarray, source_name: str, target_name: str) -> np.ndarray:
        """`(frames, bands)` to the same; c0, the loudness, stays the source's."""
        source, target = (self.model.speakers[name].normaliser for name in (source_name, target_name))
        frames = torch.from_numpy(source.transform(mel_cepstrum).astype(np.float32).T)[None].to(self.device)
        converted = self.network.convert(frames, source_name, target_name)[0].T.cpu().numpy()
        return np.concatenate([mel_cepstrum[:, :1], target.inverse(converted)[:, 1:]], axis=1)


def split_at_quiet(samples: np.ndarray, rate: int) -> list[np.ndarray]:
    """Cut `(samples,)` into pieces of at most PIECE seconds, each at the quietest place of its last SEARCH seconds."""
    longest, search, quiet = (round(seconds * rate) for seconds in (PIECE, SEARCH, QUIET))
    pieces = []
    while len(samples) > longest:
        energy = np.convolve(samples[longest - search : longest].astype(np.float64) ** 2, np.ones(quiet), mode="same")
        cut = longest - search + int(np.argmin(energy))
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def _within_range(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples that do not clip, and by how many dB they had to be scaled down."""
    peak = float(np.abs(samples).max(initial=0))
    return (samples, 0.0) if peak <= 1 else (samples / peak, 20 * np.log10(peak))
