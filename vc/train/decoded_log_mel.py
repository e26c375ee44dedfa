"""Log-mel as a decoder makes it of recordings of its own targets, for a vocoder to learn from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vc.config import AnyPath, require
from vc.convert.converter import Converter
from vc.corpus.data_directory import Utterance
from vc.encoders.features import content_of
from vc.errors import ConfigError, suggestion
from vc.features.mel import MelConfig
from vc.parallel import progress
from vc.tensor_file import tensors_digest


@dataclass(frozen=True)
class DecodedLogMel:
    """Decodes recordings of a model's targets from their own content, F0 and loudness.

    A vocoder that learns to make the recordings of these frames hears in training what conversions are made of, with
    the errors of encoder and decoder in it: log-mel of recordings is sharper.
    """

    converter: Converter

    @classmethod
    def read(cls, path: AnyPath) -> "DecodedLogMel":
        """Read a model; ConfigError if it does not decode log-mel."""
        converter = Converter.load(path, vocoder="world")
        decodes = converter.decodes and converter.model.features.mel is not None
        require(decodes, f"{path}: method {converter.model.method} with these features does not decode log-mel")
        return cls(converter)

    @property
    def digest(self) -> str:
        """Of the decoder's weights."""
        return tensors_digest(self.converter.network.state_dict())

    def check_mel(self, mel: MelConfig) -> None:
        """Raise ConfigError unless the model's log-mel has the settings `mel`."""
        given = vars(self.converter.model.features.mel)
        differing = [f"mel.{key} {value}, not {given[key]}" for key, value in vars(mel).items() if given[key] != value]
        require(not differing, f"{self.converter.path}: the vocoder takes other log-mel: {', '.join(differing)}")

    def check_speakers(self, utterances: Iterable[Utterance], directory: object) -> None:
        """Raise ConfigError for recordings of anybody who is no target of the model."""
        known = self.converter.speakers
        for utterance in utterances:
            if utterance.speaker not in known:
                raise ConfigError(
                    f"{directory}: {utterance.id} is of {utterance.speaker!r}, who is no target of"
                    f" {self.converter.path}: {', '.join(known)}{suggestion(known, utterance.speaker)}"
                )

    def __call__(self, samples: np.ndarray, speaker: str) -> np.ndarray:
        """`(samples,)` at the model's rate, of one of its targets, to log-mel `(ceil(samples / hop), bands)`."""
        model = self.converter.model
        f0, own = model.features.extract(samples, model.speakers[speaker].f0_range)
        content = content_of(samples, model.features, self.converter.encoder)
        return self.converter.resynthesise(content, f0, own, speaker).astype(np.float32)

    def decode(self, recordings: Sequence[np.ndarray], utterances: Sequence[Utterance]) -> list[np.ndarray]:
        """Log-mel `(frames, bands)` of each utterance, from its recording `(samples,)`."""
        log_mels = []
        with progress(len(utterances), "decoding") as bar:
            for samples, utterance in zip(recordings, utterances, strict=True):
                log_mels.append(self(samples, utterance.speaker))
                bar.update()
        return log_mels
