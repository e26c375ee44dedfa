"""Codes, encoders and decoders a speaker, auxiliary classifiers, and a speaker added beside others."""

import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, write_as_format_3
from torch import nn
from torch.nn.functional import cross_entropy, l1_loss

from vc import losses, model_file
from vc.config import build, plain
from vc.convert.converter import Converter
from vc.errors import ConfigError
from vc.features.speakers import Speaker
from vc.features.store import read_features
from vc.features.world import WorldConfig
from vc.model_file import Model
from vc.models import MODELS, build_converter, network_config
from vc.models.base import BySpeaker, MultiSpeakerConverter
from vc.models.bottlenecks import BOTTLENECKS, CodeClassifier, CodeConfig, append_noise
from vc.models.stargan_vc import dropout
from vc.tensor_file import read_tensors, write_tensors
from vc.train import checkpoint
from vc.train.checkpoint import State
from vc.train.converter import make_engine
from vc.train.directory import earlier_settings
from vc.train.engine import Setup
from vc.train.experiment import resolve
from vc.train.methods import METHODS
from vc.train.multi_speaker import LOSSES, MultiSpeakerTraining
from vc.train.plan import InitialModel, Plan
from vc.train.processes import SINGLE_PROCESS
from vc.train.sampling import MultiSpeakerBatch, MultiSpeakerSampler, Segments

CPU = torch.device("cpu")
NAMES = ("ann", "bob", "cyd")
MANY = [name for name, method in METHODS.items() if method.training is MultiSpeakerTraining]
COMMON = [name for name in MANY if MODELS[name][1].extensible]
SMALL = {"channels": 8, "residual_blocks": 2, "residual_channels": 16}
CODED = {"code_channels": 4}


def small(method: str) -> dict:
    if method in ("stargan_vc", "ac_gan"):
        return {"channels": 8, "judge_channels": 8}
    return SMALL | (CODED if issubclass(MODELS[method][0], CodeConfig) else {})


def network(method: str, bands: int = 9, **more) -> MultiSpeakerConverter:
    torch.manual_seed(0)
    return build_converter(method, network_config(method, small(method) | more), bands, NAMES).eval()


def training(method: str, network_more: dict | None = None, **objective) -> MultiSpeakerTraining:
    made = network(method, **(network_more or {}))
    config = network_config(method, small(method) | (network_more or {}))
    torch.manual_seed(1)
    return MultiSpeakerTraining(made, config, build(METHODS[method].objective, objective, "objective"), Setup(10))


@pytest.fixture
def batch() -> MultiSpeakerBatch:
    random = np.random.default_rng(3)
    segments = [Segments([random.standard_normal((90, 9)) + n], 32, CPU, who) for n, who in enumerate(NAMES)]
    return MultiSpeakerSampler(segments, batch=2, seed=0).draw()


def test_targets_are_balanced_so_that_a_batch_can_be_divided(batch):
    assert torch.equal(batch.speakers.bincount(), batch.targets.bincount())


@pytest.mark.parametrize("method", MANY)
def test_a_model_file_gives_the_network_back(method, tmp_path):
    made, voice = network(method), Speaker([0.0] * 9, [1.0] * 9, 5.0, 0.2, 80.0, 300.0, 1, 100)
    model = Model(method, WorldConfig(16000, order=8), small(method), dict.fromkeys(NAMES, voice), 1, "digest")
    model_file.write(tmp_path / "m", model, made.state_dict())
    _, read, _ = model_file.read_network(tmp_path / "m")
    x = torch.randn(1, 9, 32)
    torch.testing.assert_close(read.eval().convert(x, "ann", "cyd"), made.convert(x, "ann", "cyd"))


@pytest.mark.parametrize("method", MANY)
@pytest.mark.parametrize("frames", [7, 32, 45])
def test_every_length_is_kept_and_every_target_is_another(method, frames):
    made, x = network(method), torch.randn(1, 9, frames)
    one, other = (made.convert(x, "ann", target) for target in ("bob", "cyd"))
    assert one.shape == x.shape and torch.isfinite(one).all() and not torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("method", MANY)
def test_a_step_computes_what_a_conversion_does(method, batch):
    """Item by item: the parts of each speaker get his items, and the items come back in their order."""
    made = network(method)
    changed = made.convert_batch(batch.frames, batch.speakers, batch.targets)
    for item, (source, target) in enumerate(zip(batch.speakers.tolist(), batch.targets.tolist())):
        alone = made.convert(batch.frames[item : item + 1], NAMES[source], NAMES[target])
        torch.testing.assert_close(changed[item : item + 1], alone, atol=1e-5, rtol=1e-5)


def test_by_speaker_leads_every_item_through_its_own():
    each = BySpeaker(lambda: nn.Linear(2, 2), 3)
    x, speakers = torch.randn(6, 2), torch.tensor([2, 0, 1, 1, 2, 0])
    wanted = torch.stack([each.each[speaker](item) for item, speaker in zip(x, speakers)])
    torch.testing.assert_close(each(x, speakers), wanted)


# Codes.


def test_a_variational_code_is_drawn_around_its_mean_and_costs_its_divergence():
    code, written = BOTTLENECKS["variational"](CodeConfig()), torch.randn(4, 6, 50)
    mean, log_variance = written.chunk(2, dim=1)
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).mean()
    passed, cost = code(written)
    assert torch.equal(passed, mean)
    torch.testing.assert_close(cost, wanted)
    random = torch.Generator().manual_seed(0)
    drawn, _ = code(written, lambda count: torch.rand(4, count, generator=random))
    standard = (drawn - mean) / (log_variance / 2).exp()
    assert abs(standard.mean()) < 0.15 and abs(standard.std() - 1) < 0.1  # of 600


def test_a_quantised_code_is_the_nearest_entry_and_gradients_pass_by():
    code = BOTTLENECKS["quantised"](CodeConfig(code_channels=3, entries=5))
    written = torch.randn(2, 3, 7, requires_grad=True)
    passed, cost = code(written)
    distances = (written.transpose(1, 2)[:, :, None] - code.book).square().sum(-1)
    entries = code.book[distances.argmin(-1)].transpose(1, 2)
    torch.testing.assert_close(passed, entries)
    torch.testing.assert_close(cost, 1.25 * (written - entries).square().mean())
    passed.sum().backward()
    assert torch.equal(written.grad, torch.ones_like(written)) and code.book.grad is None
    code(written)[1].backward()
    assert code.book.grad.abs().sum() > 0


@pytest.mark.parametrize("code", BOTTLENECKS)
@pytest.mark.parametrize("method", ["dr_gan", *COMMON])
def test_every_code_fits_every_method_that_has_one(method, code, batch):
    made = training(method, {"code": code}, code_cost=1.0)
    terms = made.step(batch, made.schedule(0))
    assert all(torch.isfinite(value) for value in terms.values()) and (terms["code_cost"] > 0) == (code != "plain")


@pytest.mark.parametrize("method", MANY)
def test_any_loss_can_be_left_out_or_the_objective_is_refused(method, batch):
    """What no loss asks for, such as a head of a discriminator, stays as it is."""
    for name in LOSSES:
        given = {name: 0.0} | ({"wrong_name": 0.0} if name == "adversarial" else {})
        try:
            made = training(method, **given)
        except ConfigError as error:
            assert "nothing is learnt" in str(error) or "objective.code_cost" in str(error)
            continue
        terms = made.step(batch, made.schedule(0))
        assert name not in terms and all(torch.isfinite(value) for value in terms.values())
        assert all(parameter.isfinite().all() for module in made.modules.values() for parameter in module.parameters())


# Losses.


def test_a_reversed_gradient_has_the_other_sign():
    x = torch.randn(5, requires_grad=True)
    y = losses.reverse_gradient(x)
    assert torch.equal(x, y)
    (y**2).sum().backward()
    assert torch.equal(x.grad, -2 * x)


def test_classification_is_cross_entropy_at_every_place():
    logits, speakers = torch.randn(4, 3, 7), torch.tensor([2, 0, 1, 1])
    wanted = torch.stack([cross_entropy(logits[n, :, t][None], speakers[n][None]) for n in range(4) for t in range(7)])
    torch.testing.assert_close(losses.classification(logits, speakers), wanted.mean())


def test_terms_are_those_of_the_docstring(batch):
    made = training("unit", {"code": "plain"}, **dict.fromkeys(("code_speaker", "code_consistency"), 1.0))
    x, s, t, net = batch.frames, batch.speakers, batch.targets, made.network
    terms, fake = made.model_losses(batch, made.objective.weights(0))
    code = net.encode(x, s)
    wanted = net.convert_batch(x, s, t)
    again = net.encode(wanted, t)
    torch.testing.assert_close(fake, wanted.detach(), atol=1e-5, rtol=1e-4)
    expected = {
        "adversarial": losses.least_squares(made.discriminator(wanted, s, t).real, real=True),
        "cycle_consistency": l1_loss(net.convert_batch(wanted, t, s), x),
        "identity_mapping": l1_loss(net.convert_batch(x, s, s), x),
        "code_speaker": losses.classification(made.code_classifier(code), s),
        "code_consistency": l1_loss(again, code),
        "code_cost": torch.zeros(()),
        "cycle_code_cost": torch.zeros(()),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["reversed_gradient"])
def test_the_classifier_learns_names_of_real_speech_and_the_model_is_asked_for_the_targets(method, batch):
    made = training(method, adversarial_loss="least_squares", identity_mapping=1.0)
    terms, fake = made.model_losses(batch, {"classification": 1.0})
    named = made.discriminator(fake, batch.speakers, batch.targets).speakers
    torch.testing.assert_close(terms["classification"], losses.classification(named, batch.targets))
    judged, _ = made.discriminator_losses(batch, fake)
    named = made.discriminator(batch.frames, batch.targets, batch.speakers).speakers
    torch.testing.assert_close(judged["classifier"], losses.classification(named, batch.speakers))


# What makes a method what its name says.

TO_THE_END = {  # the losses that docs/methods.md gives each method
    "conditional_gan": {"adversarial"},
    "ac_gan": {"adversarial", "classification", "identity_mapping"},
    "stargan_vc": {"adversarial", "classification", "cycle_consistency", "identity_mapping"},
    "stargan_vc2": {"adversarial", "cycle_consistency"},
    "dr_gan": {"classification", "identity_mapping", "fusion"},
    "reversed_gradient": {"adversarial", "classification", "identity_mapping", "code_speaker"},
    "cogan": {"adversarial", "identity_mapping"},
    "unit": {"adversarial", "cycle_consistency", "identity_mapping", "code_cost", "cycle_code_cost"},
    "combogan": {"adversarial", "cycle_consistency"},
    "xgan": {"adversarial", "identity_mapping", "code_speaker", "code_consistency"},
    "vqvae": {"identity_mapping", "code_speaker", "code_cost"},
}
ADVERSARIAL = {"stargan_vc": "wasserstein_gp", "ac_gan": "original"}  # all others: least squares


@pytest.mark.parametrize("method", MANY)
def test_losses_are_those_of_the_method(method):
    objective, late = METHODS[method].objective(), TO_THE_END[method]
    assert objective.adversarial_loss == ADVERSARIAL.get(method, "least_squares")
    assert objective.wrong_name == (method == "conditional_gan") and objective.classified_fakes == (method == "ac_gan")
    assert objective.weights(10_000).keys() == objective.weights(399_999).keys() == late
    assert objective.weights(9_999).keys() == late | {"identity_mapping"}
    assert set(objective.discriminator_weights) == (
        ({"discriminator"} if "adversarial" in late else set())
        | ({"classifier"} if "classification" in late else set())
    )


def test_every_layer_of_stargan_vcs_decoder_has_the_target(batch):
    made, given = network("stargan_vc"), []
    for layer in made.decoder:
        layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    made.convert_batch(batch.frames, batch.speakers, batch.targets)
    embedding = made.speakers(batch.targets)[..., None]
    assert len(given) == len(made.decoder) == 5
    assert all(torch.equal(x[:, -16:], embedding.expand(-1, -1, x.shape[-1])) for x in given)


def test_what_is_smallest_and_what_is_cheapest(batch):
    def size(method: str) -> int:
        with torch.device("meta"):
            made = build_converter(method, network_config(method, {}), 35, NAMES)
        return sum(parameter.numel() for parameter in made.parameters())

    assert min((name for name in MANY if name not in COMMON), key=size) == "stargan_vc"
    costs = {name: cost(name, batch) for name in COMMON}
    assert min(costs, key=costs.get) == "vqvae" and costs["xgan"] < costs["unit"]


def cost(method: str, batch: MultiSpeakerBatch) -> int:
    """Multiplications of a step's convolutions forwards."""
    made, total = training(method), []
    for module in (each for part in made.modules.values() for each in part.modules()):
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            weights = module.weight.numel() // module.out_channels
            module.register_forward_hook(lambda _, __, output, weights=weights: total.append(output.numel() * weights))
    with torch.no_grad():
        _, fakes = made.model_losses(batch, made.objective.weights(0))
        if made.discriminator is not None:
            made.discriminator_losses(batch, fakes)
    return sum(total)


@pytest.mark.parametrize("method", COMMON)
def test_an_added_speaker_has_parts_of_its_own_and_the_others_stay_as_they_are(method, batch):
    two = build_converter(method, network_config(method, small(method)), 9, NAMES[:2]).eval()
    known = copy.deepcopy(two.state_dict())
    config, three = network_config(method, small(method)), network(method)
    InitialModel(Path(), None, known, adds_speakers=True).initialise(three)
    made = MultiSpeakerTraining(three, config, METHODS[method].objective(), Setup(10))
    before, x = copy.deepcopy(three.state_dict()), torch.randn(1, 9, 32)
    made.step(batch, made.schedule(0))
    for name, value in three.state_dict().items():
        assert value.equal(known.get(name, before[name])) == (name in known), name
    assert torch.equal(three.eval().convert(x, *NAMES[:2]), two.convert(x, *NAMES[:2]))


def test_noise_is_one_vector_for_each_item_and_none_in_conversion():
    code, random = torch.randn(500, 3, 7), torch.Generator().manual_seed(0)
    made = append_noise(code, 20, lambda count: torch.rand(500, count, generator=random))
    noise = made[:, 3:]
    assert torch.equal(made[:, :3], code) and torch.equal(noise, noise[..., :1].expand(-1, -1, 7))
    assert noise.abs().max() <= 1 and abs(noise.mean()) < 0.02 and abs(noise.var() - 1 / 3) < 0.01  # uniform in -1..1
    assert torch.equal(append_noise(code, 20), torch.cat([code, torch.zeros(500, 20, 7)], dim=1))
    assert append_noise(code, 0) is code


@pytest.mark.parametrize("method", ["ac_gan", "dr_gan", "cogan"])
def test_what_is_generated_follows_the_noise_and_what_is_converted_has_none(method, batch):
    made, x, s, t = network(method), batch.frames, batch.speakers, batch.targets
    code = made.encode(x, s)
    one, other = (made.decode(made.apply_bottleneck(code, batch.random_draws)[0], s, t, 32) for _ in "ab")
    assert not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(made.convert_batch(x, s, t), made.convert_batch(x, s, t))


def test_an_auxiliary_classifier_learns_the_speakers_of_fakes_too(batch):
    made = training("ac_gan", {"dropout": 0.0})
    _, fakes = made.model_losses(batch, made.objective.weights(0))
    judged, _ = made.discriminator_losses(batch, fakes)
    of_real, of_fakes = (
        losses.classification(made.discriminator(frames, names, names).speakers, names)
        for frames, names in ((batch.frames, batch.speakers), (fakes, batch.targets))
    )
    torch.testing.assert_close(judged["classifier"], of_real + of_fakes)


def test_stargan_vc_judges_what_stays_and_divides_names_by_speakers(batch):
    made = training("stargan_vc", {"dropout": 0.0}, adversarial_loss="least_squares")
    x, s, t, net = batch.frames, batch.speakers, batch.targets, made.network
    terms, fakes = made.model_losses(batch, made.objective.weights(0))
    converted, same = net.convert_batch(x, s, t), net.convert_batch(x, s, s)
    torch.testing.assert_close(fakes, torch.cat([converted, same]).detach(), atol=1e-5, rtol=1e-4)
    judgements = [made.discriminator(frames, s, names) for frames, names in ((converted, t), (same, s))]
    adversarial = sum(losses.least_squares(each.real, real=True) for each in judgements) / 2
    naming = sum(losses.classification(each.speakers, names) for each, names in zip(judgements, (t, s))) / 2
    torch.testing.assert_close(terms["adversarial"], adversarial)
    torch.testing.assert_close(terms["classification"], naming / 3)
    judged, _ = made.discriminator_losses(batch, fakes)
    on_real = made.discriminator(x, t, s)
    on_fakes = sum(losses.least_squares(each.real, real=False) for each in judgements) / 2
    torch.testing.assert_close(judged["discriminator"], losses.least_squares(on_real.real, real=True) + on_fakes)
    torch.testing.assert_close(judged["classifier"], losses.classification(on_real.speakers, s) / 3)


def uniform(generator: torch.Generator, items: int = 3):
    return lambda count: torch.rand(items, count, generator=generator)


def test_dropout_leaves_a_share_out_keeps_the_mean_and_is_what_was_drawn():
    x = torch.ones(6, 50, 40)
    one, other = (dropout(x, 0.1, uniform(torch.Generator().manual_seed(0))) for _ in "ab")
    assert torch.equal(one, other) and not torch.equal(one[:3], one[3:])
    assert one.unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert abs((one == 0).float().mean() - 0.1) < 0.01 and abs(one.mean() - 1) < 0.01
    assert dropout(x, 0.1, None) is x and dropout(x, 0.0, lambda _: 1 / 0) is x


def test_a_discriminator_drops_out_where_it_is_given_draws(batch):
    judge = network("stargan_vc").discriminator(network_config("stargan_vc", small("stargan_vc")))
    sides = batch.frames, batch.speakers, batch.targets
    assert torch.equal(judge(*sides).real, judge(*sides).real)
    assert not torch.allclose(judge(*sides).real, judge(*sides, batch.random_draws).real)


def test_dr_gans_discriminator_names_fakes_in_a_class_of_their_own(batch):
    made = training("dr_gan")
    terms, fakes = made.model_losses(batch, made.objective.weights(0))
    named = made.discriminator(torch.cat([batch.frames, fakes]), batch.speakers, batch.targets).speakers
    assert named.shape[1] == len(NAMES) + 1
    on_real, on_fakes = named.chunk(2)
    torch.testing.assert_close(terms["classification"], losses.classification(on_fakes, batch.targets))
    judged, _ = made.discriminator_losses(batch, fakes)
    wanted = losses.classification(on_real, batch.speakers)
    wanted = wanted + losses.classification(on_fakes, torch.full_like(batch.targets, len(NAMES)))
    torch.testing.assert_close(judged["classifier"], wanted)
    assert set(judged) == {"classifier"}
    with pytest.raises(ConfigError, match=r"discriminator names fakes instead; objective\.classification fools it"):
        training("dr_gan", adversarial=1.0)


def test_codes_are_fused_by_their_confidences():
    made = network("dr_gan")
    one, two, three = torch.randn(3, 2, 5, 8)
    torch.testing.assert_close(made.fuse([one]), one)
    torch.testing.assert_close(made.fuse([one, two, three]), made.fuse([three, one, two]))
    alike = [torch.cat([each[:, :-1], torch.zeros(2, 1, 8)], dim=1) for each in (one, two)]
    torch.testing.assert_close(made.fuse(alike)[:, :-1], (one[:, :-1] + two[:, :-1]) / 2)
    unsure = torch.cat([two[:, :-1], torch.full((2, 1, 8), -30.0)], dim=1)
    torch.testing.assert_close(made.fuse([one, unsure]), one)
    louder = torch.cat([one[:, :-1], one[:, -1:] + 3], dim=1)  # alone, a confidence changes nothing
    assert torch.equal(made.apply_bottleneck(one)[0], made.apply_bottleneck(louder)[0])


def test_what_is_fused_with_its_conversion_is_decoded_as_itself(batch):
    made = training("dr_gan", {"noise_channels": 0})
    x, s, t, net = batch.frames, batch.speakers, batch.targets, made.network
    terms, _ = made.model_losses(batch, {"fusion": 1.0})
    fused = net.fuse([net.encode(x, s), net.encode(net.convert_batch(x, s, t), t)])
    wanted = l1_loss(net.decode(net.apply_bottleneck(fused)[0], s, s, 32), x)
    torch.testing.assert_close(terms["fusion"], wanted, atol=1e-5, rtol=1e-4)
    terms["fusion"].backward()
    assert net.confidence.weight.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"objective\.fusion: this method's codes have no confidences"):
        training("reversed_gradient", fusion=1.0)


def test_coupled_discriminators_share_all_but_their_first_layers(batch):
    judge = training("cogan").discriminator
    judged = judge(batch.frames, batch.speakers, batch.targets).real
    judged[batch.targets == 1].sum().backward()
    for number, first in enumerate(judge.first.each):
        moved = sum(parameter.grad.abs().sum() for parameter in first.parameters())
        assert (moved > 0) == (number == 1)
    assert all(parameter.grad.abs().sum() > 0 for parameter in judge.shared[-1].parameters())

    def count(method: str, speakers: int, **more) -> int:
        with torch.device("meta"):
            config, names = network_config(method, more), tuple(f"s{n}" for n in range(speakers))
            made = build_converter(method, config, 35, names).discriminator(config)
        return sum(parameter.numel() for parameter in made.parameters())

    first = 9 * 128 + 128 + 64 * 256 * 9 + 256 + 2 * 256
    assert count("cogan", 2) == 5_729_281 + first and count("cogan", 3) - count("cogan", 2) == first
    assert count("cogan", 3, coupled=False) == 3 * 5_729_281
    heads = 512 * 5 * 4 + 4, 512 * 5 * 3 + 3  # N + 1 names; N names beside the patches
    body = 5_729_281 - (512 * 3 + 1)
    assert count("dr_gan", 3) == body + heads[0] and count("reversed_gradient", 3) == 5_729_281 + heads[1]


def test_the_way_round_is_drawn_and_costs_what_its_code_costs(batch):
    made = training("unit")
    x, s, t, net = batch.frames, batch.speakers, batch.targets, made.network
    half = lambda count: torch.full((len(x), count), 0.5)  # noqa: E731  # of the normal distribution: its mean
    still = replace(batch, random_draws=half)
    terms, fake = made.model_losses(still, made.objective.weights(0))
    mean, log_variance = net.encode(fake, t).chunk(2, dim=1)
    torch.testing.assert_close(terms["cycle_code_cost"], losses.kl_divergence(mean, log_variance), atol=1e-4, rtol=1e-3)
    around = l1_loss(net.convert_batch(net.convert_batch(x, s, t), t, s), x)
    torch.testing.assert_close(terms["cycle_consistency"], around, atol=1e-4, rtol=1e-3)
    above = replace(batch, random_draws=lambda count: torch.full((len(x), count), 0.9))
    before = training("unit", cycle_code_cost=0.0)
    changed, meant = (each.model_losses(above, each.objective.weights(0)) for each in (made, before))
    torch.testing.assert_close(changed[1], meant[1])
    assert not torch.isclose(changed[0]["cycle_consistency"], meant[0]["cycle_consistency"])


@pytest.mark.parametrize(
    ("method", "renamed", "newer_settings"),
    [
        ("dr_gan", "reversed_gradient", {"fake_class": False, "fuses": False, "noise_channels": 0}),
        ("stargan_vc", "stargan_vc", {"dropout": 0.1, "noise_channels": 0}),
        ("stargan_vc2", "stargan_vc2", {"pooled": True}),
        ("unit", "unit", {"coupled": False, "noise_channels": 0}),
    ],
)
def test_a_model_from_before_there_were_these_settings_converts_as_it_did(method, renamed, newer_settings, tmp_path):
    made, voice = network(renamed), Speaker([0.0] * 9, [1.0] * 9, 5.0, 0.2, 80.0, 300.0, 1, 100)
    settings = asdict(network_config(renamed, small(renamed)))
    assert {name: settings.pop(name) for name in newer_settings} == newer_settings
    model = Model(method, WorldConfig(16000, order=8), settings, dict.fromkeys(NAMES, voice), 1, "digest")
    model_file.write(tmp_path / "m", model, made.state_dict())
    known, read, _ = model_file.read_network(tmp_path / "m")
    x = torch.randn(1, 9, 32)
    assert known.method == renamed and torch.equal(read.eval().convert(x, "ann", "cyd"), made.convert(x, "ann", "cyd"))


@pytest.mark.parametrize(
    ("method", "earlier"),
    [
        ("dr_gan", {"objective": {"adversarial": 1.0, "fusion": 0.0}, "network": {"fake_class": False}}),
        (
            "stargan_vc",
            {
                "objective": {"same_speaker_fakes": False, "classification_per_speaker": False},
                "network": {"dropout": 0.0},
            },
        ),
        ("stargan_vc2", {"objective": {"cycle_code_cost": 0.0}, "network": {"pooled": False}}),
        ("unit", {"objective": {"cycle_code_cost": 0.0}}),
        ("cyclegan_vc", {"network": {"fully_connected": False}}),
        ("mask_cyclegan_vc", {"network": {"discriminator_kernel": 5}}),
    ],
)
def test_a_run_from_before_there_were_settings_had_none_of_what_they_do(method, earlier):
    experiment = resolve({"method": method}, WorldConfig(16000), NAMES[:2], "")
    known = earlier_settings(experiment)
    assert all(known[part][name] == value for part, values in earlier.items() for name, value in values.items())
    assert known["training"] == plain(experiment.training)


def test_the_listener_follows_its_gradient_and_the_encoder_the_reversed_one(batch):
    made = training("xgan")
    terms, _ = made.model_losses(batch, {"code_speaker": 1.0, "adversarial": 1.0})
    plain = losses.classification(
        made.code_classifier(made.network.encode(batch.frames, batch.speakers)), batch.speakers
    )
    inside = made.network.before[-1].weight
    for parameter, sign in ((inside, -1), (next(made.code_classifier.parameters()), 1)):
        [one] = torch.autograd.grad(terms["code_speaker"], parameter, retain_graph=True)
        [other] = torch.autograd.grad(plain, parameter, retain_graph=True)
        torch.testing.assert_close(one, sign * other)


@pytest.mark.parametrize(("reversed_", "low", "high"), [(True, 1.0, 1.2), (False, 0.0, 0.1)])
def test_a_classifier_of_codes_falls_to_chance_where_the_gradient_is_reversed(reversed_, low, high):
    """Three voices, each with its own mean in three bands; what is said is in the fourth, and must come through.

    Chance is log 3 = 1.10 nats, for a classifier made anew. The code is noisy: what is made small is lost.
    """
    torch.manual_seed(0)
    encoder, decoder, heard = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 1, 1), CodeClassifier(4, 3)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters(), *heard.parameters()], 3e-3, (0.5, 0.99))
    speakers = torch.arange(3).repeat_interleave(8)

    def loss(listener: nn.Module, turned: bool) -> tuple[torch.Tensor, torch.Tensor]:
        said, mean = torch.randn(24, 1, 16), torch.eye(3)[speakers][..., None]
        code = encoder(torch.cat([mean + 0.3 * torch.randn(24, 3, 16), said], dim=1))
        code = code + torch.randn_like(code) / 2
        named = listener(losses.reverse_gradient(code) if turned else code)
        return losses.classification(named, speakers), l1_loss(decoder(code), said)

    for _ in range(400):
        named, kept = loss(heard, reversed_)
        optimiser.zero_grad()
        (named + kept).backward()
        optimiser.step()
    assert kept < 0.3
    probe = CodeClassifier(4, 3)
    learning = torch.optim.Adam(probe.parameters(), 3e-3)
    for _ in range(150):
        named, _ = loss(probe, False)
        learning.zero_grad()
        named.backward(inputs=list(probe.parameters()))
        learning.step()
    assert low < named.item() < high


# Steps and runs.


@pytest.mark.parametrize("method", MANY)
def test_a_step_moves_everybody_once(method, batch):
    made = training(method, adversarial_loss="least_squares")  # a critic's bias cancels
    before = copy.deepcopy({name: module.state_dict() for name, module in made.modules.items()})
    terms = made.step(batch, made.schedule(0))
    assert set(terms) == set(made.objective.weights(0)) | set(made.objective.discriminator_weights)
    assert all(torch.isfinite(value) for value in terms.values())
    for name, module in made.modules.items():
        still = [key for key, value in module.state_dict().items() if value.equal(before[name][key])]
        assert [key for key in still if not key.endswith("book")] == [], name  # entries that nobody chose stay


def test_what_is_not_asked_for_is_neither_built_nor_computed(batch):
    made, calls = training("vqvae", code_speaker=0.0), []
    assert made.modules.keys() == made.optimisers.keys() == {"network"}
    made.network.decoders.register_forward_hook(lambda *_: calls.append(1))
    made.step(batch, made.schedule(0))
    assert len(calls) == 1  # the speakers' own frames; no fakes


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        (
            "unit",
            {"classification": 1.0},
            "objective.classification: this method's discriminator does not classify speakers",
        ),
        (
            "reversed_gradient",
            {"wrong_name": 1.0},
            "objective.wrong_name: this method's discriminator is not conditioned on speakers",
        ),
        ("vqvae", {"code_cost": 0.0}, "network.code: quantised needs objective.code_cost above 0"),
        ("vqvae", {"identity_steps": 5}, "objective.identity_steps: nothing is learnt from step 5 on"),
    ],
)
def test_what_cannot_be_learnt_is_refused_by_name_and_leaves_the_output_free(
    method, given, message, three_dump, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        training(method, **given)
    words = [word for key, value in given.items() for word in ("--set", f"objective.{key}={value}")]
    known = ["--method", method, "--features", three_dump, "--speakers", "slt", "rms", "--output", tmp_path / "exp"]
    assert message in command("train", *known, *words, check=2).stderr.decode()
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"code": "sparse"}, "network.code: unknown 'sparse'; known: plain, variational, quantised"),
        ({"shared_blocks": 4}, r"network.shared_blocks must be in 0..3, half of residual_blocks, got 4"),
        ({"residual_blocks": 1}, "network.residual_blocks must be 2 or more"),
        ({"entries": 0}, "network.entries must be 1 or more, got 0"),
    ],
)
def test_refuses_codes_by_name(given, message):
    with pytest.raises(ConfigError, match=message):
        network_config("unit", given)


def test_parameters_of_common_spaces_by_arithmetic():
    """An encoder and a decoder are the halves of CycleGAN-VC2's generator (14,999,233) and a layer of 1 x 1 each."""

    def count(method: str, speakers: int, **more) -> int:
        with torch.device("meta"):
            names = tuple(f"s{n}" for n in range(speakers))
            made = build_converter(method, network_config(method, more), 35, names)
        return sum(parameter.numel() for parameter in made.parameters())

    write, read = 256 * 32 + 32, 32 * 256 + 256
    block = 256 * 512 * 3 + 512 + 2 * 512 + 256 * 256 * 3 + 256 + 2 * 256
    assert count("combogan", 3) == 3 * (14_999_233 + write + read)
    assert count("combogan", 4) - count("combogan", 3) == 14_999_233 + write + read
    assert count("xgan", 3) == 3 * (14_999_233 - 2 * block) + 2 * block + write + read
    assert count("unit", 3) == count("xgan", 3) + write
    assert count("vqvae", 3, entries=64) == count("xgan", 3) + 64 * 32


def test_parameters_of_stargan_vc():
    def gated(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * 2 * outputs * kernel + 2 * outputs + 4 * outputs  # and an affine normalisation

    with torch.device("meta"):
        made = build_converter("stargan_vc", network_config("stargan_vc", {}), 80, ("a", "b"))
        judge = made.discriminator(network_config("stargan_vc", {}))
    encoder = gated(80, 64, 9) + 2 * gated(64, 64, 8) + gated(64, 64, 5) + gated(64, 16, 5)
    up = 80 * 256 * 5 + 256 + 4 * 64
    decoder = gated(32, 64, 5) + gated(80, 64, 5) + 2 * up + 80 * 80 * 9 + 80
    heads = 32 * 5 + 1 + 2 * 32 * 5 + 2
    body = gated(80, 32, 9) + 2 * gated(32, 32, 8) + gated(32, 32, 5)
    assert sum(p.numel() for p in made.parameters()) == encoder + decoder + 2 * 16
    assert sum(p.numel() for p in judge.parameters()) == body + heads


def test_parameters_of_dr_gan():
    """CycleGAN-VC2's generator with 1 x 1 layers around the code, and target codes in 3 of its 6 blocks."""

    def count(method: str, **more) -> int:
        with torch.device("meta"):
            made = build_converter(method, network_config(method, more), 35, NAMES)
        return sum(parameter.numel() for parameter in made.parameters())

    codes = 3 * (3 * 2 * 512 - 2 * 512)  # three speakers' scales and biases in place of one
    before = 14_999_233 + 256 * 32 + 32 + 32 * 256 + 256 + codes
    assert count("reversed_gradient") == before
    assert count("dr_gan") == before + 50 * 256 + 256 + 1  # noise, and confidences


def plan(method: str, dump: Path) -> Plan:
    features, names = read_features(dump), ("slt", "rms", "kal")
    sections = {"method": method, "network": small(method), "training": {"steps": 6, "segment": 64}}
    return Plan(features, resolve(sections, features.config, names, features.digest))


@pytest.mark.parametrize("method", MANY)
def test_a_run_goes_on_bit_for_bit(method, three_dump, tmp_path):
    asked = plan(method, three_dump)
    straight, parts = (make_engine(asked, CPU, SINGLE_PROCESS) for _ in range(2))
    for number in range(3):
        straight.step(number)
    parts.step(0)
    checkpoint.save(tmp_path, parts, State(step=1), keep=1)
    write_as_format_3(tmp_path / "checkpoint-000000001.safetensors")  # which is read, too
    parts = make_engine(asked, CPU, SINGLE_PROCESS)
    assert checkpoint.resume(tmp_path, parts).step == 1
    for number in range(1, 3):
        parts.step(number)
    for name, module in straight.modules.items():
        for key, value in module.state_dict().items():
            assert value.equal(parts.modules[name].state_dict()[key]), (name, key)


@pytest.fixture(scope="module")
def grown(three_dump, tmp_path_factory) -> Path:
    """unit.yaml, a model `two` of two speakers, and `three`, which has another one."""
    folder = tmp_path_factory.mktemp("grown")
    settings = "\n".join(f"  {key}: {value}" for key, value in small("unit").items())
    (folder / "unit.yaml").write_text(f"method: unit\nnetwork:\n{settings}\ntraining:\n  steps: 4\n  segment: 64\n")
    known = ["--config", folder / "unit.yaml", "--features", three_dump]
    command("train", *known, "--speakers", "slt", "rms", "--output", folder / "two")
    start = ["--add-to", folder / "two"]
    command("train", *known, *start, "--speakers", "slt", "rms", "kal", "--output", folder / "three")
    return folder


def test_a_speaker_is_added_and_the_others_stay_as_they_are(grown):
    two, three = (Converter.load(grown / name) for name in ("two", "three"))
    assert three.speakers == ("slt", "rms", "kal")
    frames = np.random.default_rng(0).standard_normal((40, two.model.features.bands))
    assert np.array_equal(two.convert_frames(frames, "slt", "rms"), three.convert_frames(frames, "slt", "rms"))
    one, other = model_file.read(grown / "two")[1], model_file.read(grown / "three")[1]
    assert all(value.equal(other[name]) for name, value in one.items())
    experiment = resolve({"method": "unit", "network": small("unit")}, two.model.features, three.speakers, "")
    torch.manual_seed(experiment.training.seed)
    drawn = build_converter("unit", experiment.network, two.model.features.bands, three.speakers).state_dict()
    new = [name for name in other if name not in one]
    assert len(new) > 20 and not any(other[name].equal(drawn[name]) for name in new)  # all of it has learnt


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speakers", "slt", "kal"], "first those of"),
        (["--speakers", "slt", "rms"], "first those of"),
        (["--speakers", "slt", "rms", "kal", "--set", "network.code_channels=5"], "settings: network.code_channels"),
        (["--speakers", "slt", "rms", "kal", "--method", "stargan_vc2"], "stargan_vc2 cannot add a speaker; these"),
        (["--speakers", "slt", "rms", "kal", "--method", "combogan"], "of method unit, not combogan"),
    ],
)
def test_refuses_by_name_what_does_not_grow(grown, three_dump, tmp_path, words, message):
    config = grown / "unit.yaml"
    if "stargan_vc2" in words:
        config = tmp_path / "c.yaml"
        config.write_text("training:\n  steps: 4\n")
    known = ["--config", config, "--features", three_dump, "--add-to", grown / "two", "--output", tmp_path / "exp"]
    assert message in command("train", *known, *words, check=2).stderr.decode()


def test_a_model_of_other_names_is_not_grown(grown, three_dump, tmp_path):
    """As of another version: its parts would be drawn anew."""
    tensors, content = read_tensors(grown / "two/model.safetensors")
    other = {name.replace("encoders", "inward"): value for name, value in tensors.items()}
    write_tensors(tmp_path / "other.safetensors", other, content)
    known = ["--config", grown / "unit.yaml", "--features", three_dump, "--speakers", "slt", "rms", "kal"]
    words = ["train", *known, "--add-to", tmp_path / "other.safetensors", "--output", tmp_path / "exp"]
    assert "weights do not fit unit" in command(*words, check=2).stderr.decode() and not (tmp_path / "exp").exists()


def test_a_grown_run_is_not_resumed_from_another_start(grown, three_dump):
    known = ["--config", grown / "unit.yaml", "--features", three_dump, "--speakers", "slt", "rms", "kal"]
    done = command("train", *known, "--output", grown / "three", check=2).stderr.decode()
    assert "started with other settings: the model that it starts from; use" in done
