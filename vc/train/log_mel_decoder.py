"""Log-mel that a decoder makes of recordings of its own targets, for a vocoder to learn from."""

from collections.abc import Iterable, Sequence

import numpy as np

from vc.config import AnyPath, digest, plain, require
from vc.convert.converter import Converter
from vc.corpus.data_directory import Utterance
from vc.encoders.features import content_of
from vc.errors import ConfigError, suggestion
from vc.features.mel import MelConfig
from vc.parallel import progress
from vc.tensor_file import tensors_digest


class LogMelDecoder:
    """Decodes recordings of a model's targets from their own content, F0 and loudness.

    A vocoder that learns to synthesise the recordings from these frames has the encoder's and the decoder's errors in
    its inputs, as in conversion; log-mel of recordings has none.

    Parameters
    ----------
    model : str or Path
        A model file, an experiment directory, or the name of a model that comes with the package.

    Raises
    ------
    ConfigError
        The model does not decode log-mel for a neural vocoder.
    """

    def __init__(self, model: AnyPath):
        self.converter = Converter.load(model, vocoder="world")
        decodes = self.converter.decodes and self.converter.model.features.mel is not None
        needed = "a model of recognition_synthesis with features of kind content (not content_world) is needed"
        require(decodes, f"{model}: decodes no log-mel for a neural vocoder; {needed}")

    @property
    def targets(self) -> tuple[str, ...]:
        """Ids of the model's speakers."""
        return self.converter.speakers

    @property
    def digest(self) -> str:
        """Digest of the model: all that its log-mel depends on."""
        return digest([plain(self.converter.model), tensors_digest(self.converter.network.state_dict())])

    def check_mel(self, mel: MelConfig) -> None:
        """Raise ConfigError unless the model's log-mel has the vocoder's settings, `mel`."""
        path, decoded = self.converter.path, vars(self.converter.model.features.mel)
        for name, value in vars(mel).items():
            same = decoded[name] == value
            require(same, f"mel.{name} is {value}, but {path} decodes log-mel with {decoded[name]}")

    def check_speakers(self, utterances: Iterable[Utterance], directory: object) -> None:
        """Raise ConfigError if an utterance of `directory` is of a speaker who is not among the targets."""
        for utterance in utterances:
            if utterance.speaker not in self.targets:
                raise ConfigError(
                    f"{directory}: {utterance.id} is of {utterance.speaker!r}, who is not among the targets of"
                    f" {self.converter.path}: {', '.join(self.targets)}{suggestion(self.targets, utterance.speaker)}"
                )

    def decode(self, samples: np.ndarray, speaker: str) -> np.ndarray:
        """Decode a recording of a target.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, at the model's sample rate.
        speaker : str
            The target's id.

        Returns
        -------
        np.ndarray
            Log-mel, shape `(ceil(samples / hop), bands)`, float32.
        """
        model = self.converter.model
        f0, log_mel = model.features.extract(samples, model.speakers[speaker].f0_range)
        content = content_of(samples, model.features, self.converter.encoder)
        return self.converter.resynthesise(content, f0, log_mel, speaker).astype(np.float32)

    def decode_all(self, recordings: Sequence[np.ndarray], utterances: Sequence[Utterance]) -> list[np.ndarray]:
        """Decode the recordings `(samples,)` of utterances, with a progress bar; log-mel as of `decode`."""
        log_mels = []
        with progress(len(utterances), "decoding") as bar:
            for samples, utterance in zip(recordings, utterances, strict=True):
                log_mels.append(self.decode(samples, utterance.speaker))
                bar.update()
        return log_mels
