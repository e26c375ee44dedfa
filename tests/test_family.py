"""The CycleGAN family: its networks by arithmetic, its parts one by one, masks, and whole runs by the command."""

import copy
import re
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from conftest import CORPUS, ROOT, TINY, command, count
from torch import nn
from torch.nn.functional import conv1d, conv2d, glu, instance_norm, pad

from vc import losses, model_file
from vc.config import build, read_sections
from vc.convert.converter import Converter
from vc.corpus import audio
from vc.errors import ConfigError
from vc.features.kinds import build_features
from vc.features.store import read_features
from vc.layers import UpsampleBlock1d
from vc.models import MODELS, build_converter, network_config
from vc.models.cyclegan_vc3 import TFAN, CycleGANVC3Config
from vc.models.mask_cyclegan_vc import MaskCycleGANVC
from vc.tensor_file import read_tensors
from vc.train import methods
from vc.train.converter import make_engine
from vc.train.cyclegan import CycleGANObjective, CycleGANTraining
from vc.train.engine import Setup
from vc.train.experiment import resolve
from vc.train.methods import METHODS
from vc.train.plan import Plan
from vc.train.processes import SINGLE_PROCESS
from vc.train.sampling import Batch, PairSampler, Segments

CONF = ROOT / "recipes/pair/conf"
FAMILY = ("cyclegan_vc", "cyclegan_vc2", "cyclegan_vc3", "mask_cyclegan_vc")
SMALL = {"channels": 4, "residual_blocks": 1, "residual_channels": 8}
LATE = 20_000  # a step at which identity mapping is over, of
STEPS = 10**6


def small(method: str) -> dict:
    return SMALL | ({"adaptive_channels": 4} if method == "cyclegan_vc3" else {})


def make(method: str = "cyclegan_vc2", bands: int = 10, **objective) -> CycleGANTraining:
    torch.manual_seed(0)
    config = network_config(method, small(method))
    network = build_converter(method, config, bands, ("a", "b"))
    return CycleGANTraining(network, config, CycleGANObjective(**objective), Setup(STEPS, segment=64))


def batch(bands: int = 10, frames: int = 64, seed: int = 1) -> Batch:
    random = torch.Generator().manual_seed(seed)
    segments = (torch.randn(2, bands, frames, generator=random) for _ in "ab")
    return Batch(*segments, lambda count: torch.rand(2, count, generator=random))


# Networks, by arithmetic from the tables; a gated layer has twice its channels as values and gates.


def conv(inputs: int, outputs: int, *kernel: int) -> int:
    size = 1
    for side in kernel:
        size *= side
    return inputs * outputs * size + outputs


def counts(method: str, bands: int) -> tuple[int, int]:
    """Parameters of generator and discriminator at the paper's sizes."""
    with torch.device("meta"):
        made, config = MODELS[method][1], network_config(method, {})
        return count(made.generator(config, bands)), count(made.discriminator(config))


def test_parameters_of_cyclegan_vc():
    residual = conv(512, 2048, 3) + 2 * 2048 + conv(1024, 512, 3) + 2 * 512
    generator = conv(24, 256, 15) + conv(128, 512, 5) + 2 * 512 + conv(256, 1024, 5) + 2 * 1024 + 6 * residual
    generator += conv(512, 2048, 5) + 2 * 1024 + conv(512, 1024, 5) + 2 * 512 + conv(256, 24, 15)
    judge = conv(1, 256, 3, 3) + conv(128, 512, 3, 3) + 2 * 512 + conv(256, 1024, 3, 3) + 2 * 1024
    judge += conv(512, 2048, 6, 3) + 2 * 2048
    assert counts("cyclegan_vc", 24) == (generator, judge + conv(1024, 1, 1)) == (38_055_704, 21_837_825)
    with torch.device("meta"):
        whole = build_converter("cyclegan_vc", network_config("cyclegan_vc", {}), 24, ("a", "b"))
        ends_connected = whole.segment_discriminator(network_config("cyclegan_vc", {}), 128)
    assert count(ends_connected) == judge + 1024 * 6 * 8 + 1


def around(bands: int, inputs: int) -> int:
    """CycleGAN-VC2's generator without the normalisation of its way back."""
    rows = -(-bands // 4)
    residual = conv(256, 512, 3) + 2 * 512 + conv(256, 256, 3) + 2 * 256
    inward = conv(inputs, 128, 5, 15) + conv(64, 256, 5, 5) + 2 * 256 + conv(128, 512, 5, 5) + 2 * 512
    middle = conv(256 * rows, 256, 1) + 2 * 256 + 6 * residual + conv(256, 256 * rows, 1)
    return inward + middle + conv(256, 1024, 5, 5) + conv(128, 512, 5, 5) + conv(64, 1, 5, 15)


@pytest.mark.parametrize(("method", "bands", "inputs"), [("cyclegan_vc2", 35, 1), ("mask_cyclegan_vc", 80, 2)])
def test_parameters_of_cyclegan_vc2_and_mask_cyclegan_vc(method, bands, inputs):
    norms = 2 * 256 * -(-bands // 4) + 2 * 256 + 2 * 128
    wider = 512 * 1024 * 5 if method == "mask_cyclegan_vc" else 0  # 1 x 10 in place of 1 x 5
    assert counts(method, bands) == (around(bands, inputs) + norms, 5_729_281 + wider)
    assert around(35, 1) + 2 * 2304 + 2 * 256 + 2 * 128 == 14_999_233


def test_parameters_of_cyclegan_vc3():
    def adaptive(inputs: int, channels: int, *kernel: int) -> int:
        return conv(inputs, 128, *kernel) + 2 * conv(128, 128, *kernel) + 2 * conv(128, channels, *kernel)

    norms = adaptive(80, 5120, 5) + adaptive(1, 256, 5, 5) + adaptive(1, 128, 5, 5)
    assert counts("cyclegan_vc3", 80) == (around(80, 1) + norms, 5_729_281 + 512 * 1024 * 5)
    assert around(80, 1) + norms == 27_321_665


class Reading:
    """The papers' tables read anew: layers written out, which take the weights of `network` in their order."""

    def __init__(self, network: nn.Module):
        self.weights = iter(network.state_dict().values())

    def conv(self, x: torch.Tensor, stride: int | tuple[int, int] = 1) -> torch.Tensor:
        weight, bias = next(self.weights), next(self.weights)
        sides = [side for size in reversed(weight.shape[2:]) for side in ((size - 1) // 2, size // 2)]
        return (conv1d if x.dim() == 3 else conv2d)(pad(x, sides), weight, bias, stride)

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        scale, shift = (next(self.weights).view(-1, *[1] * (x.dim() - 2)) for _ in "ab")
        return scale * standard(x) + shift

    def adapt(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        for axis, size in enumerate(x.shape[2:], start=2):  # the nearest value
            source = source.index_select(axis, torch.arange(size) * source.shape[axis] // size)
        for _ in range(3):
            source = self.conv(source).clamp(min=0)
        scale, shift = self.conv(source).chunk(2, dim=1)
        return standard(x) * (1 + scale) + shift

    def generator(self, x: torch.Tensor, method: str) -> torch.Tensor:
        bands, frames = x.shape[-2:]
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], -frames % 4)], dim=-1)
        source, flat, adaptive = x, method == "cyclegan_vc", method == "cyclegan_vc3"
        if method == "mask_cyclegan_vc":
            x = torch.stack([x, torch.ones_like(x)], dim=1)
        x = gated(self.conv(x if flat or x.dim() == 4 else x[:, None]))
        for _ in range(2):
            x = gated(self.norm(self.conv(x, 2)))
        x = x if flat else self.norm(self.conv(x.flatten(1, 2)))
        for _ in range(2):
            x = x + self.norm(self.conv(gated(self.norm(self.conv(x)))))
        if not flat:
            x = self.conv(x)
            x = (self.adapt(x, source) if adaptive else self.norm(x)).unflatten(1, (-1, -(-bands // 4)))
        for _ in range(2):
            x = shuffled(self.conv(x))
            x = gated(self.adapt(x, source[:, None]) if adaptive else self.norm(x))
        x = self.conv(x)
        return (x if flat else x[:, 0])[:, :bands, :frames]

    def discriminator(self, x: torch.Tensor, method: str) -> torch.Tensor:
        strides = [(1, 2), 2, 2, (1, 2)] if method == "cyclegan_vc" else [1, 2, 2, 2, 1]
        x = gated(self.conv(x[:, None], strides[0]))
        for stride in strides[1:]:
            x = gated(self.norm(self.conv(x, stride)))
        if method == "cyclegan_vc":
            return x.flatten(1) @ next(self.weights).flatten(1).T + next(self.weights)
        return self.conv(x)[:, 0]


def standard(x: torch.Tensor) -> torch.Tensor:
    places = tuple(range(2, x.dim()))
    return (x - x.mean(places, keepdim=True)) / (x.var(places, unbiased=False, keepdim=True) + 1e-5).sqrt()


def gated(x: torch.Tensor) -> torch.Tensor:
    values, gates = x.chunk(2, dim=1)
    return values * gates.sigmoid()


def shuffled(x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 3:
        return x.unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)
    return x.unflatten(1, (-1, 2, 2)).permute(0, 1, 4, 2, 5, 3).flatten(4).flatten(2, 3)


@pytest.mark.parametrize("method", FAMILY)
def test_networks_are_the_papers_tables_read_anew(method):
    config = network_config(method, small(method) | {"residual_blocks": 2})
    network = build_converter(method, config, 10, ("a", "b")).double()
    judge, x = network.segment_discriminator(config, 36).double(), torch.randn(2, 10, 36).double()
    with torch.no_grad():
        for parameter in (*network.parameters(), *judge.parameters()):
            parameter += torch.randn_like(parameter) / 10  # scales and shifts too
        for frames in (36, 35):
            wanted = Reading(network.generators["to_target"]).generator(x[..., :frames], method)
            torch.testing.assert_close(network.convert(x[..., :frames], "a", "b"), wanted)
        torch.testing.assert_close(judge(x), Reading(judge).discriminator(x, method))


def cost(method: str) -> int:
    """Multiplications of a step's convolutions forwards, once identity mapping is over, at a sixteenth of the width."""
    sizes = {"channels": 8, "residual_channels": 64 if method == "cyclegan_vc" else 32}
    config = network_config(method, sizes | ({"adaptive_channels": 8} if method == "cyclegan_vc3" else {}))
    network = build_converter(method, config, 24, ("a", "b"))
    made, total = CycleGANTraining(network, config, METHODS[method].objective(), Setup(STEPS, segment=64)), []
    for module in (*network.modules(), *made.discriminators.modules()):
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            weights = module.weight.numel() // module.out_channels
            module.register_forward_hook(lambda _, __, output, weights=weights: total.append(output.numel() * weights))
    with torch.no_grad():
        _, fakes = made.generator_losses(batch(24), made.objective.weights(LATE))
        made.discriminator_losses(batch(24), fakes)
    return sum(total)


def test_a_step_of_each_costs_what_is_said_of_it():
    first, second, third, mask = (cost(method) for method in FAMILY)
    assert first < second < mask < 1.2 * second and 2 < third / second < 3


@pytest.mark.parametrize("method", FAMILY)
@pytest.mark.parametrize("bands", [17, 24, 35, 36, 80])
@pytest.mark.parametrize("frames", [1, 4, 5, 32, 101, 130])
def test_any_height_and_any_length_are_kept(method, bands, frames):
    network = build_converter(method, network_config(method, small(method)), bands, ("a", "b"))
    made = network.convert(torch.randn(2, bands, frames), "a", "b")
    assert made.shape == (2, bands, frames) and torch.isfinite(made).all()


@pytest.mark.parametrize("method", FAMILY)
def test_a_batch_equals_each_alone(method):
    training, frames = make(method), torch.randn(3, 10, 64)
    for network in (lambda x: training.network.convert(x, "b", "a"), training.discriminators["source"]):
        alone = torch.cat([network(one[None]) for one in frames])
        torch.testing.assert_close(network(frames), alone, rtol=1e-4, atol=1e-5)


def test_map_of_cyclegan_vcs_discriminator():
    config = network_config("cyclegan_vc", SMALL)
    assert MODELS["cyclegan_vc"][1].discriminator(config)(torch.randn(2, 24, 128)).shape == (2, 6, 8)


@pytest.mark.parametrize(("bands", "frames"), [(24, 128), (25, 50), (80, 33)])
def test_a_discriminator_that_ends_fully_connected_weighs_every_position(bands, frames):
    config = network_config("cyclegan_vc", SMALL)
    network = build_converter("cyclegan_vc", config, bands, ("a", "b"))
    judge, by_position = network.segment_discriminator(config, frames), network.discriminator(config)
    x = torch.randn(2, bands, frames)
    assert judge(x).shape == (2, 1)
    by_position.load_state_dict({k: v for k, v in judge.state_dict().items() if "leave" not in k}, strict=False)
    nn.init.ones_(by_position.leave.weight)
    nn.init.zeros_(by_position.leave.bias)
    weights = torch.randn(judge.leave.weight.shape[2:])
    with torch.no_grad():
        judge.leave.weight.copy_(weights.expand_as(judge.leave.weight))
    torch.testing.assert_close(judge(x)[:, 0], (by_position(x) * weights).sum((1, 2)) + judge.leave.bias)
    plain = build_converter("cyclegan_vc", network_config("cyclegan_vc", SMALL | {"fully_connected": False}), 9, "ab")
    assert plain.segment_discriminator(network_config("cyclegan_vc", SMALL | {"fully_connected": False}), 64)(
        torch.randn(1, 9, 32)
    ).shape == (1, 3, 2)


def test_a_kernel_of_even_size_keeps_the_map_and_sees_ten_positions():
    config = network_config("cyclegan_vc3", small("cyclegan_vc3"))
    judge = MODELS["cyclegan_vc3"][1].discriminator(config)
    x, places = torch.randn(1, 80, 256), []
    assert judge.deepen.convolution.kernel_size == (1, 10) and judge(x).shape == (1, 10, 32)
    for norm in (module for module in judge.modules() if isinstance(module, nn.InstanceNorm2d)):
        norm.forward = lambda values: values  # statistics of a segment are seen everywhere
    hidden = judge.down(glu(judge.enter(x[:, None]), dim=1)).detach().requires_grad_()
    judge.down.forward = lambda _: hidden
    [gradient] = torch.autograd.grad(judge.features(x)[0, :, 0, 16].sum(), hidden)
    places = torch.nonzero(gradient.abs().sum((0, 1, 2)))[:, 0].tolist()
    assert places == list(range(12, 22))


def test_a_shuffle_along_time_interleaves():
    block, x = UpsampleBlock1d(3, 2), torch.randn(1, 8, 5)
    block.convolution = block.norm = nn.Identity()
    wanted = torch.stack([torch.stack([x[0, 2 * c], x[0, 2 * c + 1]], dim=1).flatten() for c in range(4)])
    torch.testing.assert_close(block(x), glu(wanted[None], dim=1))


def test_an_adaptive_norm_that_gives_nothing_is_instance_normalisation():
    norm, x = TFAN(nn.Conv2d, 1, 6, CycleGANVC3Config(**small("cyclegan_vc3"))), torch.randn(2, 6, 8, 16)
    source = torch.randn(2, 1, 16, 32)
    assert not torch.allclose(norm(x, source), instance_norm(x), atol=1e-3)
    nn.init.zeros_(norm.layers[-1].weight)
    nn.init.zeros_(norm.layers[-1].bias)
    torch.testing.assert_close(norm(x, source), instance_norm(x))


def test_an_adaptive_norm_changes_only_near_where_the_source_does():
    norm = TFAN(nn.Conv1d, 3, 6, CycleGANVC3Config(**small("cyclegan_vc3")))
    x, source = torch.randn(1, 6, 60), torch.randn(1, 3, 60)
    other = source.clone()
    other[..., 30] += 1
    changed = (norm(x, source) != norm(x, other)).any(dim=1)[0]
    assert changed[30] and not changed[: 30 - 8].any() and not changed[30 + 9 :].any()  # four kernels of 5


CONFIGURATIONS = {  # -> sampling rate, bands, frames of a segment, steps
    "cyclegan_vc": (16000, 24, 128, 200_000),
    "cyclegan_vc2": (22050, 35, 128, 400_000),
    "cyclegan_vc3": (22050, 80, 64, 400_000),
    "mask_cyclegan_vc": (22050, 80, 64, 400_000),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_losses_and_schedule_are_those_of_the_method_with_a_configuration_and_without(name):
    sections = read_sections(name)
    features = build_features(sections.get("features", {}))
    experiment = resolve(sections, features, ("a", "b"), "")
    settings, objective = experiment.training, experiment.objective
    assert (features.sample_rate, features.bands, settings.segment, settings.steps) == CONFIGURATIONS[name]
    assert objective == METHODS[name].objective() and objective.adversarial_loss == "least_squares"
    second = {} if name == "cyclegan_vc" else {"second_adversarial": 1.0}
    late = {"adversarial": 1.0, "cycle_consistency": 10.0} | second
    assert objective.weights(9_999) == late | {"identity_mapping": 5.0} and objective.weights(10_000) == late
    assert settings.batch == 1 and objective.decay_from == 200_000  # the last step of CycleGAN-VC: rates do not fall


# Parts, each on or off.

PARTS = {  # configuration -> generators that move, and discriminators that do
    "cycle": (["to_source", "to_target"], []),
    "gan": (["to_source", "to_target"], ["source", "target"]),
    "gan_forward": (["to_source", "to_target"], ["source", "target", "restored_source"]),
    "gan_backward": (["to_source", "to_target"], ["source", "target", "restored_target"]),
    "cyclegan_vc2": (["to_source", "to_target"], ["source", "target", "restored_source", "restored_target"]),
}
ONE_WAY = {"second_adversarial": 0.0, "cycle_consistency": 0.0, "backward_adversarial": 0.0}


def ablation(name: str) -> dict:
    return read_sections(CONF / f"family/{name}.yaml")["objective"]


def moved(training: CycleGANTraining, step: int) -> tuple[list[str], list[str], dict]:
    """Generators and discriminators that a step changes, and its losses."""
    groups = {"generators": training.network.generators, "discriminators": training.discriminators}
    before = copy.deepcopy({name: group.state_dict() for name, group in groups.items()})
    made = training.step(batch(), training.schedule(step))
    changed = {
        name: sorted({key.split(".")[0] for key, value in group.state_dict().items() if not value.equal(old[key])})
        for (name, group), old in zip(groups.items(), before.values())
    }
    return changed["generators"], changed["discriminators"], made


@pytest.mark.parametrize("name", PARTS)
def test_who_moves_in_each_ablation(name):
    training = make(**ablation(name))
    generators, discriminators, made = moved(training, LATE)
    assert generators == PARTS[name][0] and discriminators == sorted(PARTS[name][1]) == sorted(training.discriminators)
    around = {"cycle_consistency"} if name != "gan" else set()
    second = {"second_adversarial", "second_discriminator"} if len(discriminators) > 2 else set()
    assert set(made) == around | second | ({"adversarial", "discriminator"} if discriminators else set())
    assert set(moved(training, 0)[2]) == {*made, "identity_mapping"}


def test_one_way_alone_moves_one_generator_and_calls_no_other():
    training, calls = make(**ONE_WAY), []
    untouched = copy.deepcopy(training.to_source.state_dict())
    training.to_source.register_forward_hook(lambda *_: calls.append(1))
    for step in (0, LATE):
        assert moved(training, step)[:2] == (["to_target"], ["target"])
    assert not calls and all(value.equal(untouched[key]) for key, value in training.to_source.state_dict().items())


def test_what_judges_nothing_is_neither_built_nor_kept():
    training = make(**ablation("cycle"))
    assert training.modules.keys() == training.optimisers.keys() == {"network"} and len(training.discriminators) == 0


def test_each_direction_has_its_factor():
    factors = {"adversarial": (0.5, 2.0), "second_adversarial": (3.0, 0.0), "cycle": (0.0, 4.0)}
    factors["identity"] = (0.25, 5.0)
    given = {f"{way}_{part}": f for part, both in factors.items() for way, f in zip(("forward", "backward"), both)}
    training, drawn = make(**given), batch()
    x, y, to_y, to_x = drawn.source, drawn.target, training.to_target, training.to_source
    terms, fakes = training.generator_losses(drawn, training.objective.weights(0))

    def adversarial(judge: str, fake: torch.Tensor) -> torch.Tensor:
        return ((training.discriminators[judge](fake) - 1) ** 2).mean()

    wanted = {
        "adversarial": 0.5 * adversarial("target", to_y(x)) + 2 * adversarial("source", to_x(y)),
        "second_adversarial": 3 * adversarial("restored_source", to_x(to_y(x))),
        "cycle_consistency": 4 * (to_y(to_x(y)) - y).abs().mean(),
        "identity_mapping": 0.25 * (to_y(y) - y).abs().mean() + 5 * (to_x(x) - x).abs().mean(),
    }
    assert terms.keys() == wanted.keys() and fakes.restored_target is None
    for name, value in wanted.items():
        torch.testing.assert_close(terms[name], value)


def test_parts_differ_from_the_whole_in_weights_and_length_alone():
    whole = read_sections(CONF / "family/cyclegan_vc2.yaml")
    for name in PARTS:
        sections = read_sections(CONF / f"family/{name}.yaml")
        own = {key: sections["objective"].pop(key) for key in ablation(name) if key not in whole["objective"]}
        assert set(own.values()) <= {0} and bool(own) == (name != "cyclegan_vc2")
        steps = sections["training"].pop("steps")
        assert sections["objective"] == {"identity_steps": steps // 5, "decay_from": steps * 3 // 5}
        rest = {key: value for key, value in whole["training"].items() if key != "steps"}
        assert sections["training"] == rest and sections["network"] == whole["network"]


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_every_adversarial_loss_moves_everybody(name):
    generators, discriminators, made = moved(make(adversarial_loss=name), 0)
    assert (generators, discriminators) == (["to_source", "to_target"], sorted(PARTS["cyclegan_vc2"][1]))
    assert all(torch.isfinite(value) for value in made.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"adversarial": 0, "second_adversarial": 0, "cycle_consistency": 0}, "in both directions: nothing is learnt"),
        ({"cycle_consistency": -1}, r"objective\.cycle_consistency must be 0 or more, got -1"),
        ({"forward_cycle": -1}, r"objective\.forward_cycle must be 0 or more, got -1"),
        (
            {"adversarial_loss": "quadratic"},
            r"adversarial_loss: unknown 'quadratic'; known: least_squares, original, hinge, wasserstein_gp",
        ),
    ],
)
def test_objectives_are_refused_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        build(CycleGANObjective, given, "objective")


# Filling in frames.


def test_what_is_not_hidden_is_as_it_was_and_lengths_go_up_to_the_share():
    network = MaskCycleGANVC(network_config("mask_cyclegan_vc", SMALL), 10, ("a", "b"))
    random = torch.Generator().manual_seed(0)
    frames = torch.randn(2000, 10, 21)
    given = network.generator_input(frames, lambda count: torch.rand(2000, count, generator=random))
    seen, mask = given.unbind(1)
    assert set(mask.unique().tolist()) == {0.0, 1.0} and (mask == mask[:, :1]).all()
    torch.testing.assert_close(seen, torch.where(mask == 1, frames, 0), rtol=0, atol=0)
    hidden = mask[:, 0] == 0
    lengths = hidden.sum(1).bincount(minlength=12)
    assert len(lengths) == 12 and lengths[11:] == 0 and (lengths[:11] > 120).all()  # 0 to 10 of 21, each as often
    edges = hidden.int().diff(dim=1).abs().sum(1)
    assert (edges <= 2).all() and hidden[:, 0].any() and hidden[:, -1].any()  # one stretch, up to both ends


def test_only_the_first_pass_hides_and_conversion_does_not():
    training, calls = make("mask_cyclegan_vc"), []
    for generator in training.network.generators.values():
        generator.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0]))
    drawn = batch()
    training.generator_losses(drawn, training.objective.weights(0))
    first, second = calls[::2], calls[1::2]  # of a direction
    assert all((given[:2, 1] == 0).any() and (given[2:, 1] == 1).all() for given in first)
    assert torch.equal(first[0][2:, 0], drawn.target) and all((given[:, 1] == 1).all() for given in second)
    calls.clear()
    training.network.convert(drawn.source, "a", "b")
    assert torch.equal(calls[0], torch.stack([drawn.source, torch.ones_like(drawn.source)], dim=1))


def test_processes_together_draw_the_lots_that_one_draws():
    frames = torch.randn(100, 5).numpy()

    def lots(share: slice) -> torch.Tensor:
        segments = [Segments([frames], 32, torch.device("cpu"), who) for who in "ab"]
        return PairSampler(segments, batch=6, seed=0, share=share).draw().random_draws(2)

    together = torch.cat([lots(slice(0, 3)), lots(slice(3, 6))])
    assert torch.equal(together, lots(slice(None))) and together.shape == (6, 2)


def test_lots_that_nobody_draws_leave_the_segments_as_they_were():
    frames, random = torch.randn(100, 5).numpy(), torch.Generator().manual_seed(0)
    segments = [Segments([frames], 32, torch.device("cpu"), who) for who in "ab"]
    sampler = PairSampler(segments, batch=2, seed=0)
    for _ in range(3):
        drawn = sampler.draw()
        assert all(map(torch.equal, (drawn.source, drawn.target), [each.draw(2, random) for each in segments]))


# Whole runs.

RUNS = {
    "cyclegan_vc": (),
    "cyclegan_vc3": ("network.adaptive_channels=4",),
    "mask_cyclegan_vc": ("objective.adversarial_loss=wasserstein_gp",),
    "cyclegan_vc2": ("objective.adversarial=0", "objective.second_adversarial=0"),
}


@pytest.fixture
def dumps(mini, mel_dump) -> dict[str, Path]:
    """Features of both kinds, by method."""
    return dict.fromkeys(RUNS, mini / "dump/train") | dict.fromkeys(("cyclegan_vc3", "mask_cyclegan_vc"), mel_dump)


def run(dumps: dict[str, Path], method: str, output: Path, *changes: str, check: int = 0):
    settings = ["training.steps=6", "training.checkpoint_every=3", "objective.identity_steps=4", "training.log_every=1"]
    words = [f"method={method}", "training.segment=32", "training.batch=2", *settings, *RUNS[method], *changes]
    pair = ["--features", dumps[method], "--source", "slt", "--target", "rms", "--output", output]
    return command("train", "--config", TINY, *pair, *(w for word in words for w in ("--set", word)), check=check)


def test_a_method_without_its_configuration_names_the_settings_that_differ(dumps, tmp_path):
    def warnings(*words: object) -> list[str]:
        stopped = command("train", *words, "--output", tmp_path / "x", "--set", "network.widht=1", check=None)
        return stopped.stderr.decode().splitlines()[:-1]

    start = "vc-train: warning: --method {0} leaves settings at their defaults; --config {0} has "
    pair = ("--source", "slt", "--target", "rms", "--features", dumps["mask_cyclegan_vc"])
    masked = ("--method", "mask_cyclegan_vc", *pair)
    assert warnings(*masked) == [start.format("mask_cyclegan_vc") + "training.segment=64"]
    assert warnings("a", "b", "--method", "cyclegan_vc3") == [
        start.format("cyclegan_vc3") + "features.kind=mel, training.segment=64"
    ]
    assert not warnings(*masked, "--set", "training.segment=64") and not warnings(*masked, "--config", "nearest")
    assert not warnings("--method", "cyclegan_vc2", *pair)


@pytest.mark.parametrize("method", RUNS)
def test_every_method_trains_goes_on_bit_for_bit_and_converts(method, dumps, tmp_path):
    run(dumps, method, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    newest = "checkpoints/checkpoint-000000006.safetensors"
    (tmp_path / "again" / newest).unlink()  # as if the run had been killed before it saved
    run(dumps, method, tmp_path / "again")
    one, other = (read_tensors(tmp_path / name / newest)[0] for name in ("whole", "again"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert model_file.read(tmp_path / "whole")[0].method == method
    samples, rate = audio.read(sorted((CORPUS / "eval/slt").iterdir())[0])
    made = Converter.load(tmp_path / "whole").convert(samples[:rate], rate)
    assert len(made) in range(int(0.9 * Converter.load(tmp_path / "whole").sample_rate), 22051) and abs(made).max() > 0


def test_a_run_from_before_a_setting_was_there_goes_on(dumps, tmp_path):
    run(dumps, "cyclegan_vc2", tmp_path)
    path = tmp_path / "config.yaml"
    settings = yaml.safe_load(path.read_text())
    for name in ("forward_cycle", "backward_identity", "adversarial_loss"):
        del settings["objective"][name]
    path.write_text(yaml.safe_dump(settings))
    run(dumps, "cyclegan_vc2", tmp_path, "training.steps=7")
    path.write_text(yaml.safe_dump(settings))
    done = run(dumps, "cyclegan_vc2", tmp_path, "objective.forward_cycle=2", check=2)
    assert "objective.forward_cycle (1.0 -> 2.0)" in done.stderr.decode()


@pytest.mark.parametrize("path", sorted(CONF.rglob("*cyclegan*.yaml")) + sorted(CONF.glob("family/*")), ids=str)
def test_every_configuration_is_one(path):
    sections = read_sections(path)
    experiment = resolve(sections, build_features(sections.get("features", {})), ("a", "b"), "")
    assert experiment.method in (*FAMILY, "nearest", "warp")


def test_the_contributors_example_is_a_method(monkeypatch, mini):
    """What CONTRIBUTING's text makes, as it stands, trains and converts."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Adding a method")[2].partition("\n## ")[0]
    module, *entries = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(entries) == 2
    names = {"__name__": "vc.models.frame_gan"}
    monkeypatch.setitem(sys.modules, "vc.models.frame_gan", types.ModuleType("vc.models.frame_gan"))
    exec(module, names)
    for registry, entry in zip((MODELS, METHODS), entries):
        [(name, value)] = eval(f"{{{entry}}}", {**vars(methods), **names}).items()
        monkeypatch.setitem(registry, name, value)
    features = read_features(mini / "dump/train")
    sections = {"method": "frame_gan", "training": {"steps": 2, "segment": 64}}
    plan = Plan(features, resolve(sections, features.config, ("slt", "rms"), features.digest))
    engine = make_engine(plan, torch.device("cpu"), SINGLE_PROCESS)
    before = [parameter.clone() for parameter in engine.converter.parameters()]
    losses_made = [engine.step(number) for number in range(2)]
    assert all(torch.isfinite(value) for made in losses_made for value in made.values())
    assert not any(map(torch.equal, before, engine.converter.parameters()))
    made = Converter(plan.experiment.model(features, 2, {}), engine.converter)
    assert made.convert_frames(features.frames("slt")[0], "slt", "rms").shape == features.frames("slt")[0].shape
