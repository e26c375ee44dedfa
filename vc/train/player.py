"""Networks that move together: the same step for every method's generators, discriminators, encoders."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vc import devices, losses
from vc.train.processes import ALONE, Processes

Losses = Callable[..., tuple[dict[str, Tensor], Any]]  # unweighted losses by name, and what else the pass has made


class Player:
    """Networks, their optimiser, and the losses that they minimise.

    A step is not taken where loss or gradient is not finite: the optimiser itself leaves weights and moments as they
    are, so that nobody has to wait for the device to tell. `optimiser.found_inf` is 1 after such a step, 0 after any
    other. Weights shrink by `decay` times the rate every step (Loshchilov and Hutter, ICLR 2019).
    """

    def __init__(
        self,
        networks: nn.Module,
        losses: Losses,
        betas: tuple[float, float],
        precision: str = "float32",
        processes: Processes = ALONE,
        decay: float = 0.0,
    ):
        self.parameters = [parameter for parameter in networks.parameters() if parameter.requires_grad]
        self.device, self.precision, self.processes = self.parameters[0].device, precision, processes
        on_gpu = self.device.type == "cuda"
        rate = torch.zeros((), device=self.device) if on_gpu else 0.0  # a tensor can change under a recorded step
        how = {"betas": betas, "fused": True, "capturable": on_gpu}
        if decay:
            self.optimiser = torch.optim.AdamW(self.parameters, rate, weight_decay=decay, **how)
        else:
            self.optimiser = torch.optim.Adam(self.parameters, rate, **how)
        self.optimiser.grad_scale, self.optimiser.found_inf = None, torch.zeros((), device=self.device)
        self.frozen: list[nn.Parameter] = []  # others' weights, of which a step shall not even want gradients
        self._losses = losses

    def set_rate(self, rate: float) -> None:
        """Learning rate of the steps to come."""
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def move(self, weights: Mapping[str, float], *inputs: Any) -> tuple[dict[str, Tensor], Any]:
        """One step down the weighted sum of the losses of `inputs`; return them and what else the pass has made.

        Gradients are computed for these networks alone, whichever others the losses went through.
        """
        for parameter in self.frozen:
            parameter.requires_grad_(False)
        with devices.autocast(self.precision, self.device):
            terms, made = self._losses(*inputs)
        loss = losses.total(terms, weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=self.parameters)
        for parameter in self.frozen:
            parameter.requires_grad_(True)
        for parameter in self.parameters:
            if parameter.grad is None:  # nothing depends on it, as on a head that no loss asks
                parameter.grad = torch.zeros_like(parameter)
        self.processes.average([parameter.grad for parameter in self.parameters])
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in self.parameters])
        bad = (~torch.isfinite(norm + loss.detach())).float()
        self.optimiser.found_inf = self.processes.largest(bad)
        self.optimiser.step()
        return {name: term.detach() for name, term in terms.items()}, made
