"""The interface of a content encoder: samples in, one vector of content for each frame out."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vc import config
from vc.config import require
from vc.errors import DataError
from vc.tensor_file import tensors_digest

OVERLAP = 4.0  # seconds that two windows of a long recording share
LONGEST = 29.0  # seconds of a window


class Encoder(ABC):
    """A frozen content encoder; may be used by several threads at once.

    Attributes
    ----------
    network : nn.Module
        Its network, in evaluation mode, in float32.
    description : dict
        As in an encoder's file (vc/encoders/encoder_file.py).
    digest : str
        SHA-256 of its weights and settings: content of different encoders is never mixed.
    sample_rate : int
        Hz, of its input.
    frame_rate : float
        Frames a second.
    first : float
        Seconds from the first sample to the centre of the first frame.
    dims : int
        Of a frame's vector.
    """

    description: dict[str, Any]  # an EncoderModel's values

    def __init__(self, network: nn.Module, layer: int, device: torch.device | str, *, sample_rate: int, frame: int):
        """`network` has a `config`; content frames are `frame` samples long, and centred in their middle."""
        layers = network.config.layers
        require(1 <= layer <= layers, f"layer must be in 1..{layers}, got {layer}")
        self.digest = digest_of(network, layer)
        self.network, self.layer, self.device = network.to(device).eval(), layer, torch.device(device)
        self.sample_rate, self.frame = sample_rate, frame
        self.frame_rate, self.first = sample_rate / frame, frame / 2 / sample_rate
        self.dims = network.config.dims

    @property
    def window(self) -> int:
        """Content frames that are encoded at a time."""
        return round(LONGEST * self.frame_rate)

    @abstractmethod
    def encode_window(self, samples: np.ndarray) -> np.ndarray:
        """`encode` of `(samples,)` float32 that make no more than `window` frames."""

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Content of a recording; a long one in windows that share OVERLAP seconds, split in their middle.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, -1..1, at `sample_rate`, one sample at least.

        Returns
        -------
        np.ndarray
            Shape `(frames, dims)`, float32; the frames that begin within the samples, one at least.

        Raises
        ------
        DataError
            No samples, or some that are not finite.
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
        """The state of its network; tensors that float16 represents exactly are float16."""
        weights = {}
        for name, tensor in self.network.state_dict().items():
            half = tensor.half()
            weights[name] = half if torch.equal(half.float(), tensor) else tensor
        return weights


def digest_of(network: nn.Module, layer: int) -> str:
    """SHA-256 of a network with its `config` as it computes: in float32, whatever the type in its file."""
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return config.digest(type(network).__name__, network.config, layer, tensors_digest(weights))
