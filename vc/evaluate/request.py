"""What is to be measured, and against what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vc.errors import ConfigError
from vc.evaluate.match import check_names
from vc.evaluate.measure import ANCHORS, MODEL
from vc.metrics.conventions import find as find_convention


@dataclass(frozen=True)
class Request:
    """Each path is a folder of recordings or a data directory of one speaker."""

    converted: Mapping[str, Path]  # by system; `NAME#1`, `NAME#2` are runs of one
    reference: Path  # the target's own recordings
    source: Path | None = None  # what was converted; gives the anchor `unconverted`
    model: Path | None = None  # with `source`, gives the anchor `mean_variance`, and the cycle there and back
    other_sentences: bool = False  # the reference's sentences are others, whatever they are called
    match: str | None = None  # regular expression for what of a name says the sentence
    measures: Sequence[str] | None = None  # of hearing.MEASURES; None: those that are installed
    conventions: Sequence[str] = ()  # of metrics.CONVENTIONS
    to: str | None = None  # the target by its name in the model, where no data directory tells it
    source_speaker: str | None = None  # the source likewise

    def __post_init__(self) -> None:
        if not self.converted:
            raise ConfigError("nothing to evaluate: no converted recordings are named")
        check_names(self.converted, (*ANCHORS, "source", MODEL))
        if self.model and not self.source:
            raise ConfigError("--model needs --source: the anchor mean_variance is made of the source's recordings")

        for name in self.conventions:
            find_convention(name)

    @property
    def folders(self) -> dict[str, Path]:
        """Those that are given, by side."""
        return {**self.converted, **({"source": self.source} if self.source else {}), "reference": self.reference}
