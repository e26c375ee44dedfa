"""Adversarial losses against their formulas, and the gradient penalty against functions of known gradient."""

from functools import partial

import numpy as np
import pytest
import torch

from vc import losses


def maps() -> tuple[torch.Tensor, np.ndarray]:
    judgement = 3 * torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    return judgement, judgement.double().numpy()


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.log1p(np.exp(-x))


FORMULAS = {  # name -> of the discriminator on real, on fake, and of the generator
    "least_squares": (lambda d: (d - 1) ** 2, lambda d: d**2, lambda d: (d - 1) ** 2),
    "original": (lambda d: -log_sigmoid(d), lambda d: -log_sigmoid(-d), lambda d: -log_sigmoid(d)),
    "hinge": (lambda d: np.maximum(0, 1 - d), lambda d: np.maximum(0, 1 + d), lambda d: -d),
    "wasserstein_gp": (lambda d: -d, lambda d: d, lambda d: -d),
}


def test_every_loss_has_a_formula_here():
    assert FORMULAS.keys() == losses.ADVERSARIAL.keys()


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_are_their_formulas(name):
    judgement, plain = maps()
    made = losses.ADVERSARIAL[name]
    found = [made.discriminator_loss(judgement, real=real) for real in (True, False)] + [made.generator_loss(judgement)]
    assert [float(loss) for loss in found] == pytest.approx([f(plain).mean() for f in FORMULAS[name]], rel=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_discriminators_raise_real_and_lower_fake_and_generators_raise(name):
    made = losses.ADVERSARIAL[name]
    on_real, on_fake = (partial(made.discriminator_loss, real=real) for real in (True, False))
    for loss, sign in ((on_real, -1), (on_fake, 1), (made.generator_loss, -1)):
        judgement = torch.zeros(3, requires_grad=True)
        loss(judgement + (0 if name != "least_squares" else 0.5)).backward()
        assert (torch.sign(judgement.grad) == sign).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_are_float32_at_least(name):
    made = losses.ADVERSARIAL[name]
    judgement = torch.ones(3, dtype=torch.bfloat16)
    assert {loss.dtype for loss in (made.discriminator_loss(judgement, real=True), made.generator_loss(judgement))} == {
        torch.float32
    }


def test_only_one_loss_has_a_penalty_and_it_weighs_ten():
    assert {name: made.penalty for name, made in losses.ADVERSARIAL.items() if made.penalty} == {"wasserstein_gp": 10}


def test_the_penalty_of_a_linear_critic_is_known_and_so_is_its_gradient():
    weight = torch.tensor([1.0, 2.0, 2.0], requires_grad=True)  # of norm 3
    real, fake = torch.randn(4, 3), torch.randn(4, 3)
    penalty = losses.gradient_penalty(lambda x: x @ weight, real, fake, share=torch.rand(4, 1))
    penalty.backward()
    assert penalty.item() == pytest.approx((3 - 1) ** 2)
    torch.testing.assert_close(weight.grad, 2 * (3 - 1) * weight.detach() / 3)


def test_the_penalty_is_taken_between_real_and_fake_at_each_samples_share():
    """The gradient of half the squared norm is the point itself."""
    real, fake = torch.randn(3, 2, 5), torch.randn(3, 2, 5)
    share = torch.tensor([[0.0], [0.25], [1.0]])
    points = [fake[0], 0.25 * real[1] + 0.75 * fake[1], real[2]]
    wanted = np.mean([(float(point.norm()) - 1) ** 2 for point in points])
    found = losses.gradient_penalty(lambda x: x.square().sum((1, 2)) / 2, real, fake, share=share)
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_a_map_is_judged_by_its_mean():
    real, fake, share = torch.randn(2, 3), torch.randn(2, 3), torch.rand(2, 1)
    critic = torch.nn.Linear(3, 6)
    mean = losses.gradient_penalty(lambda x: critic(x).mean(1), real, fake, share=share)
    of_a_map = losses.gradient_penalty(lambda x: critic(x).unflatten(1, (2, 3)), real, fake, share=share)
    torch.testing.assert_close(of_a_map, mean)
