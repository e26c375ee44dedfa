"""The interface of a content encoder, which maps a waveform to one content vector per frame."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vc import config
from vc.config import require
from vc.encoders.quantised import CODES
from vc.errors import DataError
from vc.tensor_file import tensors_digest

OVERLAP = 4.0  # seconds of overlap between windows of a long recording
LONGEST = 29.0  # seconds of a window


class Encoder(ABC):
    """A frozen content encoder; thread-safe.

    Parameters
    ----------
    network : nn.Module
        A network with a `config`.
    layer : int
        The layer whose output is the content, 1..layers.
    device : torch.device or str
        Device of the network.
    sample_rate : int
        Sample rate of the input in Hz.
    frame : int
        Length of a content frame in samples.

    Attributes
    ----------
    network : nn.Module
        The network, in evaluation mode and float32.
    description : dict
        As in an encoder's file (vc/encoders/encoder_file.py).
    quantised : dict of str to Tensor
        The tensors of an encoder's file that are codes and scales (vc/encoders/quantised.py).
    digest : str
        SHA-256 of weights and settings: content vectors of different encoders are never mixed.
    sample_rate : int
        Sample rate of the input in Hz.
    frame_rate : float
        Frames per second.
    first : float
        Seconds from the first sample to the centre of the first frame.
    dims : int
        Size of a content vector.

    Raises
    ------
    ConfigError
        There is no such layer.
    """

    description: dict[str, Any]  # the fields of an EncoderModel

    def __init__(self, network: nn.Module, layer: int, device: torch.device | str, *, sample_rate: int, frame: int):
        layers = network.config.layers
        require(1 <= layer <= layers, f"layer must be in 1..{layers}, got {layer}")
        self.digest = digest_of(network, layer)
        self.quantised: dict[str, Tensor] = {}
        self.network, self.layer, self.device = network.to(device).eval(), layer, torch.device(device)
        self.sample_rate, self.frame = sample_rate, frame
        self.frame_rate, self.first = sample_rate / frame, frame / 2 / sample_rate
        self.dims = network.config.dims

    @property
    def window(self) -> int:
        """Largest number of content frames encoded at once."""
        return round(LONGEST * self.frame_rate)

    @abstractmethod
    def encode_window(self, samples: np.ndarray) -> np.ndarray:
        """Like `encode`, for `(samples,)` float32 of at most `window` frames."""

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Encode a recording. A long one is encoded in windows, joined in the middle of their overlaps.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, -1..1, at `sample_rate`, at least one sample.

        Returns
        -------
        np.ndarray
            Content, shape `(frames, dims)`, float32: the frames that begin within the samples, at least one.

        Raises
        ------
        DataError
            There are no samples, or some are not finite.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1 or not len(samples):
            raise DataError(f"expected samples (samples,), got shape {samples.shape}")
        if not np.isfinite(samples).all():
            raise DataError("samples are not finite")
        shared = 2 * round(OVERLAP * self.frame_rate / 2)
        starts = range(0, max(1, len(samples) - shared * self.frame), (self.window - shared) * self.frame)
        parts = [self.encode_window(samples[start : start + self.window * self.frame]) for start in starts]
        parts = [part[: -shared // 2] for part in parts[:-1]] + parts[-1:]
        return np.concatenate([part[shared // 2 if number else 0 :] for number, part in enumerate(parts)])

    @property
    def weights(self) -> dict[str, Tensor]:
        """State of the network as files hold it: quantised as it was read, or in float16 where that is exact."""
        weights = dict(self.quantised)
        for name, tensor in self.network.state_dict().items():
            if f"{name}{CODES}" in weights:
                continue
            half = tensor.half()
            weights[name] = half if torch.equal(half.float(), tensor) else tensor
        return weights


def digest_of(network: nn.Module, layer: int) -> str:
    """SHA-256 of a network's `config` and float32 weights, independent of the number format of its file."""
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return config.digest(type(network).__name__, network.config, layer, tensors_digest(weights))
