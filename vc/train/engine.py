"""One step on the device, whatever the method. No step reads a value back: the host never waits for the device.

Also what a method's training and its sampler are to the engine, and what is counted from step to step.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vc.config import require
from vc.devices import PRECISIONS
from vc.train.optimise import Optimiser, WeightAverage
from vc.train.processes import ALONE, Processes

WARM_UP = 3  # steps of a kind that are computed as they come before one is recorded


@dataclass(frozen=True)
class ComputeConfig:
    """How the steps are computed, not what they are: it may change when a run is resumed."""

    # float32; tf32: so where a GPU can, float32 elsewhere; bf16: networks, not losses; auto: bf16 where fast, else tf32
    precision: str = "tf32"
    channels_last: bool = False  # memory layout of the two-dimensional convolutions' weights
    compile: bool = False  # the networks by torch.compile
    record: bool = False  # on a GPU, in one process: the whole step as one CUDA graph

    def __post_init__(self) -> None:
        names = ", ".join(PRECISIONS)
        require(self.precision in PRECISIONS, f"compute.precision must be one of {names}, got {self.precision!r}")


@dataclass(frozen=True)
class Setup:
    """What a method's training is built with, besides its network and its objective."""

    steps: int
    precision: str = "float32"
    processes: Processes = ALONE
    encoder: nn.Module | None = None  # fixed content encoder that the loss `content` compares by
    conversions: nn.Module | None = None  # of recognition-synthesis, where a loss is computed on conversions
    segment: int = 128  # frames of a batch's segments


class Training(Protocol):
    """A method's networks, their optimisers and the step that they take."""

    sampler: ClassVar[type]  # its `from_features` makes a Sampler
    held_out: ClassVar[type]  # its `read` makes what scores a converter
    network: nn.Module  # what a model file gets
    modules: dict[str, nn.Module]  # by their names in a checkpoint
    called: list[nn.Module]  # the networks that a step calls, for torch.compile
    optimisers: dict[str, Optimiser]  # by their names in a checkpoint

    def schedule(self, step: int, scale: float) -> Mapping[str, float]:
        """Set the learning rates of `step` (from 0), times `scale`; return the losses that count and their weights."""

    def step(self, batch: Any, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Take one step of every optimiser; return each unweighted loss under its name, detached.

        The same `weights` are the same work on the device, and no value is read back: a step can be recorded.
        """


class Sampler(Protocol):
    """What draws a method's batches on the training device; its random state is part of a checkpoint."""

    generator: torch.Generator

    def draw(self) -> Any:
        """The next batch, as the method's `Training.step` takes it."""


class Engine:
    """A method's training, the sampler that feeds it, the weights' average, and the losses and refusals so far.

    Parameters
    ----------
    training : Training
        Just built.
    sampler : Sampler
    average : float, optional
        Decay a step of the weights' moving average; 0 for none.
    compute : ComputeConfig, optional
    processes : Processes, optional
    """

    def __init__(
        self,
        training: Training,
        sampler: Sampler,
        *,
        average: float = 0.0,
        compute: ComputeConfig = ComputeConfig(),
        processes: Processes = ALONE,
    ):
        self.training, self.sampler = training, sampler
        if compute.channels_last:
            for module in training.modules.values():
                module.to(memory_format=torch.channels_last)
        if compute.compile:
            for network in training.called:
                network.compile(dynamic=False)  # segments have one length
            for optimiser in training.optimisers.values():  # else a compiled backward pass computes all gradients
                others = [other for other in training.optimisers.values() if other is not optimiser]
                optimiser.frozen = [parameter for other in others for parameter in other.parameters]
        self.average = WeightAverage(training.network, average) if average else None
        self.record = compute.record and sampler.generator.device.type == "cuda" and not processes.connected
        self.refused = RefusedSteps(sampler.generator.device)
        self.meter = LossMeter()
        self.reset()

    def reset(self) -> None:
        """Forget what was counted and recorded: weights, moments and random states have been replaced."""
        self.refused.reset()
        self._compute = RecordedStep(self._step, self.sampler.generator) if self.record else self._step

    @property
    def converter(self) -> nn.Module:
        """The network that a model file gets: the average where there is one."""
        return self.training.network if self.average is None else self.average.network

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Every network whose weights a checkpoint holds."""
        averaged = {} if self.average is None else {"average": self.average.network}
        return {**self.training.modules, **averaged}

    def step(self, number: int, scale: float = 1.0) -> dict[str, Tensor]:
        """Take step `number` (from 0) with all rates times `scale`; return each loss, unweighted, on the device."""
        self.training.network.train()  # a conversion in between leaves it in evaluation mode
        return self._compute(self.training.schedule(number, scale))

    def _step(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        losses = self.training.step(self.sampler.draw(), weights)
        if self.average is not None:
            self.average.update()
        self.refused.count([optimiser.adam.found_inf for optimiser in self.training.optimisers.values()])
        self.meter.add(losses)
        return losses


class RefusedSteps:
    """Counts, on the device, the steps that an optimiser did not take because loss or gradient was not finite."""

    def __init__(self, device: torch.device):
        self._counts = torch.zeros(3, dtype=torch.long, device=device)

    def count(self, flags: list[Tensor]) -> None:
        """Add one step, by its optimisers' flags: 1 where the step was not taken."""
        refused = torch.stack(flags).amax().long()
        total, row, longest = self._counts.unbind()
        total += refused
        row.add_(1).mul_(refused)
        torch.maximum(longest, row, out=longest)

    def read(self) -> tuple[int, int]:
        """Steps refused, and the most in a row, since the last reading; a row goes on across readings."""
        total, row, longest = self._counts.tolist()
        self._counts.copy_(torch.tensor([0, row, row]))
        return total, longest

    @property
    def row(self) -> int:
        """How many steps up to the last one were refused."""
        return int(self._counts[1])

    def reset(self) -> None:
        self._counts.zero_()


class RecordedStep:
    """A step's work on the device, recorded once for each set of weights and replayed from then on, as CUDA graphs."""

    def __init__(self, compute: Callable[[Mapping[str, float]], dict[str, Tensor]], generator: torch.Generator):
        self._compute, self._generator = compute, generator
        self._counts: dict[tuple, int] = {}  # of steps, by their weights
        self._graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}

    def __call__(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        key = tuple(weights.items())
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] <= WARM_UP:
            stream = torch.cuda.Stream()  # a recording needs warm-up steps on a stream of their own
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                losses = self._compute(weights)
            torch.cuda.current_stream().wait_stream(stream)
            return losses
        if key not in self._graphs:
            self._graphs.clear()  # the steps before do not come back, and their memory is needed
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._generator)
            with torch.cuda.graph(graph):
                losses = self._compute(weights)
            self._graphs[key] = graph, losses
        graph, losses = self._graphs[key]
        graph.replay()
        return losses


class LossMeter:
    """Means of named losses since the last report, summed on the device: no step waits for the host.

    Losses that are not finite are left out: they belong to steps that were refused. The sums stay where they are in
    memory, so that an addition can be part of a recorded step.
    """

    def __init__(self):
        self._sums: dict[tuple[str, ...], Tensor] = {}  # losses of a step -> (2, losses): their sums and counts

    def add(self, losses: dict[str, Tensor]) -> None:
        values = torch.stack([*losses.values()]).double()
        finite = torch.isfinite(values)
        zeros = torch.zeros(2, len(losses), dtype=torch.double, device=values.device)
        sums = self._sums.setdefault(tuple(losses), zeros)
        sums += torch.stack([torch.where(finite, values, 0), finite])

    def means(self) -> dict[str, float]:
        """Mean of each loss that was finite at least once; then start again."""
        means = {name: float(total / count) for name, (total, count) in self._totals().items() if count}
        for sums in self._sums.values():
            sums.zero_()
        return means

    def state(self) -> dict[str, Tensor]:
        """Sum and count of each loss, `()` each, as NAME.sum and NAME.count, for a checkpoint."""
        totals = self._totals()
        sums = {f"{name}.sum": total for name, (total, _) in totals.items()}
        return sums | {f"{name}.count": count for name, (_, count) in totals.items()}

    def restore(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Go on where `state` was taken."""
        names = tuple(name.removesuffix(".sum") for name in state if name.endswith(".sum"))
        parts = [[float(state[f"{name}.{part}"]) for name in names] for part in ("sum", "count")]
        self._sums = {names: torch.tensor(parts, dtype=torch.double, device=device)} if names else {}

    def _totals(self) -> dict[str, Tensor]:
        """`(2,)` of each loss on the host: sum and count over all kinds of step that have it."""
        totals: dict[str, Tensor] = {}
        for names, sums in self._sums.items():
            for name, addend in zip(names, sums.T.cpu()):
                totals[name] = totals[name] + addend if name in totals else addend
        return totals
