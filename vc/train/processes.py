"""One training run in several processes, as `torchrun` starts them: each with a share of the batch, all with the same
weights.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, distributed

from vc import devices
from vc.config import require


@dataclass(frozen=True)
class Processes:
    """This process among those of the run; one that is not connected communicates with no other."""

    rank: int = 0
    size: int = 1
    connected: bool = False  # true under torchrun, even of a single process

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch that all have drawn alike; refuses a batch that cannot be shared evenly."""
        require(batch % self.size == 0, f"training.batch is {batch}: {self.size} processes cannot share it evenly")
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the processes.

        Not by DistributedDataParallel, which has to know where losses do not reach all parameters.
        """
        if not self.connected:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(joined)
        joined /= self.size
        for gradient, mean in zip(gradients, joined.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))

    def largest(self, value: Tensor) -> Tensor:
        """Replace `value` by the largest of all processes, on its device, and return it."""
        if self.connected:
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value

    def agree(self, number: int) -> int:
        """The largest of all processes' `number`: a signal that one of them got stops all after the same step."""
        return int(self.largest(torch.tensor(number))) if self.connected else number

    def means(self, values: dict[str, float]) -> dict[str, float]:
        """Each name's mean over the processes that have it."""
        if not self.connected:
            return values
        all_values: list[dict[str, float]] = [{}] * self.size
        distributed.all_gather_object(all_values, values)
        return {name: fmean(other[name] for other in all_values if name in other) for name in values}

    def wait(self) -> None:
        """Wait until all processes are here."""
        self.agree(0)


ALONE = Processes()


def launched_together() -> bool:
    """Whether `torchrun` started this process, even a single one; clusters set WORLD_SIZE for other ends, too."""
    return {"WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


@contextmanager
def join_processes(device: str) -> Iterator[tuple[Processes, torch.device]]:
    """The processes that `torchrun` started, or this one alone, and the device of this one."""
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    chosen = devices.choose(device)
    if not launched_together():
        yield ALONE, chosen
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    processes = Processes(rank, size, connected=True)
    try:
        yield processes, chosen
        processes.wait()  # a process that leaves while another works may be ended by the threads that connect them
    finally:
        distributed.destroy_process_group()
