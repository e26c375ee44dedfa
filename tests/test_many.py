"""Many speakers in one network: who is drawn, what the codes change, the step, and the commands."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import CORPUS, TINY, command
from torch.nn.functional import l1_loss

from vc import losses
from vc.config import read_sections
from vc.convert.converter import Converter
from vc.errors import ConfigError
from vc.features import kinds
from vc.features.store import read_features, write_features
from vc.features.world import WorldConfig
from vc.models import build_converter, network_config
from vc.models.stargan_vc2 import ConditionalDiscriminator, ConditionalNorm, StarGANVC2, StarGANVC2Config
from vc.train.engine import Setup
from vc.train.experiment import resolve
from vc.train.methods import METHODS, describe
from vc.train.multi_speaker import ConditionalGANObjective, MultiSpeakerObjective, MultiSpeakerTraining
from vc.train.sampling import MultiSpeakerBatch, MultiSpeakerSampler, Segments

CPU = torch.device("cpu")
NAMES = ("ann", "bob", "cyd")
CONFIG = StarGANVC2Config(channels=8, residual_blocks=2, residual_channels=16)
CONF = Path(__file__).parents[1] / "recipes/many/conf"


@pytest.fixture
def batch(random) -> MultiSpeakerBatch:
    return sampler(random).draw()


def sampler(random, share: slice = slice(None), batch: int = 2) -> MultiSpeakerSampler:
    """Speaker n's frames are all n."""
    segments = [Segments([np.full((90, 9), n)], 32, CPU, name) for n, name in enumerate(NAMES)]
    return MultiSpeakerSampler(segments, batch=batch, seed=0, share=share)


@pytest.fixture
def training() -> MultiSpeakerTraining:
    torch.manual_seed(0)
    return MultiSpeakerTraining(StarGANVC2(CONFIG, 9, NAMES), CONFIG, MultiSpeakerObjective(), Setup(10))


def test_every_speaker_is_drawn_and_never_his_own_target(random):
    drawn = sampler(random, batch=200).draw()
    assert drawn.frames.shape == (600, 9, 32)
    assert torch.equal(drawn.frames[:, 0, 0].long(), drawn.speakers) and (drawn.speakers.bincount() == 200).all()
    assert (drawn.targets != drawn.speakers).all()
    for number in range(3):
        counts = drawn.targets[drawn.speakers == number].bincount(minlength=3)
        assert counts[number] == 0 and counts.max() < 130  # 100 expected of each, deviation 7


def test_processes_share_what_one_would_draw(random):
    whole, parts = sampler(random).draw(), [sampler(random, slice(n, n + 1)).draw() for n in range(2)]
    order = torch.arange(6).unflatten(0, (3, 2))
    for n, part in enumerate(parts):
        assert torch.equal(part.targets, whole.targets[order[:, n]]) and torch.equal(part.speakers, torch.arange(3))
        assert torch.equal(part.random_draws(2), sampler(random).draw().random_draws(2)[order[:, n]])


@pytest.mark.parametrize("frames", [7, 32, 45])
def test_the_codes_change_the_output_and_the_shape_stays(frames):
    torch.manual_seed(0)
    network = StarGANVC2(CONFIG, 9, NAMES).eval()
    x = torch.randn(1, 9, frames)
    made = {pair: network.convert(x, *pair) for pair in (("ann", "bob"), ("ann", "cyd"), ("cyd", "bob"))}
    assert all(each.shape == x.shape for each in made.values())
    assert not torch.allclose(made["ann", "bob"], made["ann", "cyd"], atol=1e-4)
    assert not torch.allclose(made["ann", "bob"], made["cyd", "bob"], atol=1e-4)
    torch.manual_seed(0)
    deaf = StarGANVC2(replace(CONFIG, told_source=False), 9, NAMES).eval()
    assert torch.equal(deaf.convert(x, "ann", "bob"), deaf.convert(x, "cyd", "bob"))


def test_each_item_of_a_batch_has_its_own_condition():
    torch.manual_seed(0)
    network = StarGANVC2(CONFIG, 9, NAMES).eval()
    x, s, t = torch.randn(3, 9, 32), torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    one_by_one = torch.cat([network.convert_batch(x[n : n + 1], s[n : n + 1], t[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(network.convert_batch(x, s, t), one_by_one, atol=1e-5, rtol=1e-5)


def test_conditional_normalisation_is_instance_normalisation_with_the_codes_scale_and_bias():
    norm, x = ConditionalNorm(4, 3, use_source=True), torch.randn(2, 4, 50)
    s, t = torch.tensor([0, 2]), torch.tensor([1, 0])
    code = norm.code.source.weight[s] + norm.code.target.weight[t]
    standard = (x - x.mean(2, keepdim=True)) / (x.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = standard * (1 + code[:, :4, None]) + code[:, 4:, None]
    torch.testing.assert_close(norm(x, s, t), expected, atol=1e-5, rtol=1e-5)


def test_the_discriminator_projects_what_is_pooled_on_the_code():
    torch.manual_seed(0)
    judge, s, t = ConditionalDiscriminator(CONFIG, 3), torch.tensor([0, 2]), torch.tensor([1, 0])
    for frames in (32, 50):
        x = torch.randn(2, 9, frames)
        pooled = judge.body.features(x).sum((2, 3))
        code = judge.code.source.weight[s] + judge.code.target.weight[t]
        linear = (pooled * judge.body.leave.weight[0, :, 0, 0]).sum(1) + judge.body.leave.bias
        torch.testing.assert_close(judge(x, s, t).real.flatten(), linear + (pooled * code).sum(1))
    with torch.device("meta"):
        judge = ConditionalDiscriminator(StarGANVC2Config(), 3)
    assert sum(p.numel() for p in judge.parameters()) == 5_729_281 - 2 * 512 + 6 * 512  # 1 x 1 for 1 x 3; 6 codes


def test_without_pooling_it_projects_its_last_map_on_the_code():
    torch.manual_seed(0)
    judge, x = ConditionalDiscriminator(replace(CONFIG, pooled=False), 3), torch.randn(2, 9, 32)
    s, t = torch.tensor([0, 2]), torch.tensor([1, 0])
    hidden = judge.body.features(x)
    code = judge.code.source.weight[s] + judge.code.target.weight[t]
    expected = judge.body(x) + (hidden * code[:, :, None, None]).sum(1)
    torch.testing.assert_close(judge(x, s, t).real, expected)


def test_a_step_moves_generator_then_discriminator(training, batch):
    before = [{name: p.clone() for name, p in each.named_parameters()} for each in training.modules.values()]
    terms = training.step(batch, training.schedule(0))
    assert set(terms) == {"adversarial", "cycle_consistency", "identity_mapping", "discriminator"}
    for old, module in zip(before, training.modules.values()):
        assert any(not torch.equal(old[name], p) for name, p in module.named_parameters())
    assert all(torch.isfinite(value) for value in terms.values())


def test_losses_are_those_of_the_docstring(training, batch):
    x, s, t = batch.frames, batch.speakers, batch.targets
    weights = training.schedule(0)
    terms, fake = training.model_losses(batch, weights)
    change, judge = training.network.convert_batch, training.discriminator
    expected = change(x, s, t)
    torch.testing.assert_close(fake, expected.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(terms["adversarial"], losses.least_squares(judge(expected, s, t).real, real=True))
    torch.testing.assert_close(terms["cycle_consistency"], l1_loss(change(expected, t, s), x))
    torch.testing.assert_close(terms["identity_mapping"], l1_loss(change(x, s, s), x))
    judged, _ = training.discriminator_losses(batch, fake)
    on_real, on_fake = judge(x, t, s).real, judge(fake, s, t).real
    loss = losses.least_squares(on_real, real=True) + losses.least_squares(on_fake, real=False)
    torch.testing.assert_close(judged["discriminator"], loss)


@pytest.mark.parametrize("adversarial_loss", losses.ADVERSARIAL)
def test_a_conditional_gan_has_no_cycle_and_refuses_wrong_names(batch, adversarial_loss):
    training = conditional_gan(adversarial_loss)
    terms = training.step(batch, training.schedule(0))
    assert set(terms) == {"adversarial", "identity_mapping", "discriminator"}
    x, s, t, fake = batch.frames, batch.speakers, batch.targets, torch.zeros_like(batch.frames)
    loss, judge = losses.ADVERSARIAL[adversarial_loss].discriminator_loss, training.discriminator
    refusals = [loss(judge(frames, s, t).real, real=False) for frames in (fake, x)]
    expected = loss(judge(x, t, s).real, real=True) + sum(refusals) / 2
    training.adversarial = replace(training.adversarial, penalty=0.0)
    judged, _ = training.discriminator_losses(batch, fake)
    torch.testing.assert_close(judged["discriminator"], expected)


def conditional_gan(adversarial_loss: str) -> MultiSpeakerTraining:
    torch.manual_seed(0)
    objective = ConditionalGANObjective(adversarial_loss=adversarial_loss)
    config = network_config("conditional_gan", {"channels": 8, "residual_blocks": 1, "residual_channels": 8})
    return MultiSpeakerTraining(build_converter("conditional_gan", config, 9, NAMES), config, objective, Setup(10))


def test_a_critic_gains_nothing_by_judging_everything_higher(batch):
    """What it refuses counts as much as what it does not: a bias cancels, and cannot run away."""
    training, fake = conditional_gan("wasserstein_gp"), torch.zeros_like(batch.frames)
    batch = replace(batch, random_draws=lambda count: torch.full((len(batch.frames), count), 0.5))
    before = training.discriminator_losses(batch, fake)[0]["discriminator"]
    with torch.no_grad():
        training.discriminator.body.leave.bias += 5
    torch.testing.assert_close(
        training.discriminator_losses(batch, fake)[0]["discriminator"], before, atol=1e-4, rtol=0
    )


def test_the_penalty_lies_between_the_targets_own_speech_and_the_fake(training, batch, monkeypatch):
    seen = []
    monkeypatch.setattr(losses, "gradient_penalty", lambda critic, real, *_, **__: seen.append(real) or torch.zeros(()))
    training.adversarial = losses.ADVERSARIAL["wasserstein_gp"]
    training.discriminator_losses(batch, torch.zeros_like(batch.frames))
    assert torch.equal(seen[0][:, 0, 0].long(), batch.targets)  # speaker n's frames are all n


def test_an_optimiser_changes_its_own_network_alone(training, batch):
    def state(module):
        return [p.detach().clone() for p in module.parameters()]

    network, judge = state(training.network), state(training.discriminator)
    weights = training.schedule(0)
    _, fake = training.optimisers["network"].step(lambda: training.model_losses(batch, weights), weights)
    assert all(map(torch.equal, judge, training.discriminator.parameters()))
    assert not all(map(torch.equal, network, training.network.parameters()))
    network = state(training.network)
    training.optimisers["discriminators"].step(
        lambda: training.discriminator_losses(batch, fake), {"discriminator": 1.0}
    )
    assert all(map(torch.equal, network, training.network.parameters()))
    assert not all(map(torch.equal, judge, training.discriminator.parameters()))


@pytest.mark.parametrize(
    "given",
    [
        {"code_cost": -1.0},
        {"wrong_name": -1.0},
        {"generator_rate": 0.0},
        {"wrong_name": 1.0, "adversarial": 0.0},
    ],
)
def test_refuses_objectives_by_name(given):
    with pytest.raises(ConfigError, match=rf"objective\.{next(iter(given))}"):
        MultiSpeakerObjective(**given)


def test_refuses_to_learn_nothing():
    with pytest.raises(ConfigError, match="nothing is learnt"):
        MultiSpeakerObjective(adversarial=0, cycle_consistency=0, identity_mapping=0, classification=1)


def words(dump: Path, output: Path, method: str, *more: object) -> list:
    (output.parent / "many.yaml").write_text(TINY.read_text().replace("cyclegan_vc2", method))
    known = ["--features", dump, "--speakers", "slt", "rms", "kal", "--output", output]
    return ["train", "--config", output.parent / "many.yaml", *known, *more]


def test_three_speakers_train_resume_and_convert(three_dump, tmp_path):
    command(*words(three_dump, tmp_path / "straight", "stargan_vc2"))
    command(*words(three_dump, tmp_path / "parts", "stargan_vc2", "--set", "training.steps=10"))
    command(*words(three_dump, tmp_path / "parts", "stargan_vc2"))
    models = [
        (tmp_path / name / "checkpoints/checkpoint-000000020.safetensors").read_bytes()
        for name in ("straight", "parts")
    ]
    assert models[0] == models[1]
    assert Converter.load(tmp_path / "straight").speakers == ("slt", "rms", "kal")
    speech = sorted((CORPUS / "eval/slt").iterdir())[0]
    convert = ["convert", "--model", tmp_path / "straight", speech, "--output", tmp_path / "out.wav"]
    command(*convert, "--from", "slt", "--to", "kal")
    assert (tmp_path / "out.wav").stat().st_size > 1000
    done = command(*convert, "--to", "kal", check=2).stderr.decode()
    assert "the model has several speakers: name the source (--from); there are: slt, rms, kal" in done
    done = command(*convert, "--to", "kal", "--from", "zoe", check=2).stderr.decode()
    assert "the model has no speaker 'zoe'; there are: slt, rms, kal" in done


def test_held_out_sets_score_every_direction(three_dump, mini, tmp_path):
    features = read_features(three_dump)
    rows = [
        (f"{who}-held{n}", who, {"frames": each, "f0": np.full(len(each), 100.0)})
        for who in features.speakers
        for n, each in enumerate(features.frames(who)[:2])
    ]
    (tmp_path / "dev").mkdir()
    write_features(tmp_path / "dev", features.config, "dev", features.speakers, rows)
    done = command(*words(three_dump, tmp_path / "exp", "stargan_vc2", "--held-out", tmp_path / "dev"))
    assert b"2 sentences of all speakers" in done.stderr and b"step 20: held-out score" in done.stderr


def test_mean_variance_serves_any_number(three_dump, tmp_path):
    (tmp_path / "mv.yaml").write_text("method: mean_variance\n")
    known = ["--features", three_dump, "--speakers", "slt", "rms", "kal", "--output", tmp_path / "exp"]
    command("train", "--config", tmp_path / "mv.yaml", *known)
    made = Converter.load(tmp_path / "exp")
    assert made.direction("kal", "rms") == ("rms", "kal")


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (["--speakers", "slt"], "needs two speakers or more"),
        (["--speakers", "slt", "rms", "slt"], "two speakers are 'slt'"),
        (["--speakers", "slt", "rms", "zoe"], "no speaker 'zoe'"),
        (["--source", "slt"], "give --source and --target, --target alone"),
        (["--source", "slt", "--target", "rms", "--speakers", "slt", "rms"], "give --source and --target, "),
    ],
)
def test_refuses_speakers_by_name(three_dump, tmp_path, speakers, message):
    known = ["--config", CONF / "stargan_vc2_narrow.yaml", "--features", three_dump, "--output", tmp_path / "exp"]
    assert message in command("train", *known, *speakers, check=2).stderr.decode()


def test_what_is_refused_leaves_the_output_free(three_dump, tmp_path):
    done = command(*words(three_dump, tmp_path / "exp", "cyclegan_vc2"), check=2)
    assert b"a CycleGAN converts between two speakers, got 3: slt, rms, kal" in done.stderr
    assert not (tmp_path / "exp").exists()
    command(*words(three_dump, tmp_path / "exp", "stargan_vc2", "--set", "training.steps=2"))


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_resolves(path):
    experiment = resolve(read_sections(path), WorldConfig(16000), NAMES, "digest")
    assert METHODS[experiment.method].training is MultiSpeakerTraining


def test_methods_are_listed_and_described_so_that_they_can_be_trained():
    listed = command("train", "--method").stdout.decode().splitlines()
    assert [line.split()[0] for line in listed] == list(METHODS) and all(len(line) < 120 for line in listed)
    for name, method in METHODS.items():
        text = command("train", "--method", name).stdout.decode() if name == "unit" else describe(name)
        sections = yaml.safe_load(text)
        assert text.startswith(f"# {method.summary[0].upper()}{method.summary[1:]}") and method.serves in text
        features = kinds.build_features({"kind": method.kinds[0]})
        assert resolve(sections, features, NAMES[:2], "") == resolve({"method": name}, features, NAMES[:2], "")
    assert command("train", "--method=unit").stdout == command("train", "--method", "unit").stdout
    done = command("train", "--method", "unti", check=2).stderr.decode()
    assert "unknown 'unti'; known: recognition_synthesis, unit_selection, nearest," in done
    assert done.endswith("; did you mean unit?\n")


def test_a_method_replaces_the_configurations(three_dump, tmp_path):
    known = ["--features", three_dump, "--speakers", "slt", "rms", "--output", tmp_path / "exp"]
    assert "give --config or --method" in command("train", *known, check=2).stderr.decode()
    said = command("train", *known, "--method", "recognition_synthesis", check=2).stderr.decode()
    assert "give --config recognition_synthesis" in said and not (tmp_path / "exp").exists()
    command("train", *known, "--method", "mean_variance")
    assert Converter.load(tmp_path / "exp").model.method == "mean_variance"
