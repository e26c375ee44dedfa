"""What a user asks of a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a user asks of a run."""

    features: Path
    speakers: tuple[str, ...]  # of a pair the source first
    output: Path
    sections: dict[str, Any]  # of the configuration file
    held_out: Path | None = None  # features directory of utterances that choose the best model
    validation: Path | None = None  # data directory of recordings to convert at intervals
    add_to: Path | None = None  # model whose speakers stay as they are, new ones beside them
    device: str = "auto"
