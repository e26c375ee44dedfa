"""A training run from top to bottom: resume, step, report, score, save, roll back, end. It knows no model."""

import contextlib
import logging
import math
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import torch

from vc import phrases
from vc.config import require, require_range
from vc.errors import TrainingError
from vc.files import make_directory
from vc.model_file import NAME
from vc.parallel import progress
from vc.signals import exit_status, stop_signals
from vc.train import checkpoint
from vc.train.checkpoint import State
from vc.train.engine import Engine
from vc.train.log import RunLog
from vc.train.processes import Processes

# A context in which nothing is compiled: each conversion has another length and would be compiled again.
eager_mode = partial(torch.compiler.set_stance, "force_eager")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """The loop, whatever the method."""

    steps: int = 400_000
    batch: int = 1  # segments of each speaker a step, over all processes
    segment: int = 128  # frames
    seed: int = 0
    average: float = 0.0  # decay a step of the weights' moving average, which becomes the model; 0: none
    log_every: int = 100  # steps
    checkpoint_every: int = 5_000  # steps; the held-out set is scored then too
    save_minutes: float = 10.0  # a checkpoint at least as often as this; 0: after every step
    checkpoints: int = 2  # kept
    keep_every: int = 0  # steps between models that stay, as models/step-000005000.safetensors; 0: none
    patience: int = 0  # scorings without a better model after which the run ends; 0: never
    refused_steps: int = 20  # in a row, for losses that are not finite, after which the run rolls back
    retreats: int = 3  # rollbacks to the last checkpoint, each at half the rates of before, after which the run ends
    sample_every: int = 10_000  # steps between conversions of the validation recordings
    samples: int = 2  # validation recordings that are converted

    def __post_init__(self) -> None:
        from_zero = ("seed", "samples", "average", "patience", "retreats", "save_minutes", "keep_every")
        for name in vars(self):
            require_range(self, "training", name, at_least=0 if name in from_zero else 1)
        require(self.seed < 2**63, f"training.seed must be below 2**63, got {self.seed}")
        require_range(self, "training", "segment", at_least=32, at_most=100_000, unit="frames")
        require_range(self, "training", "batch", at_least=1, at_most=100_000)
        require_range(self, "training", "average", below=1)


class Stopped(TrainingError):
    """A signal ended the run early; the same command resumes it."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}; the same command goes on")
        self.code = exit_status(number)


class Run(ABC):
    """A training run. Of several processes, all take steps; only the first writes and scores.

    The abstract methods are all that differs between what is trained; all but `title` are called in the first process
    only.

    Parameters
    ----------
    output : Path
        Experiment directory.
    settings : TrainingConfig
    engine : Engine
        Takes the steps.
    processes : Processes
    held_out : str
        Digest of the held-out set that chooses the best model; empty if there is none.

    Raises
    ------
    ConfigError
        If the run is to end by scores that it does not have.
    """

    score_digits = 2  # in the log

    def __init__(self, output: Path, settings: TrainingConfig, engine: Engine, *, processes: Processes, held_out: str):
        chosen = bool(held_out) or not settings.patience
        require(chosen, "training.patience needs held-out recordings whose scores choose the model (--held-out)")
        self.output, self.settings, self.engine, self.processes = output, settings, engine, processes
        self.held_out_digest = held_out
        self.state, self.log = State(), None

    @property
    @abstractmethod
    def title(self) -> str:
        """What is trained and where, for the log."""

    @abstractmethod
    def log_start(self) -> None:
        """Log what the first step begins with."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Scores on the held-out set by name, `score` among them, lower is better; empty if there are none."""

    @abstractmethod
    def write_model(self, path: Path) -> None:
        """Write the present network as a model file, in an existing folder."""

    @abstractmethod
    def model_step(self) -> int | None:
        """Step of the model in `output`; None if there is none that can be read."""

    @abstractmethod
    def write_samples(self) -> None:
        """Write conversions of the validation recordings to `log` and files."""

    def train(self) -> int:
        """Train from the newest checkpoint to the end; return the number of the last step.

        Raises
        ------
        Stopped
            After a signal, with a checkpoint of the last step, unless that was refused.
        TrainingError
            If the directory cannot be resumed, or losses stay not finite.
        """
        self._restore()
        if self.finished():
            log.info("%s: finished at step %d; nothing to do", self.output, self.state.step)
            return self.state.step
        if self.state.step == 0:  # a full disk shows now and not hours later, and there is something to roll back to
            self._save_checkpoint()
        log.info("%s: %s, step %d of %d", self.output, self.title, self.state.step, self.settings.steps)
        if self.processes.first:
            self.log_start()
            self.log = RunLog(self.output, self.state.step)
        try:
            self.take_steps()
        finally:
            if self.log:
                self.log.close()
        of_step = f", of step {self.state.best_step}" if self.state.best_step != self.state.step else ""
        log.info("%s: finished at step %d: %s%s", self.output, self.state.step, self.output / NAME, of_step)
        return self.state.step

    def take_steps(self) -> None:
        """The loop: steps from the present one to the last, and everything else at its interval."""
        settings = self.settings
        last_save = last_report = time.monotonic()
        steps = 0  # since the last report
        with stop_signal() as received, progress(settings.steps, "training", self.state.step) as bar:
            while not self.finished():
                self.step()
                step, steps = self.state.step, steps + 1
                bar.update(step - bar.n)
                if self._due(settings.log_every):
                    losses, speed = self.engine.meter.means(), steps / (time.monotonic() - last_report)
                    steps, last_report = 0, time.monotonic()
                    refused, in_a_row = self.engine.refused.read()
                    self.report(losses, speed, refused)
                    bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
                    if in_a_row >= settings.refused_steps:
                        self.roll_back()
                        continue
                if settings.keep_every and step % settings.keep_every == 0:
                    self.keep_model()  # before the checkpoint, so that none is missing after a run was killed
                stop = self.processes.agree(received())
                regular = self._due(settings.checkpoint_every)
                due = regular or stop or time.monotonic() - last_save > 60 * settings.save_minutes
                # after a refused step only the last checkpoint is written: the weights may be the cause
                if due and (step == settings.steps or self.engine.refused.row == 0):
                    if regular:
                        self.score()
                    self.save()
                    last_save = time.monotonic()
                if stop:
                    raise Stopped(stop, step)
                if self._due(settings.sample_every) and self.log:
                    with eager_mode():
                        self.write_samples()

    def finished(self) -> bool:
        """Whether nothing is left to do: all steps are done, or the model has not become better for long."""
        return self.state.step >= self.settings.steps or 0 < self.settings.patience <= self.state.stale

    def step(self) -> None:
        """Take one step."""
        self.engine.step(self.state.step, self.state.rate_scale)
        self.state.step += 1

    def report(self, losses: dict[str, float], steps_per_second: float, refused: int) -> None:
        """Log the mean losses since the last report."""
        losses = self.processes.means(losses)
        if refused:
            steps = phrases.count(refused, "step")
            log.warning("before step %d: losses not finite, %s not taken", self.state.step, steps)
        if self.log:
            self.log.report(self.state.step, losses, steps_per_second, refused)

    def roll_back(self) -> None:
        """Go back to the last checkpoint, at half the rates."""
        step, rollbacks, scale = self.state.step, self.state.retreats + 1, self.state.rate_scale / 2
        if rollbacks > self.settings.retreats:
            raise TrainingError(
                f"{self.output}: losses are not finite before step {step}, after going back {rollbacks - 1} times; the"
                " checkpoints are from before; try lower rates under objective:, in another --output"
            )
        self._restore()
        self.state.retreats, self.state.rate_scale = rollbacks, scale
        log.warning("losses not finite: from step %d back to %d, all rates times %g", step, self.state.step, scale)
        self._save_checkpoint()
        if self.log:
            self.log.close()
            self.log = RunLog(self.output, self.state.step)

    def score(self) -> None:
        """Score the held-out set, if there is one; where it chooses, note whether the model is the best so far."""
        with eager_mode():
            scores = self.scores() if self.processes.first else {}
        rank = ""
        if self.held_out_digest:
            better = scores.get("score", math.inf) < self.state.best_scores.get("score", math.inf)
            if self.processes.agree(better):
                self.state.best_step, self.state.best_scores, self.state.stale = self.state.step, scores, 0
            else:
                self.state.stale += 1
            rank = ", the best so far" if better else f", the best is that of step {self.state.best_step}"
        if self.log and scores:
            self.log.score(self.state.step, scores)
            log.info("step %d: held-out score %.*f%s", self.state.step, self.score_digits, scores["score"], rank)

    def save(self) -> None:
        """Write a checkpoint, and the model if it is the best so far."""
        if not self.state.best_scores:  # until one was scored, the newest is the best
            self.state.best_step = self.state.step
        self._save_checkpoint()
        if self.state.best_step == self.state.step and self.processes.first:
            self.write_model(self.output / NAME)

    def keep_model(self) -> None:
        """Write the present network as a model that stays; after a refused step there is none."""
        if self.processes.first and self.engine.refused.row == 0:
            directory = self.output / "models"
            make_directory(directory)
            self.write_model(directory / f"step-{self.state.step:09d}.safetensors")

    def _due(self, interval: int) -> bool:
        return self.state.step % interval == 0 or self.state.step == self.settings.steps

    def _restore(self) -> None:
        """Restore the newest checkpoint, in the first process first, which sets damaged ones aside."""
        for turn in (True, False):
            if self.processes.first is turn:
                state = checkpoint.resume(self.output / "checkpoints", self.engine)
                if state is None and (self.output / NAME).exists():
                    raise TrainingError(f"{self.output}: a model but no checkpoint; remove the folder to start again")
                self.state = state or State()
            self.processes.wait()
        is_best = self.state.best_step == self.state.step > 0
        if is_best and self.processes.first and self.model_step() != self.state.step:
            self.write_model(self.output / NAME)  # the run was killed between the checkpoint and the model
        if self.state.held_out != self.held_out_digest:  # scores of another held-out set cannot be compared
            self.state.held_out, self.state.best_scores, self.state.stale = self.held_out_digest, {}, 0

    def _save_checkpoint(self) -> None:
        if self.processes.first:
            checkpoint.save(self.output / "checkpoints", self.engine, self.state, keep=self.settings.checkpoints)


@contextlib.contextmanager
def stop_signal() -> Iterator[Callable[[], int]]:
    """Note the signals that end a run, for it to end after its step.

    Yields
    ------
    callable
        Gives the number of the last such signal; 0 if there was none.
    """
    number = 0

    def note(received: int, _: FrameType | None) -> None:
        nonlocal number
        number = received

    in_main_thread = threading.current_thread() is threading.main_thread()  # elsewhere none can be installed
    handlers = {stopping: signal.signal(stopping, note) for stopping in (stop_signals() if in_main_thread else ())}
    try:
        yield lambda: number
    finally:
        for stopping, handler in handlers.items():
            signal.signal(stopping, handler)
