"""How long a run will take, from a few of its steps."""

import time
from dataclasses import dataclass
from statistics import mean

import torch

from vc import devices
from vc.train.converter import make_engine
from vc.train.methods import METHODS
from vc.train.plan import Plan, Request
from vc.train.processes import joined

WARM_UP, TIMED = 3, 10  # steps that do not count, and those that do


@dataclass(frozen=True)
class Estimate:
    """A whole run's length, without scoring, sampling and saving."""

    speakers: tuple[str, ...]
    steps: int
    seconds: float  # wall seconds a step
    device: torch.device

    def __str__(self) -> str:
        hours, minutes = divmod(max(1, round(self.steps * self.seconds / 60)), 60)
        length = f"{hours} h {minutes} min" if hours else f"{minutes} min"
        threads = f", threads: {torch.get_num_threads()}" if self.device.type == "cpu" else ""
        cost = f"{self.steps} steps of {self.seconds:.3g} s on {self.device}{threads}"
        return f"{'-'.join(self.speakers)}: {length} ({cost})"


def estimate(request: Request) -> Estimate | str:
    """Time steps from all over the schedule of a run, and leave nothing behind.

    Steps of one phase cost more than those of another: the identity mapping ends.

    Returns
    -------
    Estimate or str
        The latter of a method that takes no steps.
    """
    plan = Plan.from_request(request)
    experiment = plan.experiment
    if METHODS[experiment.method].fit:
        length = f"a minute at most for an hour of each ({experiment.method} takes no steps)"
        return f"{'-'.join(experiment.speakers)}: {length}"
    with joined(request.device) as (processes, device):
        devices.set_precision(experiment.compute.precision, device)
        engine = make_engine(plan, device, processes)
        steps, seconds = experiment.training.steps, []
        for number in [0] * WARM_UP + [steps * number // TIMED for number in range(TIMED)]:
            start = time.perf_counter()
            float(sum(engine.step(number).values()))  # a number on the host: the device is done
            seconds.append(time.perf_counter() - start)
    return Estimate(experiment.speakers, steps, mean(seconds[WARM_UP:]), device)
