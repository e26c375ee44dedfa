"""The training step of CycleGAN-VC2 as ours and as its equations are read, and what either has to compute."""

import functools
import subprocess
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vc import devices
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config, Discriminator
from vc.train.cyclegan import CycleGANObjective, CycleGANTraining
from vc.train.engine import Setup
from vc.train.sampling import Batch

ROWS, FRAMES = 35, 128  # of the paper's figure


class Ours:
    """The step of vc-train."""

    def __init__(self, config: CycleGANVC2Config, device: torch.device, *, precision: str, rows: int = ROWS):
        network = CycleGANVC2(config, rows, ("a", "b")).to(device)
        self.training = CycleGANTraining(network, config, CycleGANObjective(), Setup(1000, precision))

    def step(self, batch: Batch) -> None:
        self.training.step(batch, self.training.schedule(0))


class Textbook:
    """The same step as its equations are read: each network called on one thing at a time, nothing shared.

    This is the control flow of the public reproductions: the generators' backward pass goes through the weights of
    the discriminators, and for the discriminators all fakes are computed again, with a graph that is walked back to the
    generators. `careful` computes them without a graph. Networks compute in `precision`, as ours do.
    """

    def __init__(
        self,
        config: CycleGANVC2Config,
        device: torch.device,
        *,
        precision: str = "float32",
        careful: bool = False,
        rows: int = ROWS,
    ):
        self.generators = CycleGANVC2(config, rows, ("a", "b")).to(device).generators
        names = ("source", "target", "restored_source", "restored_target")
        self.discriminators = nn.ModuleDict({name: Discriminator(config) for name in names}).to(device)
        self.precision, self.device, self.careful = precision, device, careful
        betas = (0.5, 0.999)
        self.generator_adam = torch.optim.Adam(self.generators.parameters(), lr=2e-4, betas=betas)
        self.discriminator_adam = torch.optim.Adam(self.discriminators.parameters(), lr=1e-4, betas=betas)

    def step(self, batch: Batch) -> None:
        self.generator_adam.zero_grad()
        self.discriminator_adam.zero_grad()
        with devices.autocast(self.precision, self.device):
            loss = self.generator_loss(batch)
        loss.backward()
        self.generator_adam.step()
        self.generator_adam.zero_grad()
        self.discriminator_adam.zero_grad()
        with devices.autocast(self.precision, self.device):
            loss = self.discriminator_loss(batch)
        loss.backward()
        self.discriminator_adam.step()

    def generator_loss(self, batch: Batch) -> Tensor:
        x, y = batch.source, batch.target
        to_target, to_source = self.generators["to_target"], self.generators["to_source"]
        fakes = self.fakes(batch)
        loss = sum(((self.discriminators[name](fake) - 1) ** 2).mean() for name, fake in fakes.items())
        loss = loss + 10 * (fakes["restored_source"] - x).abs().mean()
        loss = loss + 10 * (fakes["restored_target"] - y).abs().mean()
        return loss + 5 * (to_target(y) - y).abs().mean() + 5 * (to_source(x) - x).abs().mean()

    def discriminator_loss(self, batch: Batch) -> Tensor:
        with torch.set_grad_enabled(not self.careful):
            fakes = self.fakes(batch)
        real = {"source": batch.source, "target": batch.target}
        loss = torch.zeros((), device=batch.source.device)
        for name, fake in fakes.items():
            on_real = self.discriminators[name](real[name.removeprefix("restored_")])
            loss = loss + ((on_real - 1) ** 2).mean() + (self.discriminators[name](fake) ** 2).mean()
        return loss

    def fakes(self, batch: Batch) -> dict[str, Tensor]:
        to_target, to_source = self.generators["to_target"], self.generators["to_source"]
        target, source = to_target(batch.source), to_source(batch.target)
        restored = {"restored_source": to_source(target), "restored_target": to_target(source)}
        return {"target": target, "source": source, **restored}


@functools.cache
def step_flops(config: CycleGANVC2Config, batch: int, step: int = 0, rows: int = ROWS) -> int:
    """FLOP of the convolutions and matrix products of our step number `step`, counted without computing it."""
    with torch.device("meta"):
        ours = Ours(config, torch.device("meta"), precision="float32", rows=rows)
        segments = Batch(torch.empty(batch, rows, FRAMES), torch.empty(batch, rows, FRAMES))
    training = ours.training
    with FlopCounterMode(display=False) as counter:
        terms, fakes = training.generator_losses(segments, CycleGANObjective().weights(step))
        sum(terms.values()).backward(inputs=list(training.network.parameters()))
        terms, _ = training.discriminator_losses(segments, fakes)
        sum(terms.values()).backward(inputs=list(training.discriminators.parameters()))
    return counter.get_total_flops()


def matrix_rate(device: torch.device, precision: str) -> float:
    """FLOP a second of a large matrix product in a precision: the best of five, on random numbers."""
    devices.set_precision(precision, device)
    size = 8192 if device.type == "cuda" else 1024
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best = 0.0
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        one @ other
        wait(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def commit() -> str:
    """The checkout's commit; empty if there is none, or no git."""
    line = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(line, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""
