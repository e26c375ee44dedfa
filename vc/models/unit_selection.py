"""Unit selection: what anyone says, put together from frames of a target's own recordings. Nothing is learnt.

After Hunt and Black, "Unit selection in a concatenative speech synthesis system using a large speech database", ICASSP
1996: those frames of the recordings are taken that cost least in all. A frame costs what it differs from what is wanted
(their target cost) and, unless it follows the frame before it in a recording, what it differs from the one that does
(their concatenation cost). Wanted is content of a speech encoder, of which kNN-VC takes the mean of the nearest frames
(Baas, van Niekerk and Kamper, "Voice conversion with just nearest neighbors", Interspeech 2023). A mean of log-mel
frames is dull, and so each frame is one of the target's, but for its loudness and the bridged steps at joins.
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

CHUNK = 128  # wanted frames at a time, so that memory does not follow the length of what is said
BRIDGE = (0.26, 0.09)  # shares of the step at a join that frames on either side take over, the nearest first
OUTERMOST = 3.0  # deviations of log F0 and loudness from their means: what lies farther is taken to lie there


@dataclass(frozen=True)
class UnitSelectionConfig:
    """How many frames are tried, and what differences cost beside those of content, which cost 1 - cosine."""

    candidates: int = 12  # frames of the target, the nearest to a wanted frame
    reach: int = 2  # frames before and after a wanted one whose candidates are followed to it
    melody: float = 0.025  # of a squared deviation of log F0, where both are voiced
    voicing: float = 0.075  # of voiced to unvoiced
    loudness: float = 0.015  # of a squared deviation of loudness
    jump: float = 0.035  # of a frame that does not follow the one before it in a recording
    join: float = 0.2  # ... beside, of a deviation of log-mel between it and the one that does, over all bands
    louder: float = 1.5  # deviations by which a frame's loudness is brought to what is wanted, at most

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
            decoded = [units.decode(*each, self.config) for each in zip(content.mT.float(), prosody.mT.float())]
        return torch.stack(decoded).mT


class Units(nn.Module):
    """A target's frames, the recordings end to end. Until they are set or loaded there is one, of means."""

    def __init__(self, bands: int, dims: int):
        super().__init__()
        self.register_buffer("log_mel", torch.zeros(1, bands, dtype=torch.float16))  # (units, bands), normalised
        self.register_buffer("content", torch.zeros(1, dims, dtype=torch.float16))  # (units, dims), as decoders take it
        self.register_buffer("manner", torch.zeros(1, PROSODY))  # (units, 3): melody, voicing, loudness
        self.register_buffer("recording", torch.zeros(1, dtype=torch.int32))  # (units,) its number
        self.register_buffer("louder", torch.zeros(bands))  # that a deviation of loudness adds to normalised log-mel
        self.register_load_state_dict_pre_hook(_make_room)

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
        """`(frames,)`: the units, of those that are tried, that cost least in all, by Viterbi's search."""
        offered, wanted = self._offered(config), _wanted(content, manner)
        count = min(config.candidates, len(offered))
        nearest = [(part @ offered.T).topk(count, largest=False).indices for part in wanted.split(CHUNK)]
        tried = self._followed(torch.cat(nearest), config.reach)  # (frames, tried)
        total, before, origins = torch.zeros_like(tried[0], dtype=offered.dtype), tried[:1], []
        for now, part in zip(tried.split(CHUNK), wanted.split(CHUNK)):
            costs = torch.einsum("fd,ftd->ft", part, offered[now])
            joins = self._joins(torch.cat([before, now[:-1]]), now, config)
            if not origins:
                joins[0] = 0  # nothing comes before the first
            for cost, join in zip(costs, joins):
                least, origin = (total[:, None] + join).min(dim=0)
                total = least + cost
                origins.append(origin)
            before = now[-1:]
        best = [total.argmin()]
        for origin in reversed(origins[1:]):
            best.append(origin[best[-1]])
        return tried.gather(1, torch.stack(best[::-1])[:, None])[:, 0]

    def _followed(self, nearest: Tensor, reach: int) -> Tensor:
        """The nearest units of each frame, and those that its neighbours' lead to: `(frames, tried)`."""
        here, tried = torch.arange(len(nearest), device=nearest.device), []
        for shift in range(-reach, reach + 1):
            there = (here + shift).clamp(0, len(nearest) - 1)
            tried.append(nearest[there] + (here - there)[:, None])
        return torch.cat(tried, dim=1).clamp(0, len(self.log_mel) - 1)

    def _joins(self, before: Tensor, now: Tensor, config: UnitSelectionConfig) -> Tensor:
        """`(frames, tried before, tried now)`: what it costs to go from `before` to `now`, `(frames, tried)` each."""
        after = (before + 1).clamp(max=len(self.log_mel) - 1)
        ends = self.recording[after] != self.recording[before]
        expected = torch.where(ends, before, after)  # at a recording's end its last frame is held
        follows = self._follows(before[:, :, None], now[:, None])
        one, other = (self.log_mel[places].float() for places in (expected, now))
        distances = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist") / one.shape[-1] ** 0.5
        return torch.where(follows, 0.0, config.jump + config.join * distances)

    def _follows(self, before: Tensor, now: Tensor) -> Tensor:
        """Whether a unit comes right after another in a recording."""
        return (before + 1 == now) & (self.recording[before] == self.recording[now])

    def _offered(self, config: UnitSelectionConfig) -> Tensor:
        """`(units, dims + 6)`, whose products with what is wanted are the target costs."""
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


def _wanted(content: Tensor, manner: Tensor) -> Tensor:
    """`(frames, dims + 6)`: cosine, squared differences and voicing, as factors of one matrix product."""
    melody, voiced, loud = _bounded(manner)
    columns = [-normalize(content, dim=1), voiced * melody.square(), voiced * melody, voiced]
    return torch.column_stack([*columns, loud.square(), loud, torch.ones_like(loud)])


def _bounded(manner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Melody, voicing and loudness, `(frames,)` each."""
    melody, voiced, loud = manner.unbind(1)
    return melody.clamp(-OUTERMOST, OUTERMOST), voiced, loud.clamp(-OUTERMOST, OUTERMOST)


def _make_room(units: Units, weights: Mapping[str, Any], prefix: str, *_: object) -> None:
    """As many units as a file has of log-mel; where it has not as many of the rest, loading says so."""
    log_mel = weights.get(f"{prefix}log_mel")
    count = len(log_mel) if log_mel is not None and log_mel.dim() else 0
    for name in ("log_mel", "content", "manner", "recording"):
        buffer = getattr(units, name)
        setattr(units, name, buffer.new_empty(max(count, 1), *buffer.shape[1:]))
