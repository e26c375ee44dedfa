"""An optimiser step, learning rates and weight averaging, shared by all methods."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vc import devices, losses
from vc.config import require, require_known, require_range
from vc.train.processes import SINGLE_PROCESS, Processes


@dataclass(frozen=True)
class AdversarialConfig:
    """Learning rates, Adam's moments, adversarial loss and content loss, common to all adversarial objectives.

    The defaults are those on which public reproductions of CycleGAN-VC2 agree.
    """

    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-4
    decay_from: int = 200_000  # step from which both rates decay linearly, to 0 after the last step
    beta1: float = 0.5
    beta2: float = 0.999
    adversarial_loss: str = "least_squares"  # one of vc.losses.ADVERSARIAL
    content: float = 0.0  # weight of `vc.losses.content` between a conversion and its source
    encoder: str = ""  # frozen encoder of `content`: a name or path; empty: `distilled`

    def __post_init__(self) -> None:
        require(not self.encoder or self.content > 0, "objective.encoder is named, but objective.content is 0")
        require_range(self, "objective", "decay_from", at_least=0)
        require_range(self, "objective", "generator_rate", "discriminator_rate", above=0, below=1)
        require_range(self, "objective", "beta1", "beta2", at_least=0, below=1)
        require_known("objective.adversarial_loss", self.adversarial_loss, losses.ADVERSARIAL)

    @property
    def betas(self) -> tuple[float, float]:
        return self.beta1, self.beta2

    def set_rates(self, optimisers: Mapping[str, "Optimiser"], step: int, steps: int, scale: float) -> None:
        """Set the rates of `network` and `discriminators` for `step` (from 0) of `steps`, times `scale`."""
        if step >= self.decay_from:
            scale *= max(0.0, (steps - step) / (steps - self.decay_from)) if steps > self.decay_from else 0.0
        rates = {"network": self.generator_rate * scale, "discriminators": self.discriminator_rate * scale}
        for name, optimiser in optimisers.items():
            optimiser.set_rate(rates[name])


class Optimiser:
    """Adam for the weights of networks that are trained together; a step that is not finite is not taken.

    If the loss or its gradient is not finite, the fused Adam itself leaves weights and moments unchanged, so that the
    host need not wait for the device. `adam.found_inf` is 1 after such a step and 0 after any other; an optimiser that
    takes no part in a training's next steps keeps it.

    Parameters
    ----------
    networks : nn.Module
        Their parameters that require a gradient are optimised.
    betas : tuple of float
        Adam's.
    precision : str, optional
        One of vc.devices.PRECISIONS, for the networks. Losses and weights stay float32.
    processes : Processes, optional
        Processes over which gradients are averaged.
    weight_decay : float, optional
        Decoupled weight decay (AdamW; Loshchilov and Hutter, ICLR 2019).
    """

    def __init__(
        self,
        networks: nn.Module,
        *,
        betas: tuple[float, float],
        precision: str = "float32",
        processes: Processes = SINGLE_PROCESS,
        weight_decay: float = 0.0,
    ):
        self.parameters = [parameter for parameter in networks.parameters() if parameter.requires_grad]
        self.device, self.precision, self.processes = self.parameters[0].device, precision, processes
        on_gpu = self.device.type == "cuda"
        rate = torch.zeros((), device=self.device) if on_gpu else 0.0  # recorded steps see changes of a tensor
        options = {"betas": betas, "fused": True, "capturable": on_gpu}
        if weight_decay:
            self.adam = torch.optim.AdamW(self.parameters, rate, weight_decay=weight_decay, **options)
        else:
            self.adam = torch.optim.Adam(self.parameters, rate, **options)
        self.adam.grad_scale = None
        self.forget_refusal()
        self.frozen: list[nn.Parameter] = []  # weights of other networks, whose gradients a step must not compute

    def forget_refusal(self) -> None:
        """Count the last step as taken: after a return to an earlier state it is no part of the run any more."""
        self.adam.found_inf = torch.zeros((), device=self.device)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the following steps."""
        for group in self.adam.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def step(
        self, compute: Callable[[], tuple[dict[str, Tensor], Any]], weights: Mapping[str, float]
    ) -> tuple[dict[str, Tensor], Any]:
        """Take one step down the weighted sum of some losses.

        Parameters
        ----------
        compute : callable
            Computes the unweighted losses by name, and anything else, which is passed through.
        weights : mapping of str to float
            Weights of the same losses.

        Returns
        -------
        losses : dict of str to Tensor
            Unweighted and detached, `()` each.
        other : Any
            The second output of `compute`.
        """
        for parameter in self.frozen:
            parameter.requires_grad_(False)
        with devices.autocast(self.precision, self.device):
            terms, other = compute()
        loss = losses.total(terms, weights)
        self.adam.zero_grad(set_to_none=True)
        loss.backward(inputs=self.parameters)  # for these networks alone, whichever others the losses depend on
        for parameter in self.frozen:
            parameter.requires_grad_(True)
        for parameter in self.parameters:
            if parameter.grad is None:  # no loss depends on it, such as an unused head of a discriminator
                parameter.grad = torch.zeros_like(parameter)
        self.processes.average([parameter.grad for parameter in self.parameters])
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in self.parameters])
        not_finite = (~torch.isfinite(norm + loss.detach())).float()
        self.adam.found_inf = self.processes.largest(not_finite)
        self.adam.step()
        return {name: term.detach() for name, term in terms.items()}, other


class WeightAverage:
    """Exponential moving average of a network's weights, held in `network`, a copy of it.

    torch's AveragedModel is not used: its update reads a count back from the device, which a recorded step must not.

    Parameters
    ----------
    source : nn.Module
        The network in training.
    decay : float
        Weight of the previous average in each update, in 0..1.
    """

    def __init__(self, source: nn.Module, decay: float):
        self.network = copy.deepcopy(source).requires_grad_(False)
        self._average = get_ema_multi_avg_fn(decay)
        self._weights = list(self.network.parameters()), list(source.parameters())
        self._buffers = list(zip(self.network.buffers(), source.buffers()))

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the source's weights; buffers are copied."""
        self._average(*self._weights, None)
        for buffer, current in self._buffers:
            buffer.copy_(current)
