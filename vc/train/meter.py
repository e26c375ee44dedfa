"""Means of losses since the last report, summed on the device, as a checkpoint keeps them."""

import torch
from torch import Tensor


class Meter:
    """Sums of named losses since the last report: no step waits for the host.

    Losses that are not finite are left out: they belong to steps that were refused.
    """

    def __init__(self):
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            known = torch.isfinite(value)
            self.sums[name] = self.sums.get(name, 0) + torch.where(known, value, 0)
            self.counts[name] = self.counts.get(name, 0) + known

    def means(self) -> dict[str, float]:
        """Mean of each loss that was finite at least once; then start again."""
        counts = {name: int(count) for name, count in self.counts.items()}
        means = {name: float(self.sums[name]) / count for name, count in counts.items() if count}
        self.sums, self.counts = {}, {}
        return means

    def state(self) -> dict[str, Tensor]:
        """Sum and count of each loss that was added, `()` each, by the loss's name and theirs."""
        sums = {f"{name}.sum": value for name, value in self.sums.items()}
        return sums | {f"{name}.count": value for name, value in self.counts.items()}

    def restore(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Go on where `state` was taken."""
        names = [name.removesuffix(".sum") for name in state if name.endswith(".sum")]
        self.sums = {name: state[f"{name}.sum"].to(device) for name in names}
        self.counts = {name: state[f"{name}.count"].to(device) for name in names}
