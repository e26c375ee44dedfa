"""Draw, step, report, save, stop: the only loop. It knows no model; `step` gives it named losses."""

import signal
import time
from collections.abc import Callable
from types import FrameType

import torch
from torch import Tensor

from vc.errors import TrainingError
from vc.parallel import progress
from vc.segments import PairSampler
from vc.train.base import Training
from vc.train.experiment import TrainingConfig
from vc.train.log import RunLog

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(TrainingError):
    """A signal asked the run to stop; all is saved, and the same command goes on."""

    def __init__(self, number: int, step: int):
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}, saved; the same command goes on")
        self.code = 130 if number == signal.SIGINT else 143


def run(
    training: Training,
    sampler: PairSampler,
    first: int,
    settings: TrainingConfig,
    log: RunLog,
    save: Callable[[int], None],
    sample: Callable[[int], None],
) -> None:
    """Steps `first` to `settings.steps`; `save(step)` and `sample(step)` are called at their intervals."""
    meter = Meter()
    bar = progress(settings.steps, "training", first)
    with Signals() as signals:
        for step in range(first + 1, settings.steps + 1):
            meter.add(training.step(sampler.draw(), step - 1))
            bar.update()
            if step % settings.log_every == 0 or step == settings.steps:
                losses, speed = meter.means(step)
                log.report(step, losses, speed)
                bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
            if step % settings.checkpoint_every == 0 or step == settings.steps or signals.number:
                save(step)
            if signals.number:
                raise Stopped(signals.number, step)
            if step % settings.sample_every == 0 or step == settings.steps:
                sample(step)
    bar.close()


class Meter:
    """Means of named losses since the last report, summed on the device: no step waits for the host."""

    def __init__(self):
        self._start()

    def _start(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.steps, self.since = 0, time.monotonic()

    def add(self, losses: dict[str, Tensor]) -> None:
        self.steps += 1
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self, step: int) -> tuple[dict[str, float], float]:
        """Mean of each loss, and steps a second; then start again. A mean that is not finite stops the run."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        speed = self.steps / (time.monotonic() - self.since)
        self._start()
        for name, mean in means.items():
            if not torch.isfinite(torch.tensor(mean)):
                raise TrainingError(f"loss {name} is not finite before step {step}; the last checkpoint is untouched")
        return means, speed


class Signals:
    """Notes that a signal came, for the loop to stop after its step; gives the old handlers back."""

    def __init__(self):
        self.number = 0

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.number = number
