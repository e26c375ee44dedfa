"""What a run knows of itself beside its tensors; it stands in every checkpoint."""

from dataclasses import dataclass, field


@dataclass
class State:
    """Where a run is, and what has happened on the way."""

    step: int = 0  # steps done
    rate_scale: float = 1.0  # on all learning rates, lowered whenever the run goes back
    retreats: int = 0  # times it has gone back
    best_step: int = 0  # of the model in model.safetensors
    held_out: str = ""  # digest of the set that scores, empty if there is none
    best_scores: dict[str, float] = field(default_factory=dict)  # of the held-out set, by that model; `score` decides
    stale: int = 0  # scorings since then
