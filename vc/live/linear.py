"""Linear models (vc/models/linear.py) in NumPy, with a bounded look-ahead.

A `LinearMap` sees 68 frames to each side. Here the last available frame stands for all later ones, as at the end of a
recording, so that each output frame is what the full map gives for the recording up to this point. Predicting future
frames from their correlations in the training data came 9 to 15 % closer to the full map (docs/live.md), too little to
justify storing them in model files.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from vc.config import require
from vc.errors import ConfigError
from vc.features.speakers import Speaker, direction_name
from vc.features.world import WorldConfig
from vc.model_file import Model

PARTS = ("regression", "movement", "warp", "detail")
FARTHEST = 6.0  # standard deviations to which input bands are clipped; digital silence lies beyond
LONGEST = 512  # largest reach of a filter in frames to each side


@dataclass(frozen=True)
class LinearModel:
    """A linear model: its description, and its weights by name."""

    model: Model
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, model: Model, weights: Mapping[str, np.ndarray], path: object) -> "LinearModel":
        """Take the content of the model file at `path`; ConfigError if it cannot be used live."""
        try:
            world = isinstance(model.features, WorldConfig)
            require(world, "linear models run live on features of kind world alone")
            require(len(model.speakers) >= 2, f"a model has 2 speakers or more, this one {len(model.speakers)}")
            for name, speaker in model.speakers.items():
                bands = len(speaker.mel_cepstrum_mean)
                require(bands == model.features.bands, f"speaker {name} has {bands} bands, not {model.features.bands}")
            linear = cls(model, weights)
            for pair in permutations(range(len(model.speakers)), 2) if weights else ():
                linear._refuse_other_shapes(direction_name(*pair))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        return linear

    def _refuse_other_shapes(self, direction: str) -> None:
        bands = self.model.features.bands
        parts = {name: self.weights.get(f"maps.{direction}.{name}.weight", np.zeros(0)) for name in PARTS}
        if parts["warp"].size == parts["detail"].size == 0:  # files of old versions have only the regression
            parts |= {"warp": np.zeros((bands, bands, 1)), "detail": np.zeros_like(parts["movement"])}
        lengths = {name: part.shape[-1] if part.ndim == 3 else 0 for name, part in parts.items()}
        outputs = {"regression": bands, "movement": 1, "warp": bands, "detail": 1}
        fits = all(parts[name].shape == (bands, outputs[name], lengths[name]) for name in PARTS)
        odd = all(0 < length <= 2 * LONGEST and length % 2 for length in lengths.values())
        same = lengths["movement"] == lengths["detail"] and lengths["warp"] == 1
        bias = self.weights.get(f"maps.{direction}.regression.bias", np.zeros(0)).shape == (bands,)
        require(fits and odd and same and bias, f"weights do not fit {self.model.method}")

    def frame_map(self, source: str, target: str, look_ahead: int) -> "FrameMap":
        """The conversion of one direction (speaker ids), with a look-ahead in frames."""
        speakers = self.model.speakers[source], self.model.speakers[target]
        if self.model.method == "mean_variance":
            bands = self.model.features.bands
            parts = [np.eye(bands)[..., None], np.ones((bands, 1, 1)), None, None, np.zeros(bands)]
        else:
            numbers = map([*self.model.speakers].index, (source, target))
            direction = f"maps.{direction_name(*numbers)}"
            parts = [self.weights.get(f"{direction}.{name}.weight") for name in PARTS]
            parts.append(self.weights[f"{direction}.regression.bias"])
        return FrameMap(*speakers, *limit_look_ahead(*parts, look_ahead), look_ahead)


def limit_look_ahead(
    regression: np.ndarray,
    movement: np.ndarray,
    warp: np.ndarray | None,
    detail: np.ndarray | None,
    bias: np.ndarray,
    look_ahead: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Fold a linear map into one matrix over the available frames, of which the last stands for all later ones.

    Parameters
    ----------
    regression, movement, warp, detail : np.ndarray
        Weights of shape `(bands, bands, context)`, `(bands, 1, taps)`, `(bands, bands, 1)` and `(bands, 1, taps)`; the
        last two are None in models without them.
    bias : np.ndarray
        Bias of the regression, shape `(bands,)`.
    look_ahead : int
        Number of future frames.

    Returns
    -------
    np.ndarray
        Matrix, shape `(bands, frames * bands)`, over the frames from the oldest to the last future one.
    np.ndarray
        Bias, shape `(bands,)`.
    """
    bands, _, width = regression.shape
    context, reach = width // 2, movement.shape[-1] // 2
    current = context + reach  # index of the frame that is converted
    weights = np.zeros((current + look_ahead + 1, bands, bands))
    for tap in range(-reach, reach + 1):
        filtered = min(tap, look_ahead)
        for offset in range(-context, context + 1):
            index = current + min(filtered + offset, look_ahead)
            weights[index] += movement[:, 0, reach + tap, None] * regression[:, :, context + offset]
        if detail is not None:
            weights[current + filtered] += detail[:, 0, reach + tap, None] * warp[:, :, 0]
    matrix = weights.transpose(1, 0, 2).reshape(bands, -1)
    return matrix.astype(np.float32), (bias * movement[:, 0].sum(axis=1)).astype(np.float32)


class FrameMap:
    """Converts mel-cepstra frame by frame; c0 (loudness) is kept from the source."""

    def __init__(self, source: Speaker, target: Speaker, matrix: np.ndarray, offset: np.ndarray, look_ahead: int):
        self._before, self._after = source.normaliser, target.normaliser
        self._matrix, self._offset, self._look_ahead = matrix, offset, look_ahead
        self.reset()

    def reset(self) -> None:
        """Start over with a recording's first frame."""
        self._frames: np.ndarray | None = None  # (frames * bands,), normalised
        self._waiting: deque[np.ndarray] = deque(maxlen=self._look_ahead + 1)

    def push(self, mel_cepstrum: np.ndarray, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Take a frame `(bands,)`; return the frame `look_ahead` frames earlier, and its conversion, `(bands,)` each.

        It is converted as if it were louder by `gain`. Before the first frame, the first frame is repeated.
        """
        self._waiting.append(mel_cepstrum)
        amplified = np.concatenate([[mel_cepstrum[0] + np.log(gain)], mel_cepstrum[1:]])
        frame = np.clip(self._before.transform(amplified), -FARTHEST, FARTHEST).astype(np.float32)
        if self._frames is None:
            self._frames = np.tile(frame, self._matrix.shape[1] // len(frame))
        self._frames = np.concatenate([self._frames[len(frame) :], frame])
        source = self._waiting[0]
        converted = self._after.inverse((self._matrix @ self._frames + self._offset).astype(np.float64))
        converted[0] = source[0]
        return source, converted
