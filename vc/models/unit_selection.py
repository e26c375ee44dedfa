"""Unit selection: any speaker's content, concatenated from frames of a target's recordings. Nothing is trained.

After Hunt and Black, "Unit selection in a concatenative speech synthesis system using a large speech database", ICASSP
1996: the path through the recordings' frames of least total cost is taken. The target cost of a frame is its difference
from the query, the concatenation cost its difference from the frame that follows the one before it in the recording, 0
if it is that frame. The query is content of a speech encoder, for which kNN-VC takes the mean of the nearest frames
(Baas, van Niekerk and Kamper, "Voice conversion with just nearest neighbors", Interspeech 2023). A mean of log-mel
frames sounds dull, so each frame here is one of the target's, but for its loudness and the smoothed steps at joins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from vc.config import require
from vc.features.content import PROSODY
from vc.models.base import AbstractDecoder

CHUNK = 128  # frames of the query at a time, so that memory does not follow its length
BRIDGE = (0.26, 0.09)  # shares of the step at a join that frames on either side take over, the nearest first
OUTERMOST = 3.0  # deviations of log F0 and loudness from their means, to which they are clipped


@dataclass(frozen=True)
class UnitSelectionConfig:
    """Number of candidates, and weights of the costs beside that of content, 1 - cosine."""

    candidates: int = 12  # frames of the target, the nearest to a frame of the query
    reach: int = 2  # frames before and after a frame whose candidates are continued to it
    melody: float = 0.025  # of a squared deviation of log F0, where both are voiced
    voicing: float = 0.075  # of voiced to unvoiced
    loudness: float = 0.015  # of a squared deviation of loudness
    jump: float = 0.035  # of a frame that does not follow the one before it in a recording
    join: float = 0.2  # ... beside, of a deviation of log-mel between it and the one that does, over all bands
    louder: float = 1.5  # deviations by which a frame's loudness is moved towards the query's, at most

    def __post_init__(self) -> None:
        require(1 <= self.candidates <= 1000, f"network.candidates must be in 1..1000, got {self.candidates}")
        require(0 <= self.reach <= 10, f"network.reach must be in 0..10 frames, got {self.reach}")
        for name in ("melody", "voicing", "loudness", "jump", "join", "louder"):
            value = getattr(self, name)
            require(0 <= value <= 100, f"network.{name} must be in 0..100, got {value}")


class UnitSelection(AbstractDecoder):
    """The frames of each target; vc/train/unit_selection.py puts them in."""

    def __init__(self, config: UnitSelectionConfig, bands: int, dims: int, speakers: tuple[str, ...]):
        super().__init__()
        self.config = config
        self.numbers = {name: number for number, name in enumerate(speakers)}
        self.units = nn.ModuleList(Units(bands, dims) for _ in speakers)

    def decode(self, content: Tensor, prosody: Tensor, target: str) -> Tensor:
        units = self.units[self.numbers[target]]
        with torch.autocast(content.device.type, enabled=False):  # rounding would choose other frames
            decoded = [units.decode(*item, self.config) for item in zip(content.mT.float(), prosody.mT.float())]
        return torch.stack(decoded).mT


class Units(nn.Module):
    """A target's frames, recording after recording. Until they are set or loaded there is one, of means."""

    def __init__(self, bands: int, dims: int):
        super().__init__()
        self.register_buffer("log_mel", torch.zeros(1, bands, dtype=torch.float16))  # (units, bands), normalised
        self.register_buffer("content", torch.zeros(1, dims, dtype=torch.float16))  # (units, dims), as decoders take it
        self.register_buffer("manner", torch.zeros(1, PROSODY))  # (units, 3): melody, voicing, loudness
        self.register_buffer("recording", torch.zeros(1, dtype=torch.int32))  # (units,), numbers
        self.register_buffer("louder", torch.zeros(bands))  # change of normalised log-mel for a deviation of loudness
        self.register_load_state_dict_pre_hook(_resize)

    def decode(self, content: Tensor, prosody: Tensor, config: UnitSelectionConfig) -> Tensor:
        """`(frames, bands)` of log-mel from content `(frames, dims)` and prosody `(frames, bands + 3)`."""
        manner = prosody[:, -PROSODY:]
        path = self.path(content, manner, config)
        change = (manner[:, 2] - self.manner[path, 2]).clamp(-config.louder, config.louder)
        log_mel = self.log_mel[path].float() + change[:, None] * self.louder
        gaps = log_mel.diff(dim=0) * ~self._follows(path[:-1], path[1:])[:, None]
        bridged = log_mel.clone()
        for away, share in enumerate(BRIDGE):
            bridged[: len(gaps) - away] += share * gaps[away:]
            bridged[1 + away :] -= share * gaps[: len(gaps) - away]
        return bridged

    def path(self, content: Tensor, manner: Tensor, config: UnitSelectionConfig) -> Tensor:
        """The candidates `(frames,)` of least total cost, by Viterbi's search."""
        units, query = self._vectors(config), _query(content, manner)
        count = min(config.candidates, len(units))
        nearest = torch.cat([(part @ units.T).topk(count, largest=False).indices for part in query.split(CHUNK)])
        candidates = with_continuations(nearest, config.reach).clamp(0, len(self.log_mel) - 1)
        total, before, origins = torch.zeros_like(candidates[0], dtype=units.dtype), candidates[:1], []
        for now, part in zip(candidates.split(CHUNK), query.split(CHUNK)):
            target_costs = torch.einsum("fd,fcd->fc", part, units[now])
            join_costs = self._join_costs(torch.cat([before, now[:-1]]), now, config)
            if not origins:
                join_costs[0] = 0  # nothing comes before the first
            for target_cost, join_cost in zip(target_costs, join_costs):
                least, origin = (total[:, None] + join_cost).min(dim=0)
                total = least + target_cost
                origins.append(origin)
            before = now[-1:]
        best = [total.argmin()]
        for origin in reversed(origins[1:]):
            best.append(origin[best[-1]])
        return candidates.gather(1, torch.stack(best[::-1])[:, None])[:, 0]

    def _join_costs(self, before: Tensor, now: Tensor, config: UnitSelectionConfig) -> Tensor:
        """Costs `(frames, candidates before, candidates now)` of joining two units, `(frames, candidates)` each."""
        after = (before + 1).clamp(max=len(self.log_mel) - 1)
        ends = self.recording[after] != self.recording[before]
        expected = torch.where(ends, before, after)  # at a recording's end its last frame is held
        follows = self._follows(before[:, :, None], now[:, None])
        one, other = (self.log_mel[units].float() for units in (expected, now))
        distances = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[-1] ** 0.5
        return torch.where(follows, 0.0, config.jump + config.join * distances)

    def _follows(self, before: Tensor, now: Tensor) -> Tensor:
        """Whether unit `now` comes right after unit `before` in a recording."""
        return (before + 1 == now) & (self.recording[before] == self.recording[now])

    def _vectors(self, config: UnitSelectionConfig) -> Tensor:
        """The units as vectors `(units, dims + 6)`, whose products with those of the query are the target costs."""
        melody, voiced, loud = _bounded(self.manner)
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


def with_continuations(nearest: Tensor, reach: int) -> Tensor:
    """The nearest units `(frames, units)` and, from `reach` frames before and after, the units that continue theirs.

    Numbers may lie before the first unit or behind the last.
    """
    numbers, candidates = torch.arange(len(nearest), device=nearest.device), []
    for shift in range(-reach, reach + 1):
        neighbours = (numbers + shift).clamp(0, len(nearest) - 1)
        candidates.append(nearest[neighbours] + (numbers - neighbours)[:, None])
    return torch.cat(candidates, dim=1)


def _query(content: Tensor, manner: Tensor) -> Tensor:
    """The query as vectors `(frames, dims + 6)`: factors of cosine, squared differences and voicing."""
    melody, voiced, loud = _bounded(manner)
    columns = [-normalize(content, dim=1), voiced * melody.square(), voiced * melody, voiced]
    return torch.column_stack([*columns, loud.square(), loud, torch.ones_like(loud)])


def _bounded(manner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Melody, voicing and loudness, `(frames,)` each, clipped to OUTERMOST."""
    melody, voiced, loud = manner.unbind(1)
    return melody.clamp(-OUTERMOST, OUTERMOST), voiced, loud.clamp(-OUTERMOST, OUTERMOST)


def _resize(units: Units, weights: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Make room for the units of a file, as many as its log-mel has; loading refuses other tensors of other length."""
    log_mel = weights.get(f"{prefix}log_mel")
    count = len(log_mel) if log_mel is not None and log_mel.dim() else 0
    for name in ("log_mel", "content", "manner", "recording"):
        buffer = getattr(units, name)
        setattr(units, name, buffer.new_empty(max(count, 1), *buffer.shape[1:]))
