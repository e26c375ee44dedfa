"""The lean step against a textbook step, and who moves in it."""

import contextlib
import copy

import pytest
import torch
from textbook import ROWS, Textbook
from torch import nn

from vc import devices
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config
from vc.train.cyclegan import CycleGANObjective, CycleGANTraining
from vc.train.engine import Setup
from vc.train.sampling import Batch

CONFIG = CycleGANVC2Config(channels=8, residual_blocks=2, residual_channels=16)
WEIGHTS = {"adversarial": 1.0, "second_adversarial": 1.0, "cycle_consistency": 10.0, "identity_mapping": 5.0}


def make(**objective) -> CycleGANTraining:
    torch.manual_seed(0)
    network = CycleGANVC2(CONFIG, ROWS, ("a", "b"))
    return CycleGANTraining(network, CONFIG, CycleGANObjective(**objective), Setup(100))


def draw(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(*(torch.randn(2, ROWS, 64, generator=generator) for _ in range(2)))


def take(training: CycleGANTraining, batch: Batch, step: int) -> dict[str, torch.Tensor]:
    """Step number `step`, from 0; every network keeps its gradients."""
    return training.step(batch, training.schedule(step))


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in module.parameters()]


def textbook_of(training: CycleGANTraining, careful: bool = False) -> Textbook:
    """A textbook step's networks with the same weights."""
    textbook = Textbook(CONFIG, torch.device("cpu"), careful=careful)
    textbook.generators.load_state_dict(training.network.generators.state_dict())
    textbook.discriminators.load_state_dict(training.discriminators.state_dict())
    return textbook


def assert_alike(some: list[torch.Tensor], others: list[torch.Tensor]) -> None:
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("careful", [False, True])
def test_gradients_equal_a_textbook_step(careful):
    training, batch = make(), draw()
    textbook = textbook_of(training, careful)
    take(training, batch, 0)
    textbook.generator_loss(batch).backward()
    expected = torch.autograd.grad(textbook.discriminator_loss(batch), [*textbook.discriminators.parameters()])
    assert_alike(gradients(training.network), gradients(textbook.generators))
    assert_alike(gradients(training.discriminators), expected)


def test_discriminators_learn_from_fakes_that_were_made_before_the_generators_moved():
    training, batch = make(generator_rate=1e-2), draw()
    before = textbook_of(training)
    take(training, batch, 0)
    after = textbook_of(training)
    after.discriminators.load_state_dict(before.discriminators.state_dict())
    ours = gradients(training.discriminators)
    for textbook, same in ((before, True), (after, False)):
        textbook.discriminator_loss(batch).backward()
        theirs = gradients(textbook.discriminators)
        assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in zip(ours, theirs)) is same


def test_weights_that_are_frozen_for_a_step_change_no_gradient_and_want_theirs_again():
    runs = {}
    for frozen in (False, True):
        training = make()
        if frozen:
            training.optimisers["network"].frozen = [*training.discriminators.parameters()]
        take(training, draw(), 0)
        assert all(parameter.requires_grad for parameter in training.discriminators.parameters())
        runs[frozen] = gradients(training.network) + gradients(training.discriminators)
    assert all(torch.equal(one, other) for one, other in zip(runs[False], runs[True], strict=True))


@pytest.mark.parametrize("loss", WEIGHTS)
def test_each_loss_reaches_both_generators_and_no_discriminator(loss):
    training = make()
    weights = {"adversarial": 0.0, loss: 1.0}
    batch = draw()
    training.optimisers["network"].step(lambda: training.generator_losses(batch, weights), weights)
    for generator in training.network.generators.values():
        assert all(gradient is not None for gradient in gradients(generator))
        assert any(float(gradient.abs().sum()) > 0 for gradient in gradients(generator))
    assert all(gradient is None for gradient in gradients(training.discriminators))


def test_second_adversarial_loss_has_discriminators_of_its_own():
    training = make()
    terms, fakes = training.generator_losses(draw(), WEIGHTS)
    training.discriminators.zero_grad()
    terms["second_adversarial"].backward()
    moved = {
        name: any(gradient is not None for gradient in gradients(discriminator))
        for name, discriminator in training.discriminators.items()
    }
    assert moved == {"source": False, "target": False, "restored_source": True, "restored_target": True}
    assert not fakes.restored_source.requires_grad


def test_discriminator_losses_reach_discriminators_alone():
    training, batch = make(), draw()
    _, fakes = training.generator_losses(batch, WEIGHTS)
    sum(training.discriminator_losses(batch, fakes)[0].values()).backward()
    assert all(gradient is None for gradient in gradients(training.network))
    assert all(gradient is not None for gradient in gradients(training.discriminators))


def test_a_step_moves_every_network():
    training = make()
    before = {name: copy.deepcopy(module.state_dict()) for name, module in training.modules.items()}
    take(training, draw(), 0)
    for name, module in training.modules.items():
        moved = [not torch.equal(value, before[name][key]) for key, value in module.state_dict().items()]
        assert all(moved), name


def test_identity_mapping_ends_at_its_step_and_costs_nothing_after():
    training, calls = make(identity_steps=2), []
    training.to_target.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape[0]))
    named = [set(take(training, draw(), step)) for step in (1, 2)]
    assert "identity_mapping" in named[0] and "identity_mapping" not in named[1]
    assert calls == [4, 2, 2, 2]


def test_a_weight_of_zero_removes_its_loss_and_its_networks():
    training = make(second_adversarial=0.0, cycle_consistency=0.0)
    calls = []
    training.to_target.register_forward_hook(lambda *_: calls.append(1))
    assert set(take(training, draw(), 50_000)) == {"adversarial", "discriminator"}
    assert set(training.discriminators) == {"source", "target"} and len(calls) == 1


def rates(training: CycleGANTraining, step: int) -> tuple[float, float]:
    take(training, draw(), step)
    return tuple(training.optimisers[name].adam.param_groups[0]["lr"] for name in ("network", "discriminators"))


def test_both_rates_are_constant_then_fall_linearly_and_keep_their_ratio():
    training = make(decay_from=50)
    assert {optimiser.adam.defaults["betas"] for optimiser in training.optimisers.values()} == {(0.5, 0.999)}
    assert rates(training, 49) == (2e-4, 1e-4)
    assert rates(training, 50) == pytest.approx((2e-4, 1e-4))
    assert rates(training, 75) == pytest.approx((1e-4, 0.5e-4))
    assert rates(training, 99) == pytest.approx((2e-4 / 50, 1e-4 / 50))


def test_cycle_and_identity_losses_of_identity_generators_are_zero():
    training = make()
    training.to_target = training.to_source = nn.Identity()
    terms, _ = training.generator_losses(draw(), WEIGHTS)
    assert terms["cycle_consistency"] == 0 and terms["identity_mapping"] == 0


@pytest.mark.parametrize(
    ("kind", "autocast", "apart"), [("cuda", False, True), ("cuda", True, False), ("cpu", False, False)]
)
def test_parts_have_streams_of_their_own_on_a_gpu_unless_weights_are_cast(kind, autocast, apart, monkeypatch):
    """Each begins after what came before, and what follows begins after all of them, even if one fails."""
    events = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            events.append(f"{self.name} after {other.name}")

    streams = [Stream("one"), Stream("two")]
    monkeypatch.setattr(devices, "_streams", lambda count, device: streams[:count])
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext(events.append(f"on {stream.name}")))
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: autocast)
    parts = [lambda: events.append("a") or 1, lambda: events.append("b") or 2]
    assert devices.side_by_side(parts, torch.device(kind)) == [1, 2]
    joined = ["main after one", "main after two"]
    one, two = ["one after main", "on one", "a"], ["two after main", "on two", "b"]
    assert events == ([*one, *two, *joined] if apart else ["a", "b"])
    events.clear()
    with pytest.raises(ZeroDivisionError):
        devices.side_by_side([parts[0], lambda: 1 / 0], torch.device(kind))
    assert events[-2:] == joined if apart else events == ["a"]
