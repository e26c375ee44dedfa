"""Estimates of a run's duration, disk space and memory, from a few of its steps."""

import logging
import sys
import time
from dataclasses import dataclass
from statistics import mean

import torch

from vc import devices, phrases
from vc.messages import errors_only
from vc.train.converter import make_engine
from vc.train.engine import WARM_UP, Engine
from vc.train.methods import METHODS
from vc.train.plan import Plan, Request
from vc.train.processes import join_processes, started_by_torchrun

TIMED_STEPS = 10  # at most, from all over the schedule
MAX_SECONDS = 10.0  # after which no more steps are timed
FIT_SECONDS = 60.0  # of a fit at most, for an hour of each speaker
SHORT_RUN = 100  # steps of a run that takes no longer than the measurement
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Estimate:
    """The cost of a whole run; its duration without scoring, sampling and saving."""

    speakers: tuple[str, ...]
    steps: int
    seconds: float  # of a step, by the wall clock
    device: torch.device
    disk: int  # bytes of checkpoints and models
    memory: int | None  # bytes, peak so far; None if the system does not report it

    def __str__(self) -> str:
        threads = f", threads: {torch.get_num_threads()}" if self.device.type == "cpu" else ""
        cost = f"{phrases.count(self.steps, 'step')} of {self.seconds:.3g} s on {self.device}{threads}"
        length = phrases.duration(max(60, self.steps * self.seconds))
        memory = "" if self.memory is None else f", {phrases.size(self.memory)} of memory"
        return f"{'-'.join(self.speakers)}: {length} ({cost}), {phrases.size(self.disk)} on disk{memory}"


def announce(request: Request) -> None:
    """Log the estimate of a run before it begins, unless it is as short as the measurement.

    Nothing is logged either if the output holds anything but lists of recordings and logs of a recipe's jobs: that run
    is resumed or refused, which is one line.
    """
    entries = {path.name for path in request.output.iterdir()} if request.output.is_dir() else set()
    if started_by_torchrun() or entries - {"data", "log"}:
        return
    plan = Plan.from_request(request)
    if METHODS[plan.experiment.method].fit or plan.experiment.training.steps > SHORT_RUN:
        with errors_only():  # the run itself will log the same warnings
            cost = _estimate(plan, request.device)
        log.info("it will take: %s", cost)


def estimate(request: Request) -> Estimate | str:
    """Estimate the cost of a requested run; no files are left behind.

    Returns
    -------
    Estimate or str
        A string for a method that takes no steps.
    """
    return _estimate(Plan.from_request(request), request.device)


def _estimate(plan: Plan, device: str) -> Estimate | str:
    experiment = plan.experiment
    if METHODS[experiment.method].fit:
        length = f"a minute at most for an hour of each ({experiment.method} takes no steps)"
        return f"{'-'.join(experiment.speakers)}: {length}"
    with join_processes(device) as (processes, device):
        devices.set_precision(experiment.compute.precision, device)
        engine = make_engine(plan, device, processes)
        steps, training = experiment.training.steps, engine.training
        seconds = mean_step_seconds(engine, steps, prepared=engine.record or experiment.compute.compile)
        states = [module.state_dict() for module in engine.modules.values()]
        for optimiser in training.optimisers.values():
            states += optimiser.adam.state_dict()["state"].values()
        checkpoint, model = sum(map(_size, states)), _size(engine.converter.state_dict())
        kept = steps // experiment.training.keep_every if experiment.training.keep_every else 0
        disk = experiment.training.checkpoints * checkpoint + (1 + kept) * model
        return Estimate(experiment.speakers, steps, seconds, device, disk, _memory(device))


def mean_step_seconds(engine: Engine, steps: int, *, prepared: bool) -> float:
    """Mean duration in seconds of the steps of a run, timed from all over its schedule, whose phases differ in cost.

    Parameters
    ----------
    engine : Engine
        Of no other use from then on.
    steps : int
        Of the run.
    prepared : bool
        Whether the first steps of each phase are slow, because they are recorded or compiled: they are not timed.
    """
    phases: dict[tuple, list[int]] = {}  # timed steps by the weights of their losses: those of a phase cost the same
    for part in range(TIMED_STEPS):
        number = steps * part // TIMED_STEPS
        phases.setdefault(tuple(engine.training.schedule(number, 1.0).items()), []).append(number)
    total = 0.0
    for index, numbers in enumerate(phases.values()):  # one after the other: only one is recorded at a time
        for _ in range(WARM_UP + 1 if prepared else WARM_UP if index == 0 else 0):
            _step_seconds(engine, numbers[0])
        start, seconds = time.monotonic(), []
        for number in numbers:
            seconds.append(_step_seconds(engine, number))
            if time.monotonic() - start > MAX_SECONDS * len(numbers) / TIMED_STEPS:
                break
        total += len(numbers) * mean(seconds)
    return total / TIMED_STEPS


def _step_seconds(engine: Engine, number: int) -> float:
    start = time.perf_counter()
    float(sum(engine.step(number).values()))  # waits for the device
    return time.perf_counter() - start


def _size(tensors: dict) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values() if isinstance(value, torch.Tensor))


def _memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
