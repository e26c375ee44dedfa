"""Means of losses since the last report, summed on the device, as a checkpoint keeps them."""

import torch
from torch import Tensor


class Meter:
    """Sums of named losses since the last report: no step waits for the host.

    Losses that are not finite are left out: they belong to steps that were refused. What is summed up stays in its
    place in memory, so that an addition can be part of a recorded step.
    """

    def __init__(self):
        self._sums: dict[tuple[str, ...], Tensor] = {}  # losses of a step -> (2, losses): their sums and counts

    def add(self, losses: dict[str, Tensor]) -> None:
        values = torch.stack([*losses.values()]).double()
        known = torch.isfinite(values)
        sums = self._sums.setdefault(
            tuple(losses), torch.zeros(2, len(losses), dtype=torch.double, device=values.device)
        )
        sums += torch.stack([torch.where(known, values, 0), known])

    def means(self) -> dict[str, float]:
        """Mean of each loss that was finite at least once; then start again."""
        means = {name: float(total / count) for name, (total, count) in self._totals().items() if count}
        for sums in self._sums.values():
            sums.zero_()
        return means

    def state(self) -> dict[str, Tensor]:
        """Sum and count of each loss that was added, `()` each, by the loss's name and theirs."""
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
            for name, own in zip(names, sums.T.cpu()):
                totals[name] = totals[name] + own if name in totals else own
        return totals
