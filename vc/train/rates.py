"""Learning rates, moments and the kind of game: what every adversarial objective has in common."""

from dataclasses import dataclass

from vc import losses
from vc.config import require


@dataclass(frozen=True)
class Rates:
    """The defaults are those on which the public reproductions of CycleGAN-VC2 agree."""

    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-4
    decay_from: int = 200_000  # step from which both rates fall linearly, to 0 at the last step
    beta1: float = 0.5
    beta2: float = 0.999
    adversarial_loss: str = "least_squares"  # one of vc.losses.ADVERSARIAL

    def __post_init__(self) -> None:
        require(self.decay_from >= 0, f"objective.decay_from must be 0 or more, got {self.decay_from}")
        for name in ("generator_rate", "discriminator_rate"):
            require(0 < getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        known = ", ".join(losses.ADVERSARIAL)
        chosen = self.adversarial_loss in losses.ADVERSARIAL
        require(chosen, f"objective.adversarial_loss must be one of {known}, got {self.adversarial_loss!r}")

    def decay(self, step: int, steps: int) -> float:
        """Factor on both learning rates at `step` (from 0) of `steps`."""
        if step < self.decay_from:
            return 1.0
        return max(0.0, (steps - step) / (steps - self.decay_from)) if steps > self.decay_from else 0.0

    def rates(self, step: int, steps: int, scale: float) -> dict[str, float]:
        """Rates of the players `network` and `judges` at `step`, times `scale`."""
        scale *= self.decay(step, steps)
        return {"network": self.generator_rate * scale, "judges": self.discriminator_rate * scale}
