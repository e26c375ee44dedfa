"""Draw and step on the device, whatever the method: no step reads a value back, so that the device never waits."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vc.train.average import Average
from vc.train.base import Sampler, Training
from vc.train.experiment import ComputeConfig, TrainingConfig
from vc.train.meter import Meter
from vc.train.processes import Processes

WARM_UP = 3  # steps of a kind that are computed as they come before one is recorded


class Engine:
    """A method's training, the sampler that feeds it, and what is kept beside both: each step's losses in `meter`."""

    def __init__(self, training: Training, sampler: Sampler, average: Average | None = None, record: bool = False):
        self.training, self.sampler, self.average = training, sampler, average
        self.refused = Refused(sampler.generator.device)
        self.meter = Meter()
        self._record = record
        self.restored()

    def restored(self) -> None:
        """What was counted and recorded is void: weights, moments and random states are others now."""
        self.refused.forget()
        self._compute = Recorded(self._step, self.sampler.generator) if self._record else self._step

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
        """Step `number` (from 0) with all rates times `scale`; return each loss, unweighted, on the device."""
        self.training.network.train()  # a conversion in between leaves it in evaluation mode
        return self._compute(self.training.schedule(number, scale))

    def _step(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        losses = self.training.step(self.sampler.draw(), weights)
        if self.average is not None:
            self.average.update()
        self.refused.count([player.optimiser.found_inf for player in self.training.players.values()])
        self.meter.add(losses)
        return losses


def assembled(
    training: Training, sampler: Sampler, settings: TrainingConfig, compute: ComputeConfig, processes: Processes
) -> Engine:
    """The engine of a training that has just been made, computing as `compute` says."""
    if compute.channels_last:
        for module in training.modules.values():
            module.to(memory_format=torch.channels_last)
    if compute.compile:
        for network_called in training.called:
            network_called.compile(dynamic=False)  # segments have one length
        for player in training.players.values():  # a compiled backward pass computes all gradients that are wanted
            others = [other for other in training.players.values() if other is not player]
            player.frozen = [parameter for other in others for parameter in other.parameters]
    record = compute.record and sampler.generator.device.type == "cuda" and not processes.connected
    average = Average(training.network, settings.average) if settings.average else None
    return Engine(training, sampler, average, record)


class Refused:
    """Counts, on the device, the steps that a player did not take because loss or gradient was not finite."""

    def __init__(self, device: torch.device):
        self._counts = torch.zeros(3, dtype=torch.long, device=device)

    def count(self, flags: list[Tensor]) -> None:
        """Flags of one step, 1 where a player did not move."""
        bad = torch.stack(flags).amax().long()
        total, row, longest = self._counts.unbind()
        total += bad
        row.add_(1).mul_(bad)
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

    def forget(self) -> None:
        self._counts.zero_()


class Recorded:
    """Device work that is recorded once for each set of weights and replayed from then on, as CUDA graphs."""

    def __init__(self, work: Callable[[Mapping[str, float]], dict[str, Tensor]], generator: torch.Generator):
        self._work, self._generator = work, generator
        self._seen: dict[tuple, int] = {}
        self._graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]] = {}

    def __call__(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        kind = tuple(weights.items())
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if self._seen[kind] <= WARM_UP:
            return self._beside(weights)
        if kind not in self._graphs:
            self._graphs.clear()  # the kind before does not come back, and its memory is wanted
            self._graphs[kind] = self._record(weights)
        graph, losses = self._graphs[kind]
        graph.replay()
        return losses

    def _beside(self, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """On a stream of its own, as a recording wants it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses = self._work(weights)
        torch.cuda.current_stream().wait_stream(stream)
        return losses

    def _record(self, weights: Mapping[str, float]) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        with torch.cuda.graph(graph):
            losses = self._work(weights)
        return graph, losses
