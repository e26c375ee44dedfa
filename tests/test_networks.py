"""CycleGAN-VC2's networks against the layer table of the paper's figure 4."""

import re
from dataclasses import fields

import pytest
import torch
from torch import nn

from vc.config import build
from vc.encoders.encoder_file import NETWORKS
from vc.errors import ConfigError
from vc.features.content import PROSODY
from vc.layers import InstanceNorm2d
from vc.models import MODELS, build_converter, network_config
from vc.models.base import AbstractDecoder
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config, Discriminator, build_generator
from vc.train.methods import METHODS
from vc.train.run import TrainingConfig
from vc.train.vocoder_gan import VocoderObjective
from vc.vocoders.vocoder_file import GENERATORS

NARROW = CycleGANVC2Config(channels=8, residual_blocks=2, residual_channels=16)


def test_generator_layers_follow_the_table():
    convolutions = [
        m for m in build_generator(CycleGANVC2Config(), 35).modules() if isinstance(m, (nn.Conv1d, nn.Conv2d))
    ]
    shapes = [(m.kernel_size, m.out_channels, m.stride[0]) for m in convolutions]
    residual = [((3,), 512, 1), ((3,), 256, 1)] * 6
    assert shapes == [
        ((5, 15), 128, 1),
        ((5, 5), 256, 2),
        ((5, 5), 512, 2),
        ((1,), 256, 1),
        *residual,
        ((1,), 2304, 1),
        ((5, 5), 1024, 1),
        ((5, 5), 512, 1),
        ((5, 15), 1, 1),
    ]


def test_discriminator_layers_follow_the_table():
    convolutions = [m for m in Discriminator(CycleGANVC2Config()).modules() if isinstance(m, nn.Conv2d)]
    shapes = [(m.kernel_size, m.out_channels, m.stride[0]) for m in convolutions]
    assert shapes == [
        ((3, 3), 128, 1),
        ((3, 3), 256, 2),
        ((3, 3), 512, 2),
        ((3, 3), 1024, 2),
        ((1, 5), 1024, 1),
        ((1, 3), 1, 1),
    ]


def test_sizes_inside_the_generator_are_those_of_the_figure():
    network, sizes = build_generator(CycleGANVC2Config(), 35), []
    inward, outward = network.inward, network.outward
    for block in (*inward.down, inward.flatten, network.inner, outward.unflatten, *outward.up):
        block.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 35, 128) + torch.randn(1, 35, 128))
    assert sizes == [
        (128, 18, 64),
        (256, 9, 32),
        (256, 32),
        (256, 32),
        (2304, 32),
        (128, 18, 64),
        (64, 36, 128),
    ]


def test_the_map_of_the_discriminator_is_linear():
    discriminator = Discriminator(NARROW)
    with torch.no_grad():
        discriminator.leave.bias += 5
    assert discriminator(torch.randn(1, 25, 64)).max() > 1.5  # a sigmoid could not


def test_the_gate_is_a_sigmoid_of_the_second_half():
    block = build_generator(NARROW, 25).inward.down[0]
    x = torch.randn(1, 4, 25, 32)
    values, gates = block.norm(block.convolution(x)).chunk(2, dim=1)
    torch.testing.assert_close(block(x), values * torch.sigmoid(gates))


def test_map_of_the_discriminator():
    assert Discriminator(CycleGANVC2Config())(torch.randn(2, 35, 128)).shape == (2, 5, 16)


def test_each_direction_has_a_generator_of_its_own():
    network = CycleGANVC2(NARROW, 25, ("a", "b"))
    x = torch.randn(1, 25, 40)
    assert torch.equal(network.convert(x, "a", "b"), network.generators["to_target"](x))
    assert torch.equal(network.convert(x, "b", "a"), network.generators["to_source"](x))
    assert not torch.equal(network.convert(x, "a", "b"), network.convert(x, "b", "a"))


@pytest.mark.parametrize("method", MODELS)
def test_every_method_is_built_and_keeps_the_shape(method):
    network, config = MODELS[method][1], network_config(method, {})
    if issubclass(network, AbstractDecoder):
        said, manner = torch.randn(1, 12, 40), torch.randn(1, 25 + PROSODY, 40)
        assert network(config, 25, 12, ("a", "b")).decode(said, manner, "b").shape == (1, 25, 40)
        return
    made = build_converter(method, config, 25, ("a", "b"))
    assert made.convert(torch.randn(1, 25, 40), "a", "b").shape == (1, 25, 40)


@pytest.mark.parametrize(
    ("given", "named"),
    [({"channels": 6}, "network.channels"), ({"residual_blocks": 0}, "residual_blocks"), ({"width": 3}, "unknown key")],
)
def test_impossible_sizes_are_refused_by_name(given, named):
    with pytest.raises(ConfigError, match=named):
        network_config("cyclegan_vc2", given)


RANGES = {  # what a message says is allowed, and whether a value is
    r"must be odd and in (\d+)\.\.(\d+)": lambda value, low, high: low <= value <= high and value % 2 == 1,
    r"must be in (-?\d+)\.\.([\d.]+)": lambda value, low, high: low <= value <= high,
    r"must be (\d+)(?: \w+)? or more": lambda value, low: value >= low,
    r"must be from (\d+) to below (\d+)": lambda value, low, high: low <= value < high,
    r"must be above (\d+) and below (\d+)": lambda value, low, high: low < value < high,
    r"must be above (\d+) and at most (\d+)": lambda value, low, high: low < value <= high,
    r"must be above (\d+)": lambda value, low: value > low,
    r"must be below (\d+)": lambda value, high: value < high,
    r"must be (?:even|a multiple of \d+), at least (\d+)": lambda value, low: value >= low and value % low == 0,
    r"must be a multiple of (\d+) in \d+\.\.(\d+)": lambda value, low, high: low <= value <= high and value % low == 0,
    r"must divide encoder\.width, (\d+)": lambda value, width: value > 0 and width % value == 0,
    r"must be (\d+) or (\d+)\.\.(\d+)": lambda value, other, low, high: value == other or low <= value <= high,
    r"must be one of ([\d.]+), ([\d.]+), ([\d.]+), ([\d.]+)": lambda value, *known: value in known,
}


@pytest.mark.parametrize("value", [-1, -0.5, 0, 0.5, 1, 2, 7, 10**9])
def test_what_is_refused_is_named_and_not_in_the_range_that_is_allowed(value):
    parts = {("network", config) for config, _ in (*MODELS.values(), *GENERATORS.values())}
    parts |= {("encoder", config) for config, _, _ in NETWORKS.values()}
    parts |= {("objective", method.objective) for method in METHODS.values()}
    for section, cls in sorted({*parts, ("objective", VocoderObjective), ("training", TrainingConfig)}, key=str):
        for name in [field.name for field in fields(cls)]:
            try:
                build(cls, {name: value}, section)
            except ConfigError as error:
                message = str(error)
            else:
                continue
            if not re.match(rf"{section}\.{name} must (be|divide)", message):
                continue  # of another type, or refused beside another setting
            assert re.search(rf", got {value}(\.0)?$", message), message
            pattern, limits = next((p, found) for p in RANGES if (found := re.search(p, message)))
            assert not RANGES[pattern](value, *map(float, limits.groups())), message


def test_an_unknown_method_is_refused_with_the_known():
    with pytest.raises(ConfigError, match=r"cyclegan_vc9.*cyclegan_vc2"):
        network_config("cyclegan_vc9", {})


def test_a_pair_is_two_speakers():
    with pytest.raises(ConfigError, match="two speakers"):
        CycleGANVC2(NARROW, 25, ("a", "b", "c"))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_normalisation_is_torchs_in_every_layout(batch, layout):
    ours, theirs = InstanceNorm2d(6), nn.InstanceNorm2d(6, affine=True)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    x = (3 + torch.randn(batch, 6, 5, 40)).to(memory_format=layout)
    made = ours(x)
    torch.testing.assert_close(made, theirs(x), atol=1e-5, rtol=0)
    if batch == 1:
        assert made.is_contiguous(memory_format=layout)


def test_a_generator_computes_the_same_in_every_layout():
    network = build_generator(NARROW, 25).eval()
    x = torch.randn(1, 25, 203)
    with torch.inference_mode():
        wanted = network(x)
        torch.testing.assert_close(network.to(memory_format=torch.channels_last)(x), wanted, atol=1e-4, rtol=0)
