"""Step, report, score, save, stop: the only loop. It knows no model; the engine gives it named losses."""

import signal
import time
from types import FrameType
from typing import Protocol

from vc.errors import TrainingError
from vc.parallel import progress
from vc.signals import exit_status, stop_signals
from vc.train.experiment import TrainingConfig
from vc.train.meter import Meter
from vc.train.state import State


class Stopped(TrainingError):
    """A signal asked the run to stop; the same command goes on from the last step that was worth saving."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}; the same command goes on")
        self.code = exit_status(number)


class Work(Protocol):
    """What the loop asks of a run."""

    state: State
    settings: TrainingConfig
    meter: Meter

    def step(self) -> None:
        """Take the next step; its losses are in `meter`."""

    def refused(self) -> tuple[int, int]:
        """Steps refused since this was last asked, and the most in a row."""

    def astray(self) -> bool:
        """Whether the last step was refused: no checkpoint then but the last, for the weights may be the cause."""

    def report(self, losses: dict[str, float], steps_per_second: float, refused: int) -> None:
        """Mean losses since the last report."""

    def retreat(self) -> None:
        """Go back to the last checkpoint, more carefully."""

    def score(self) -> None:
        """Measure the held-out set, if there is one, and note whether the model is the best so far."""

    def save(self) -> None:
        """Write a checkpoint, and the model if it is the best so far."""

    def sample(self) -> None:
        """Convert the validation recordings."""

    def agree(self, number: int) -> int:
        """The largest `number` of all processes."""


def run(work: Work) -> None:
    """Steps from where `work.state` is to the last, with everything at its interval."""
    meter, settings, saved, began = work.meter, work.settings, time.monotonic(), time.monotonic()
    steps = 0  # since `began`
    with Signals() as signals, progress(settings.steps, "training", work.state.step) as bar:
        while not finished(work.state, settings):
            work.step()
            steps += 1
            step = work.state.step
            bar.update(step - bar.n)
            if _due(step, settings.log_every, settings):
                losses, speed = meter.means(), steps / (time.monotonic() - began)
                steps, began = 0, time.monotonic()
                refused, in_a_row = work.refused()
                work.report(losses, speed, refused)
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
                if in_a_row >= settings.refused_steps:
                    work.retreat()
                    continue
            stop = work.agree(signals.number)
            regular = _due(step, settings.checkpoint_every, settings)
            wanted = regular or stop or time.monotonic() - saved > 60 * settings.save_minutes
            if wanted and (step == settings.steps or not work.astray()):
                if regular:
                    work.score()
                work.save()
                saved = time.monotonic()
            if stop:
                raise Stopped(stop, step)
            if _due(step, settings.sample_every, settings):
                work.sample()


def finished(state: State, settings: TrainingConfig) -> bool:
    """Whether nothing is left to do: all steps are done, or the model has long not become better."""
    return state.step >= settings.steps or 0 < settings.patience <= state.stale


def _due(step: int, every: int, settings: TrainingConfig) -> bool:
    return step % every == 0 or step == settings.steps


class Signals:
    """Notes that a signal came, for the loop to stop after its step; gives the old handlers back."""

    def __init__(self):
        self.number = 0

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._note) for number in stop_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
