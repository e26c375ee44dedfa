"""Unit selection: any speaker's content, concatenated from frames of a target's recordings. Nothing is trained.

After Hunt and Black, "Unit selection in a concatenative speech synthesis system using a large speech database", ICASSP
1996: the path through the recordings' frames with the least total cost is chosen. The target cost of a frame is its
difference from the query; the concatenation cost is its difference from the frame that follows the path's previous one
in the recording, 0 if it is that frame. The query is content of a speech encoder, for which kNN-VC takes the mean of
the nearest frames (Baas, van Niekerk and Kamper, "Voice conversion with just nearest neighbors", Interspeech 2023). A
mean of log-mel frames sounds dull, so each frame here is one of the target's, but for its loudness and smoothed joins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vc.config import require, require_range
from vc.features.content import PROSODY
from vc.models.base import AbstractDecoder

CHUNK = 128  # frames of the query at a time, so that memory does not grow with its length
MOST_CANDIDATES = 500  # of a frame, with the continuations; memory and time grow with its square
JOIN_SMOOTHING = (0.26, 0.09)  # shares of the step at a join by which frames on either side move, the nearest first
MAX_DEVIATION = 3.0  # deviations of log F0 and loudness from their means, to which they are clipped


@dataclass(frozen=True)
class UnitSelectionConfig:
    """Number of candidates, and weights of the costs beside that of content, 1 - cosine."""

    candidates: int = 12  # frames of the target, the nearest to a frame of the query
    reach: int = 2  # frames before and after a frame whose candidates' continuations are candidates, too
    melody: float = 0.025  # of a squared deviation of log F0, where both are voiced
    voicing: float = 0.075  # of voiced to unvoiced
    loudness: float = 0.015  # of a squared deviation of loudness
    jump: float = 0.035  # of a frame that does not follow the previous one in a recording
    join: float = 0.2  # added then, for a deviation of log-mel, over all bands, between it and the one that does follow
    louder: float = 1.5  # largest change of a frame's loudness towards the query's, in deviations

    def __post_init__(self) -> None:
        require_range(self, "network", "candidates", at_least=1, at_most=MOST_CANDIDATES)
        require_range(self, "network", "reach", at_least=0, at_most=10, unit="frames")
        count = self.candidates * (2 * self.reach + 1)
        product = f"network.candidates * (2 * network.reach + 1) must be at most {MOST_CANDIDATES}, got {count}"
        require(count <= MOST_CANDIDATES, product)
        weights = ("melody", "voicing", "loudness", "jump", "join", "louder")
        require_range(self, "network", *weights, at_least=0, at_most=100)


class UnitSelection(AbstractDecoder):
    """The frames of each target, which vc/train/unit_selection.py sets."""

    def __init__(self, config: UnitSelectionConfig, bands: int, dims: int, speakers: tuple[str, ...]):
        super().__init__()
        self.config = config
        self.speaker_indices = {name: index for index, name in enumerate(speakers)}
        self.units = nn.ModuleList(Units(bands, dims) for _ in speakers)

    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        units = self.units[self.speaker_indices[target]]
        with torch.autocast(content.device.type, enabled=False):  # rounding would choose other frames
            decoded = [units.decode(*item, self.config) for item in zip(content.mT.float(), prosody.mT.float())]
        return torch.stack(decoded).mT


class Units(nn.Module):
    """A target's frames, recording after recording; before they are set or loaded, a single one of 0."""

    def __init__(self, bands: int, dims: int):
        super().__init__()
        self.register_buffer("log_mel", torch.zeros(1, bands, dtype=torch.float16))  # (units, bands), normalised
        self.register_buffer("content", torch.zeros(1, dims, dtype=torch.float16))  # (units, dims), as decoders take it
        self.register_buffer("manner", torch.zeros(1, PROSODY))  # (units, 3), `contours`: melody, voicing, loudness
        self.register_buffer("recording", torch.zeros(1, dtype=torch.int32))  # (units,), indices
        self.register_buffer("louder", torch.zeros(bands))  # change of normalised log-mel for a deviation of loudness
        self.register_load_state_dict_pre_hook(_resize_buffers)

    def decode(self, content: Tensor, prosody: Tensor, config: UnitSelectionConfig) -> Tensor:
        """Log-mel `(frames, bands)` from content `(frames, dims)` and prosody `(frames, bands + 3)`."""
        manner = prosody[:, -PROSODY:]
        path = self.path(content, manner, config)
        change = (manner[:, 2] - self.manner[path, 2]).clamp(-config.louder, config.louder)
        log_mel = self.log_mel[path].float() + change[:, None] * self.louder
        gaps = log_mel.diff(dim=0) * ~self._follows(path[:-1], path[1:])[:, None]
        smoothed = log_mel.clone()
        for distance, share in enumerate(JOIN_SMOOTHING):
            smoothed[: len(gaps) - distance] += share * gaps[distance:]
            smoothed[1 + distance :] -= share * gaps[: len(gaps) - distance]
        return smoothed

    def path(self, content: Tensor, manner: Tensor, config: UnitSelectionConfig) -> Tensor:
        """The units `(frames,)` on the path of least total cost, by the Viterbi algorithm."""
        units, query = self._unit_vectors(config), _query_vectors(content, manner)
        count = min(config.candidates, len(units))
        nearest = torch.cat([(part @ units.T).topk(count, largest=False).indices for part in query.split(CHUNK)])
        candidates = add_continuations(nearest, config.reach).clamp(0, len(self.log_mel) - 1)
        total, previous, origins = torch.zeros_like(candidates[0], dtype=units.dtype), candidates[:1], []
        for chunk, part in zip(candidates.split(CHUNK), query.split(CHUNK)):
            target_costs = torch.einsum("fd,fcd->fc", part, units[chunk])
            join_costs = self._join_costs(torch.cat([previous, chunk[:-1]]), chunk, config)
            if not origins:
                join_costs[0] = 0  # the first frame joins none
            for target_cost, join_cost in zip(target_costs, join_costs):
                least, origin = (total[:, None] + join_cost).min(dim=0)
                total = least + target_cost
                origins.append(origin)
            previous = chunk[-1:]
        best = [total.argmin()]
        for origin in reversed(origins[1:]):
            best.append(origin[best[-1]])
        return candidates.gather(1, torch.stack(best[::-1])[:, None])[:, 0]

    def _join_costs(self, previous: Tensor, current: Tensor, config: UnitSelectionConfig) -> Tensor:
        """Costs `(frames, previous, current)` of joining candidates `(frames, previous)` to `(frames, current)`."""
        successors = (previous + 1).clamp(max=len(self.log_mel) - 1)
        ends = self.recording[successors] != self.recording[previous]
        expected = torch.where(ends, previous, successors)  # at a recording's end its last frame is held
        follows = self._follows(previous[:, :, None], current[:, None])
        pair = (self.log_mel[units].float() for units in (expected, current))
        distances = torch.cdist(*pair, compute_mode="donot_use_mm_for_euclid_dist") / self.log_mel.shape[-1] ** 0.5
        return torch.where(follows, 0.0, config.jump + config.join * distances)

    def _follows(self, previous: Tensor, current: Tensor) -> Tensor:
        """Whether unit `current` comes right after unit `previous` in a recording."""
        return (previous + 1 == current) & (self.recording[previous] == self.recording[current])

    def _unit_vectors(self, config: UnitSelectionConfig) -> Tensor:
        """The units as vectors `(units, dims + 6)`; their inner products with `_query_vectors` are the target costs."""
        melody, voiced, loud = _clip_manner(self.manner)
        columns = [
            normalize(self.content.float(), dim=1),
            config.melody * voiced,
            config.melody * voiced * -2 * melody,
            config.melody * voiced * melody.square() + config.voicing * (1 - 2 * voiced),
            torch.full_like(loud, config.loudness),
            config.loudness * -2 * loud,
            1 + config.voicing * voiced + config.loudness * loud.square(),
        ]
        return torch.column_stack(columns)


def add_continuations(nearest: Tensor, reach: int) -> Tensor:
    """The nearest units `(frames, units)`, and those that continue the ones of up to `reach` frames before and after.

    Indices may lie before the first unit or after the last.
    """
    frames, candidates = torch.arange(len(nearest), device=nearest.device), []
    for shift in range(-reach, reach + 1):
        neighbours = (frames + shift).clamp(0, len(nearest) - 1)
        candidates.append(nearest[neighbours] + (frames - neighbours)[:, None])
    return torch.cat(candidates, dim=1)


def _query_vectors(content: Tensor, manner: Tensor) -> Tensor:
    """The query as vectors `(frames, dims + 6)`: factors of cosine, squared differences and voicing."""
    melody, voiced, loud = _clip_manner(manner)
    columns = [-normalize(content, dim=1), voiced * melody.square(), voiced * melody, voiced]
    return torch.column_stack([*columns, loud.square(), loud, torch.ones_like(loud)])


def _clip_manner(manner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Melody, voicing and loudness, `(frames,)` each, clipped to MAX_DEVIATION."""
    melody, voiced, loud = manner.unbind(1)
    return melody.clamp(-MAX_DEVIATION, MAX_DEVIATION), voiced, loud.clamp(-MAX_DEVIATION, MAX_DEVIATION)


def _resize_buffers(units: Units, weights: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Resize the buffers to a file's number of units, its log-mel's; loading refuses tensors of another length."""
    log_mel = weights.get(f"{prefix}log_mel")
    count = len(log_mel) if log_mel is not None and log_mel.dim() else 0
    for name in ("log_mel", "content", "manner", "recording"):
        buffer = getattr(units, name)
        setattr(units, name, buffer.new_empty(max(count, 1), *buffer.shape[1:]))
