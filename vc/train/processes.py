"""Data-parallel training in the processes of `torchrun`: each has a share of the batch, all have the same weights."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, distributed

from vc import devices
from vc.config import require
from vc.errors import TrainingError, shorten


@dataclass(frozen=True)
class Processes:
    """This process among those of a run; if not connected, it communicates with no other."""

    rank: int = 0
    size: int = 1
    connected: bool = False  # true under torchrun, even for a single process

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch, which all draw alike; ConfigError if it cannot be split evenly."""
        require(batch % self.size == 0, f"training.batch is {batch}: {self.size} processes cannot share it evenly")
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def average(self, gradients: Sequence[Tensor]) -> None:
        """Replace each gradient by its mean over the processes.

        DistributedDataParallel is not used: it must be told which parameters a loss does not reach.
        """
        if not self.connected:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        with _communication():
            distributed.all_reduce(joined)
        joined /= self.size
        for gradient, mean in zip(gradients, joined.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))

    def largest(self, value: Tensor) -> Tensor:
        """Replace `value` by its maximum over the processes, in place, and return it."""
        if self.connected:
            with _communication():
                distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value

    def agree(self, number: int) -> int:
        """The maximum of `number` over the processes: a signal to one of them stops all after the same step."""
        return int(self.largest(torch.tensor(number))) if self.connected else number

    def means(self, values: dict[str, float]) -> dict[str, float]:
        """Mean of each named value over the processes that have it."""
        if not self.connected:
            return values
        all_values: list[dict[str, float]] = [{}] * self.size
        with _communication():
            distributed.all_gather_object(all_values, values)
        return {name: fmean(other[name] for other in all_values if name in other) for name in values}

    def wait(self) -> None:
        """Wait for all processes (a barrier)."""
        self.agree(0)


SINGLE_PROCESS = Processes()


@contextmanager
def _communication() -> Iterator[None]:
    """Raise TrainingError if another process cannot be reached: one that was refused something has said so itself."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(f"another process of this run has ended, or cannot be reached: {shorten(error)}") from error


def started_by_torchrun() -> bool:
    """Whether `torchrun` started this process, even as its only one."""
    # clusters may set WORLD_SIZE for other purposes
    return {"WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


@contextmanager
def join_processes(device: str) -> Iterator[tuple[Processes, torch.device]]:
    """Connect the processes of `torchrun`, if it started this one; yields them and this process's device.

    Raises
    ------
    ConfigError
        If there is no such device, or no GPU for this process.
    """
    rank, size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    own_device = devices.choose(device)
    if started_by_torchrun() and own_device.type == "cuda":
        own_device = devices.choose(f"cuda:{os.environ['LOCAL_RANK']}")
    if own_device.type == "cuda" and own_device.index is not None:
        torch.cuda.set_device(own_device)  # for streams and recorded steps, which take the present one
    if not started_by_torchrun():
        yield SINGLE_PROCESS, own_device
        return
    distributed.init_process_group("cpu:gloo,cuda:nccl" if own_device.type == "cuda" else "gloo")
    processes = Processes(rank, size, connected=True)
    try:
        yield processes, own_device
        processes.wait()  # a process that exits while another works may be killed by its communication threads
    finally:
        distributed.destroy_process_group()
