"""What every content encoder is to the rest: samples in, one vector of what is said for each frame out."""

from abc import ABC, abstractmethod

import numpy as np
from torch import nn

from vc import config
from vc.errors import DataError
from vc.store import tensors_digest


class Encoder(ABC):
    """A frozen content encoder; may be used by several threads at once.

    Attributes
    ----------
    digest : str
        SHA-256 of its weights and settings: content of one encoder is never mixed with another's.
    sample_rate : int
        Hz, of the samples that it takes.
    frame_rate : float
        Frames a second.
    first : float
        Seconds from the first sample to the centre of the first frame.
    dims : int
        Of a frame's vector.
    """

    digest: str
    sample_rate: int
    frame_rate: float
    first: float
    dims: int

    @abstractmethod
    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Content of a recording, or of a piece of one.

        Parameters
        ----------
        samples : np.ndarray
            Shape `(samples,)`, -1..1, at `sample_rate`, one sample at least and no longer than some 30 seconds.

        Returns
        -------
        np.ndarray
            Shape `(frames, dims)`, float32; the frames whose centres lie within the samples, one at least.
        """

    def at(self, content: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        """`(frames, dims)` at other places in time, `(places,)` in seconds, by straight lines; the ends are held."""
        places = np.clip((seconds - self.first) * self.frame_rate, 0, len(content) - 1)
        before = np.floor(places).astype(int)
        after = np.minimum(before + 1, len(content) - 1)
        share = (places - before).astype(np.float32)[:, None]
        return content[before] * (1 - share) + content[after] * share


def checked(samples: np.ndarray) -> np.ndarray:
    """`(samples,)` float32; what is no recording is refused."""
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise DataError(f"expected samples (samples,), got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise DataError("samples that are not finite")
    return samples


def digest_of(network: nn.Module, layer: int) -> str:
    """Of a network with its `config`, as it computes: in float32, whatever its file keeps."""
    weights = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    return config.digest(type(network).__name__, network.config, layer, tensors_digest(weights))
