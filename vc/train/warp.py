"""`warp`: one all-pass constant between two voices, chosen without shared sentences.

Vocal tracts of other lengths stretch the frequency axis; an all-pass of the cepstrum comes near to it (Pitz and Ney,
"Vocal tract normalization equals linear transformation in cepstral space", IEEE Trans. SAP 13, 2005).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vc.config import require
from vc.features.mel_cepstrum import warping_matrix
from vc.models.linear import LinearConverter
from vc.train.alignment import Aligner, SpeakerFrames


@dataclass(frozen=True)
class WarpObjective:
    """Which constants are tried; the one stays that brings the voices nearest to each other."""

    largest: float = 0.15  # all-pass constant
    tried: int = 31  # from -largest to largest, 0 among them
    frames: int = 2_000  # of each speaker that are compared

    def __post_init__(self) -> None:
        require(0 <= self.largest <= 0.5, f"objective.largest must be in 0..0.5, got {self.largest}")
        odd = 3 <= self.tried <= 999 and self.tried % 2 == 1
        require(odd, f"objective.tried must be odd and in 3..999, got {self.tried}")
        require(self.frames >= 100, f"objective.frames must be 100 or more, got {self.frames}")


def fit(network: LinearConverter, objective: WarpObjective, voices: dict[str, SpeakerFrames]) -> None:
    """Set both directions' maps; `voices` by speaker."""
    for (source, target), name in network.directions.items():
        set_matrix(network.maps[name].regression, best(voices[source], voices[target], objective))


def best(source: SpeakerFrames, target: SpeakerFrames, objective: WarpObjective) -> Tensor:
    """`(bands, bands)`: normalised frames of `source` times it come nearest to those of `target`."""
    constants = torch.linspace(-objective.largest, objective.largest, objective.tried).tolist()
    matrices = [warped(source, constant) for constant in constants]
    aligner = Aligner(most=objective.frames)
    far = [aligner.pairs(replace(source, frames=source.frames @ matrix), target)[2] for matrix in matrices]
    return matrices[far.index(min(far))]


def warped(voice: SpeakerFrames, constant: float) -> Tensor:
    """`(bands, bands)`: normalised frames of `voice` times it are warped and normalised again."""
    order = voice.frames.shape[1] - 1
    matrix = torch.from_numpy(warping_matrix(order, order, constant)).to(voice.frames)
    matrix = voice.deviation[:, None] * matrix
    return matrix / (voice.frames @ matrix).std(0, correction=0)


@torch.no_grad()
def set_matrix(convolution: nn.Conv1d, matrix: Tensor) -> None:
    """Frames times `(bands, bands)`, each by itself."""
    convolution.weight.copy_(matrix.T[..., None])
