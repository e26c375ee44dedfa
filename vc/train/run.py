"""What every training run does, whatever it trains: go on where it was, report, score, save, go back, end."""

import contextlib
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from vc import model_file
from vc.errors import TrainingError
from vc.train import checkpoint, loop
from vc.train.engine import Engine
from vc.train.experiment import TrainingConfig
from vc.train.log import RunLog
from vc.train.processes import Processes
from vc.train.state import State

NAME = model_file.NAME  # of what the run makes, in its directory
UNCOMPILED = partial(torch.compiler.set_stance, "force_eager")  # a conversion of another length is no new compilation
log = logging.getLogger(__name__)


class Scoring(Protocol):
    """The set that chooses the best model."""

    digest: str  # of the recordings or features that it comes from


class Run(ABC):
    """One run, as the loop works with it. Of several processes all take steps, and the first alone writes.

    The abstract methods are all that differs between what is trained; those that write or measure run in the first.
    """

    digits = 2  # of a score in the log's words

    def __init__(
        self,
        output: Path,
        settings: TrainingConfig,
        engine: Engine,
        processes: Processes,
        held_out: Scoring | None,
    ):
        self.output, self.settings, self.engine = output, settings, engine
        self.processes, self.held_out = processes, held_out
        self.state, self.log = State(), None
        self.agree, self.meter = processes.agree, engine.meter

    @property
    @abstractmethod
    def title(self) -> str:
        """What is trained and where, for the log."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Of the held-out set, `score` among them: lower is better; none where nothing can be measured."""

    @abstractmethod
    def write_model(self) -> None:
        """Write `output`/NAME of the network as it is."""

    @abstractmethod
    def model_step(self) -> int | None:
        """Step of the model in `output`; None if there is none that can be read."""

    @abstractmethod
    def begun(self) -> None:
        """Say what there is to say before the first step."""

    @abstractmethod
    def write_samples(self) -> None:
        """What the network makes of the validation recordings now, to `log` and files."""

    def train(self) -> int:
        """From where the run is to its end; return the number of its last step."""
        self._restore()
        self._recognise_held_out()
        if loop.finished(self.state, self.settings):
            log.info("%s: finished at step %d; nothing to do", self.output, self.state.step)
            return self.state.step
        if self.state.step == 0:  # a full disk shows now and not hours later, and there is a place to go back to
            self._save_checkpoint()
        log.info("%s: %s, step %d of %d", self.output, self.title, self.state.step, self.settings.steps)
        if self.processes.first:
            self.begun()
        with self._logging():
            loop.run(self)
        log.info("%s: finished at step %d: %s", self.output, self.state.step, self.output / NAME)
        return self.state.step

    def step(self) -> None:
        self.engine.step(self.state.step, self.state.rate_scale)
        self.state.step += 1

    def refused(self) -> tuple[int, int]:
        return self.engine.refused.read()

    def astray(self) -> bool:
        return self.engine.refused.row > 0

    def report(self, losses: dict[str, float], steps_per_second: float, refused: int) -> None:
        losses = self.processes.means(losses)
        if refused:
            log.warning("before step %d: losses not finite, %d steps not taken", self.state.step, refused)
        if self.log:
            self.log.report(self.state.step, losses, steps_per_second, refused)

    def retreat(self) -> None:
        where, retreats, scale = self.state.step, self.state.retreats + 1, self.state.rate_scale / 2
        if retreats > self.settings.retreats:
            raise TrainingError(
                f"{self.output}: losses are not finite before step {where}, after going back {retreats - 1} times; the"
                " checkpoints are from before; try lower rates under objective:, in another --output"
            )
        self._restore()
        self.state.retreats, self.state.rate_scale = retreats, scale
        log.warning("losses not finite: from step %d back to %d, all rates times %g", where, self.state.step, scale)
        self._save_checkpoint()
        if self.log:
            self.log.close()
            self.log = RunLog(self.output, self.state.step)

    def score(self) -> None:
        if not self.held_out:
            return
        with UNCOMPILED():
            scores = self.scores() if self.processes.first else {}
        better = scores.get("score", math.inf) < self.state.best_scores.get("score", math.inf)
        if self.processes.agree(better):
            self.state.best_step, self.state.best_scores, self.state.stale = self.state.step, scores, 0
        else:
            self.state.stale += 1
        if self.log and scores:
            self.log.score(self.state.step, scores)
            best = "the best so far" if better else f"the best is that of step {self.state.best_step}"
            log.info("step %d: held-out score %.*f, %s", self.state.step, self.digits, scores["score"], best)

    def save(self) -> None:
        if not self.state.best_scores:  # until one was scored, the newest is the best
            self.state.best_step = self.state.step
        self._save_checkpoint()
        if self.state.best_step == self.state.step:
            self._write_model()

    def sample(self) -> None:
        if self.log:
            with UNCOMPILED():
                self.write_samples()

    def _recognise_held_out(self) -> None:
        """What another held-out set said before, or one that is gone, counts no more."""
        digest = self.held_out.digest if self.held_out else ""
        if self.state.held_out != digest:
            self.state.held_out, self.state.best_scores, self.state.stale = digest, {}, 0

    def _restore(self) -> None:
        """From the newest checkpoint, one process after the first, who may set damaged ones aside."""
        for turn in (True, False):
            if self.processes.first is turn:
                self.state = self._newest()
            self.processes.wait()
        if self.state.best_step == self.state.step > 0 and self.model_step() != self.state.step:
            self._write_model()  # killed between the checkpoint and the model

    def _newest(self) -> State:
        state = checkpoint.resume(self.output / "checkpoints", self.engine)
        if state is None and (self.output / NAME).exists():
            raise TrainingError(f"{self.output}: a model but no checkpoint; remove the folder to start again")
        return state or State()

    def _save_checkpoint(self) -> None:
        if self.processes.first:
            checkpoint.save(self.output / "checkpoints", self.engine, self.state, self.settings.checkpoints)

    def _write_model(self) -> None:
        if self.processes.first:
            self.write_model()

    @contextlib.contextmanager
    def _logging(self) -> Iterator[None]:
        self.log = RunLog(self.output, self.state.step) if self.processes.first else None
        try:
            yield
        finally:
            if self.log:
                self.log.close()
