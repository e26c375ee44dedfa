"""One step on the device, for any method. No step reads a value back: the host never waits for the device.

Also the interfaces of a method's training and sampler to the engine, and counters over steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vc.config import require_known
from vc.devices import PRECISIONS
from vc.errors import TrainingError, out_of_memory, shorten
from vc.train.optimise import Optimiser, WeightAverage
from vc.train.processes import SINGLE_PROCESS, Processes

WARM_UP = 3  # steps of a kind that are computed directly before one is recorded


@dataclass(frozen=True)
class ComputeConfig:
    """How steps are computed, not what they compute: it may change when a run is resumed."""

    # float32; tf32: on GPUs that have it, else float32; bf16: networks, not losses; auto: bf16 where fast, else tf32
    precision: str = "tf32"
    channels_last: bool = False  # memory layout of the two-dimensional convolutions' weights
    compile: bool = False  # compile the networks with torch.compile
    record: bool = False  # on a GPU, in one process: record the whole step as one CUDA graph

    def __post_init__(self) -> None:
        require_known("compute.precision", self.precision, PRECISIONS)


@dataclass(frozen=True)
class Setup:
    """Arguments of a method's training besides its network and its objective."""

    steps: int
    precision: str = "float32"
    processes: Processes = SINGLE_PROCESS
    encoder: nn.Module | None = None  # frozen content encoder of the loss `content`
    conversions: nn.Module | None = None  # of recognition-synthesis, if a loss is computed on conversions
    segment: int = 128  # frames of a batch's segments


class Training(Protocol):
    """A method's networks, their optimisers and the step that they take."""

    network: nn.Module  # for the model file
    modules: dict[str, nn.Module]  # by their names in a checkpoint
    step_networks: list[nn.Module]  # those that a step calls, for torch.compile
    optimisers: dict[str, Optimiser]  # by their names in a checkpoint

    def schedule(self, step: int, scale: float) -> Mapping[str, float]:
        """Set the learning rates of `step` (from 0), times `scale`; return the weights of the losses that count."""

    def step(self, batch: Any, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Take one step of every optimiser; return each unweighted loss under its name, detached.

        The same `weights` mean the same work on the device, and no value is read back, so that it can be recorded.
        """


class Sampler(Protocol):
    """Draws a method's batches on the training device; its random state is part of a checkpoint."""

    generator: torch.Generator

    def draw(self) -> Any:
        """The next batch, as the method's `Training.step` takes it."""


class Engine:
    """A method's training with its sampler, the average of the weights, and counts of losses and refused steps.

    Parameters
    ----------
    training : Training
        Newly built.
    sampler : Sampler
    average : float, optional
        Decay per step of the weights' moving average; 0 for none.
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
        processes: Processes = SINGLE_PROCESS,
    ):
        self.training, self.sampler = training, sampler
        if compute.channels_last:
            for module in training.modules.values():
                module.to(memory_format=torch.channels_last)
        if compute.compile:
            for network in training.step_networks:
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
        """Discard counts and recorded steps, after weights, moments and random states have been replaced."""
        self.refused.reset()
        for optimiser in self.training.optimisers.values():
            optimiser.forget_refusal()
        self._recorded = RecordedStep(self.sampler.generator) if self.record else None

    @property
    def converter(self) -> nn.Module:
        """The network for the model file: the average if there is one."""
        return self.training.network if self.average is None else self.average.network

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks whose weights a checkpoint holds, by name."""
        averaged = {} if self.average is None else {"average": self.average.network}
        return {**self.training.modules, **averaged}

    def step(self, number: int, scale: float = 1.0) -> dict[str, Tensor]:
        """Take step `number` (from 0) with all rates times `scale`; return the unweighted losses, on the device.

        Raises
        ------
        TrainingError
            There is not enough memory for it.
        """
        self.training.network.train()  # a conversion in between leaves it in evaluation mode
        weights = self.training.schedule(number, scale)
        try:
            return self._step(weights) if self._recorded is None else self._recorded(self._step, weights)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            advice = "a smaller training.batch or training.segment needs less"
            raise TrainingError(f"not enough memory for a step: {shorten(error)}; {advice}") from error

    def _step(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        losses = self.training.step(self.sampler.draw(), weights)
        if self.average is not None:
            self.average.update()
        self.refused.count([optimiser.adam.found_inf for optimiser in self.training.optimisers.values()])
        self.meter.add(losses)
        return losses


class RefusedSteps:
    """Counts, on the device, the steps that an optimiser refused because loss or gradient was not finite."""

    def __init__(self, device: torch.device):
        self._counts = torch.zeros(3, dtype=torch.long, device=device)

    def count(self, flags: list[Tensor]) -> None:
        """Count one step, given its optimisers' flags: 1 if the step was not taken."""
        refused = torch.stack(flags).amax().long()
        total, row, longest = self._counts.unbind()
        total += refused
        row.add_(1).mul_(refused)
        torch.maximum(longest, row, out=longest)

    def read(self) -> tuple[int, int]:
        """Number of steps refused since the last reading, and of the most in a row; a row continues across readings."""
        total, row, longest = self._counts.tolist()
        self._counts.copy_(torch.tensor([0, row, row]))
        return total, longest

    @property
    def row(self) -> int:
        """Number of refused steps in a row up to the last step."""
        return int(self._counts[1])

    def reset(self) -> None:
        """Set all counts to 0."""
        self._counts.zero_()


class RecordedStep:
    """A step recorded as a CUDA graph, once for each set of loss weights, and replayed from then on.

    It does not hold the step, which is its owner's: their memory on the GPU would be free only after a garbage
    collection.
    """

    def __init__(self, generator: torch.Generator):
        self._generator = generator
        self._counts: dict[tuple, int] = {}  # of steps, by their weights
        self._graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}

    def __call__(
        self, compute: Callable[[Mapping[str, float]], dict[str, Tensor]], weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        key = tuple(weights.items())
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] <= WARM_UP:
            stream = torch.cuda.Stream()  # recording requires warm-up steps on a side stream
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                losses = compute(weights)
            torch.cuda.current_stream().wait_stream(stream)
            return losses
        if key not in self._graphs:
            self._graphs.clear()  # steps of earlier weights do not recur, and their memory is needed
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._generator)
            with torch.cuda.graph(graph):
                losses = compute(weights)
            self._graphs[key] = graph, losses
        graph, losses = self._graphs[key]
        graph.replay()
        return losses


class LossMeter:
    """Means of named losses since the last report, summed on the device, so that no step waits for the host.

    Losses that are not finite are left out: their steps were refused. Sums are updated in place, so that the addition
    can be part of a recorded step.
    """

    def __init__(self):
        self._sums: dict[tuple[str, ...], Tensor] = {}  # losses of a step -> (2, losses): their sums and counts

    def add(self, losses: dict[str, Tensor]) -> None:
        """Add a step's losses, `()` each, by name."""
        values = torch.stack([*losses.values()]).double()
        finite = torch.isfinite(values)
        zeros = torch.zeros(2, len(losses), dtype=torch.double, device=values.device)
        sums = self._sums.setdefault(tuple(losses), zeros)
        sums += torch.stack([torch.where(finite, values, 0), finite])

    def means(self) -> dict[str, float]:
        """Mean of each loss that was finite at least once; resets the sums."""
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
        """Restore the sums and counts of `state`, from the method of that name, on `device`."""
        names = tuple(name.removesuffix(".sum") for name in state if name.endswith(".sum"))
        parts = [[float(state[f"{name}.{part}"]) for name in names] for part in ("sum", "count")]
        self._sums = {names: torch.tensor(parts, dtype=torch.double, device=device)} if names else {}

    def _totals(self) -> dict[str, Tensor]:
        """Sum and count of each loss over all kinds of step that have it, `(2,)`, on the host."""
        totals: dict[str, Tensor] = {}
        for names, sums in self._sums.items():
            for name, addend in zip(names, sums.T.cpu()):
                totals[name] = totals[name] + addend if name in totals else addend
        return totals
