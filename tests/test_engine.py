"""How steps are computed: refused ones, averages, precision, several processes; none may change what is learnt."""

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import command, commands, equal, random_features, trained, training, vowel, write_untrained
from torch import distributed, nn

from vc import devices, model_file
from vc.convert.converter import Converter
from vc.corpus import audio
from vc.corpus.data_directory import Utterance
from vc.encoders.features import complete
from vc.errors import ConfigError, TrainingError
from vc.features.content import ContentConfig, ContentFeatures, ContentStatistics
from vc.features.speakers import Speaker
from vc.features.store import write_features
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config
from vc.models.recognition_synthesis import RecognitionSynthesis, RecognitionSynthesisConfig
from vc.tensor_file import read_tensors
from vc.train import vocoder
from vc.train.content_sampling import ContentBatch
from vc.train.converter import make_engine
from vc.train.cyclegan import LOSSES as PAIR_LOSSES
from vc.train.cyclegan import ROUND_TRIP, CycleGANObjective, CycleGANTraining
from vc.train.engine import WARM_UP, Engine, RefusedSteps, Setup
from vc.train.estimate import mean_step_seconds
from vc.train.methods import METHODS
from vc.train.multi_speaker import LOSSES
from vc.train.optimise import Optimiser, WeightAverage
from vc.train.plan import Plan, Request
from vc.train.processes import SINGLE_PROCESS, Processes, join_processes
from vc.train.recognition_synthesis import (
    CONVERSIONS,
    RecognitionSynthesisObjective,
    RecognitionSynthesisTraining,
)
from vc.train.sampling import Batch, PairSampler, Segments
from vc.vocoders.vocoder_file import GENERATORS

CPU = torch.device("cpu")
CONFIG = CycleGANVC2Config(channels=8, residual_blocks=1, residual_channels=16)


def step_of(precision: str = "float32") -> CycleGANTraining:
    torch.manual_seed(0)
    return CycleGANTraining(CycleGANVC2(CONFIG, 25, ("a", "b")), CONFIG, CycleGANObjective(), Setup(100, precision))


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    return Batch(*(torch.randn(2, 25, 64, generator=generator) for _ in range(2)))


def snapshot(optimiser: Optimiser) -> list[torch.Tensor]:
    moments = [value for state in optimiser.adam.state.values() for value in state.values()]
    return [tensor.detach().clone() for tensor in (*optimiser.parameters, *moments)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken(bad):
    network = nn.Linear(3, 1)
    optimiser = Optimiser(network, betas=(0.5, 0.999))
    optimiser.set_rate(0.1)

    def step(x: torch.Tensor) -> None:
        optimiser.step(lambda: ({"square": (network(x) ** 2).mean()}, None), {"square": 1.0})

    step(torch.ones(2, 3))
    before = snapshot(optimiser)
    step(torch.tensor([[1.0, bad, 1.0]]))
    assert optimiser.adam.found_inf == 1 and all(map(torch.equal, before, snapshot(optimiser)))
    step(torch.ones(2, 3))
    assert optimiser.adam.found_inf == 0 and not any(map(torch.equal, before, snapshot(optimiser)))


def test_a_finite_loss_with_a_gradient_that_is_not_finite_is_refused():
    network = nn.Linear(1, 1, bias=False)
    optimiser = Optimiser(network, betas=(0.5, 0.999))

    def root() -> tuple[dict[str, torch.Tensor], None]:  # its slope at 0 is infinite
        return {"root": network(torch.zeros(1, 1)).abs().sqrt().sum()}, None

    terms, _ = optimiser.step(root, {"root": 1.0})
    assert torch.isfinite(terms["root"]) and optimiser.adam.found_inf == 1


def test_refused_steps_are_counted_and_a_row_goes_on_across_readings():
    refused, yes, no = RefusedSteps(CPU), torch.ones(()), torch.zeros(())
    for flags in ([no, no], [yes, no], [no, yes], [no, no], [yes, yes]):
        refused.count(flags)
    assert refused.read() == (3, 2)
    refused.count([yes, no])
    assert refused.read() == (1, 2)
    refused.count([no, no])
    assert refused.read() == (0, 2) and refused.read() == (0, 0)


def test_a_run_that_goes_back_before_the_adversarial_losses_forgets_what_their_optimiser_refused():
    config = RecognitionSynthesisConfig(channels=8, content_channels=8, discriminator_channels=2, dilations=[1])
    network = RecognitionSynthesis(config, 20, 6, ("a",))
    objective = RecognitionSynthesisObjective()
    learning = RecognitionSynthesisTraining(network, config, objective, Setup(steps=400))

    class Zeros:
        generator, log_mel = torch.Generator(), torch.zeros(2, 20, 32)

        def draw(self) -> ContentBatch:
            return ContentBatch(
                torch.zeros(2, 6, 32), torch.zeros(2, 23, 32), self.log_mel, torch.zeros(2, dtype=torch.long)
            )

    sampler = Zeros()
    engine, late = Engine(learning, sampler), learning.adversarial_from
    sampler.log_mel = torch.full((2, 20, 32), torch.nan)
    engine.step(late)
    assert engine.refused.read() == (1, 1)
    sampler.log_mel = torch.zeros(2, 20, 32)
    engine.reset()
    engine.step(late - 1)
    assert engine.refused.read() == (0, 0)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError("Unable to allocate 9 TiB"),
    ],
)
def test_a_step_without_enough_memory_says_what_needs_less(error):
    class Full:
        generator = torch.Generator()

        def draw(self) -> None:
            raise error

    with pytest.raises(TrainingError, match=r"not enough memory for a step: .*; a smaller training\.batch"):
        Engine(step_of(), Full()).step(0)


def test_an_average_follows_the_weights():
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0.9)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight += 1
    average.update()
    torch.testing.assert_close(average.network.weight, before + 0.1)
    average.update()
    torch.testing.assert_close(average.network.weight, before + 0.19)


def test_an_average_does_not_change_what_is_learnt_and_is_the_model(mini, model, tmp_path):
    averaged = trained(mini, tmp_path, "--set", "training.average=0.9")
    assert equal(checkpoint_tensors(averaged, "module.network."), checkpoint_tensors(model, "module.network."))
    assert equal(weights(averaged), checkpoint_tensors(averaged, "module.average."))
    assert not equal(weights(averaged), weights(model))


def checkpoint_tensors(output: Path, prefix: str) -> dict:
    tensors, _ = read_tensors(max((output / "checkpoints").iterdir()))
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def weights(output: Path) -> dict:
    return model_file.read(output)[1]


def read_log(output: Path) -> dict[str, float]:
    """Losses of the last report and scores of the last scoring."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    losses = [line["losses"] for line in lines if "losses" in line][-1]
    return losses | [line["held_out"] for line in lines if "held_out" in line][-1]


def converts_alike(one: Path, other: Path) -> bool:
    """Whether two models' conversions differ by 1e-3 at most. Their weights may differ by more: the biases before a
    normalisation have no gradient but rounding, which Adam magnifies, and no effect."""
    frames = 20 * np.random.default_rng(0).standard_normal((64, 25))
    made = [Converter.load(path).convert_frames(frames, "slt", "rms") for path in (one, other)]
    return np.linalg.norm(made[0] - made[1]) < 1e-3 * np.linalg.norm(made[0])


def gradients(training: CycleGANTraining) -> torch.Tensor:
    """Of one step, all in one row."""
    training.step(batch(), training.schedule(0))
    return torch.cat([p.grad.flatten() for module in training.modules.values() for p in module.parameters()])


@pytest.mark.skipif(not devices.computes_bf16(CPU), reason="this processor has no bf16 instructions")
def test_bf16_is_near_float32_and_its_losses_are_float32():
    exact, near = gradients(step_of()), gradients(step_of("bf16"))
    assert 0 < torch.linalg.norm(near - exact) / torch.linalg.norm(exact) < 0.15
    losses = step_of("bf16").step(batch(), CycleGANObjective().weights(0))
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_bf16_is_refused_where_it_would_crawl(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(ConfigError, match="precision bf16: cpu has no instructions for it; use float32"):
        devices.set_precision("bf16", CPU)
    devices.set_precision("tf32", CPU)


def test_float32_forbids_tf32():
    for precision, allowed in (("float32", False), ("tf32", True)):
        devices.set_precision(precision, CPU)
        assert torch.backends.cudnn.allow_tf32 is allowed and torch.backends.cuda.matmul.allow_tf32 is allowed


def test_settings_of_a_gpu_change_nothing_on_a_cpu(mini, model, tmp_path):
    changes = ("--set", "compute.record=true", "--set", "compute.precision=float32")
    assert equal(weights(trained(mini, tmp_path, *changes)), weights(model))


def test_the_layout_of_weights_does_not_change_what_is_learnt(mini, model, tmp_path):
    assert converts_alike(trained(mini, tmp_path, "--set", "compute.channels_last=true"), model)


@pytest.mark.slow
def test_compiled_networks_learn_the_same(mini, model, tmp_path):
    assert converts_alike(trained(mini, tmp_path, "--set", "compute.compile=true"), model)


@pytest.mark.parametrize("prepared", [False, True])
def test_an_estimate_is_of_all_phases_and_of_no_preparation(prepared, monkeypatch):
    """With `prepared`, the first steps of each phase, which are recorded or compiled, take a hundred seconds."""

    class Schedule:
        training = property(lambda self: self)

        def schedule(self, number: int, scale: float) -> dict[str, float]:
            return {"identity_mapping": 5.0, "cycle": 10.0} if number < 30 else {"cycle": 10.0}

    phases = []  # of the steps so far

    def seconds(engine: Schedule, number: int) -> float:
        phases.append(engine.schedule(number, 1.0))
        in_a_row = len([*takewhile(phases[-1].__eq__, reversed(phases))])
        return 100.0 if prepared and in_a_row <= WARM_UP + 1 else float(len(phases[-1]))

    monkeypatch.setattr("vc.train.estimate._step_seconds", seconds)
    assert mean_step_seconds(Schedule(), 100, prepared=prepared) == pytest.approx(0.3 * 2 + 0.7 * 1)


# Several processes


SMALL = {"channels": 4, "residual_blocks": 2, "residual_channels": 2}
DECODER = {"channels": 8, "content_channels": 8, "kernel": 3, "dilations": [1], "discriminator_channels": 4}
ALL = {"adversarial_from": 0.0, "warm_up": 0}
CASES = {  # of what two processes must compute as one does: method, sizes of its networks, its objective
    "cyclegan_vc": ("cyclegan_vc", SMALL, {}),
    "cyclegan_vc2": ("cyclegan_vc2", SMALL, {}),
    "cyclegan_vc3": ("cyclegan_vc3", {**SMALL, "adaptive_channels": 4}, {}),
    "mask_cyclegan_vc": ("mask_cyclegan_vc", SMALL, {}),
    **{name: ("cyclegan_vc2", SMALL, {"adversarial_loss": name}) for name in ("original", "hinge", "wasserstein_gp")},
    "one way alone": ("cyclegan_vc2", SMALL, {**dict.fromkeys(ROUND_TRIP, 0.0), "backward_adversarial": 0.0}),
    "no discriminator": ("cyclegan_vc2", SMALL, {"adversarial": 0.0, "second_adversarial": 0.0}),
    "identity mapping for a step": ("cyclegan_vc2", SMALL, {"identity_steps": 1}),
    "content": ("cyclegan_vc2", SMALL, {"content": 1.0, "encoder": "coded.safetensors"}),
    "conditional_gan": ("conditional_gan", SMALL, {}),
    "stargan_vc": ("stargan_vc", {"channels": 4, "judge_channels": 4}, {}),
    "a head that names nobody": ("stargan_vc", {"channels": 4, "judge_channels": 4}, {"classification": 0.0}),
    "a head that judges nothing": ("stargan_vc", {"channels": 4, "judge_channels": 4}, {"adversarial": 0.0}),
    "stargan_vc2": ("stargan_vc2", SMALL, {"code_speaker": 1.0, "code_consistency": 1.0, "wrong_name": 1.0}),
    "dr_gan": ("dr_gan", SMALL, {}),
    "reversed_gradient": ("reversed_gradient", SMALL, {}),
    "two heads of which one is asked": ("reversed_gradient", SMALL, {"classification": 0.0}),
    "ac_gan": ("ac_gan", {"channels": 4, "judge_channels": 4}, {}),
    "cogan": ("cogan", SMALL, {}),
    "unit": ("unit", SMALL, {}),
    "combogan": ("combogan", SMALL, {}),
    "xgan": ("xgan", SMALL, {}),
    "vqvae": ("vqvae", SMALL, {}),
    "recognition_synthesis": ("recognition_synthesis", DECODER, ALL),
    "spectrum alone": ("recognition_synthesis", DECODER, {"adversarial": 0.0, "feature_matching": 0.0}),
    **{name: ("recognition_synthesis", DECODER, {**ALL, name: 1.0}) for name in CONVERSIONS},
    "all losses on conversions": ("recognition_synthesis", DECODER, {**ALL, **dict.fromkeys(CONVERSIONS, 1.0)}),
    "hifigan": ("hifigan", {"channels": 16, "kernels": [3], "dilations": [[1]]}, {"discriminator_width": 0.125}),
    "istft": ("istft", {"channels": 8, "blocks": 1}, {"spectrum": 1.0, "discriminator_width": 0.125}),
}
QUICK = ("mask_cyclegan_vc", "content", "a head that names nobody", "a head that judges nothing", "vqvae")
QUICK += ("all losses on conversions", "istft")


def places(folder: Path, encoder: Path) -> Path:
    """A folder with features of both kinds, a model that has a code, and a recording."""
    world, mel = random_features(folder / "world"), ContentFeatures(content=ContentConfig(str(encoder)))
    write_untrained(folder / "coded.safetensors", world, ("ann", "bob"), "vqvae", SMALL)
    config, random = complete(mel), np.random.default_rng(0)
    dims, bands = config.content.dims, config.bands
    said = ContentStatistics([0.0] * dims, 1.0, 0.0, 1.0)
    speaker = Speaker([-5.0] * bands, [1.0] * bands, 5.0, 0.2, 80.0, 300.0, 2, 200, content=said)
    speakers = {"ann": speaker, "bob": replace(speaker, log_f0_mean=5.3)}
    rows = [
        (
            f"{name}-{number}",
            name,
            {
                "frames": random.standard_normal((100, bands)) - 5,
                "f0": 100 + random.random(100),
                "content": random.standard_normal((58, dims)),
            },
        )
        for name in speakers
        for number in (1, 2)
    ]
    (folder / "content").mkdir()
    write_features(folder / "content", config, "digest", speakers, rows)
    audio.write(folder / "a.wav", vowel(1.0, 22050), 22050)
    return folder


def engine_of(case: str, folder: Path, processes: Processes) -> Engine:
    method, network, objective = CASES[case]
    sections = {"method": method, "network": network, "objective": dict(objective)}
    sections["training"] = {"steps": 3, "batch": 4, "segment": 32}
    if "encoder" in objective:
        sections["objective"]["encoder"] = str(folder / objective["encoder"])
    if method in GENERATORS:
        recording = [Utterance("a-1", "a", folder / "a.wav")]
        return vocoder.make_engine(vocoder.resolve(sections, ""), recording, None, device=CPU, processes=processes)
    dump = folder / ("content" if method == "recognition_synthesis" else "world")
    return make_engine(
        Plan.from_request(Request(dump, ("ann", "bob"), output=folder, sections=sections)), CPU, processes
    )


def all_losses(case: str, folder: Path, processes: Processes) -> list[dict[str, float]]:
    """Of two steps, which are not the same: weights have moved in between."""
    made = engine_of(case, folder, processes)
    return [processes.means({name: float(loss) for name, loss in made.step(n).items()}) for n in range(2)]


def one_of_two(rank: int, folder: Path, cases: Sequence[str], meeting: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    found = {case: all_losses(case, folder, Processes(rank, 2, connected=True)) for case in cases}
    distributed.destroy_process_group()
    Path(f"{meeting}-{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def learnt_from(encoder, tmp_path_factory) -> Path:
    return places(tmp_path_factory.mktemp("two"), encoder)


@pytest.mark.parametrize("cases", [QUICK, pytest.param(sorted(CASES.keys() - set(QUICK)), marks=pytest.mark.slow)])
def test_two_processes_have_the_loss_terms_of_one(cases, learnt_from, tmp_path):
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["torch._dynamo", "vc.train.converter", "vc.train.vocoder"])  # once for both
    both = [forks.Process(target=one_of_two, args=(rank, learnt_from, cases, tmp_path / "m")) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(240)
    assert [process.exitcode for process in both] == [0, 0]
    one, other = (json.loads((tmp_path / f"m-{rank}.json").read_text()) for rank in range(2))
    assert one == other
    for case in cases:
        for alone, together in zip(all_losses(case, learnt_from, SINGLE_PROCESS), one[case], strict=True):
            expected = {name: pytest.approx(value, rel=2e-3, abs=1e-5) for name, value in alone.items()}
            assert together == expected, case


@pytest.mark.slow
def test_every_method_and_every_loss_is_among_them(learnt_from):
    methods = {name for name, method in METHODS.items() if method.training}
    assert {method for method, _, _ in CASES.values()} == {*GENERATORS, *methods}
    of_vocoders = {"mel", "spectrum", "adversarial", "feature_matching", "discriminator"}
    known = {*PAIR_LOSSES, *LOSSES, *CONVERSIONS, *of_vocoders, "second_discriminator", "classifier"}
    assert {name for case in CASES for step in all_losses(case, learnt_from, SINGLE_PROCESS) for name in step} == known


def together(mini: Path, output: Path, *more: object) -> list[str]:
    """The command that trains in two processes."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc_per_node=2", "--no-python"]
    line = [str(word) for word in training(mini, output, *more)]
    return [*torchrun, str(commands() / "vc-train"), *line[1:]]


def test_two_processes_learn_what_one_learns(mini, held_out_dump, tmp_path):
    changes = ("--set", "training.batch=4", "--set", "training.average=0.5", "--held-out", held_out_dump)
    changes += ("--set", "training.steps=10")
    alone = trained(mini, tmp_path / "alone", *changes)
    done = subprocess.run(together(mini, tmp_path / "both", *changes), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert converts_alike(tmp_path / "both", alone)
    [one, other] = [read_log(output) for output in (tmp_path / "both", alone)]
    assert one.keys() == other.keys() and all(one[name] == pytest.approx(other[name], rel=1e-3) for name in one)
    assert done.stderr.count("finished at step 10") == 1 and done.stdout.count("next: vc-convert") == 1


def test_processes_stop_together_and_go_on_alone_or_together(mini, tmp_path):
    changes = ("--set", "training.batch=2", "--set", "training.log_every=1")
    endless = ("--set", "training.steps=99999")
    log, end = tmp_path / "log.jsonl", time.monotonic() + 200
    with subprocess.Popen(together(mini, tmp_path, *changes, *endless), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and time.monotonic() < end and not (log.is_file() and log.stat().st_size):
            time.sleep(0.1)
        process.terminate()  # torchrun passes it on
        _, errors = process.communicate()
    assert process.returncode != 0 and errors.count("stopped by SIGTERM after step") >= 1
    step = int(max((tmp_path / "checkpoints").iterdir()).stem.split("-")[1])
    done = command(*training(mini, tmp_path, *changes, "--set", f"training.steps={step + 2}"))
    assert f"step {step} of {step + 2}" in done.stderr.decode()


def test_what_the_first_process_refuses_is_a_line_for_each(mini, tmp_path):
    (tmp_path / "config.yaml").write_text("method: linear\n")
    done = subprocess.run(together(mini, tmp_path, "--set", "training.batch=2"), capture_output=True, text=True)
    assert done.returncode != 0 and "the training data has changed" in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(("vc-train: error: ", "[rank"))]
    assert lines and all(line.startswith("vc-train: error: ") for line in lines), done.stderr


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch):
    for name, value in {"RANK": "2", "LOCAL_RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match="device cuda:2: there are 2 CUDA devices here"):
        join_processes("auto").__enter__()


def test_streams_and_recorded_steps_are_on_the_gpu_that_was_named(monkeypatch):
    present = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", present.append)
    for name, expected in {"cuda:1": [torch.device("cuda", 1)], "cuda": [], "cpu": []}.items():
        present.clear()
        with join_processes(name) as (_, device):
            assert device == torch.device(name) and present == expected


def test_a_batch_that_cannot_be_shared_is_refused(mini, tmp_path):
    assert Processes(1, 2).share(6) == slice(3, 6)
    with pytest.raises(ConfigError, match=r"training\.batch is 3: 2 processes cannot share it"):
        Processes(0, 2).share(3)


def test_processes_together_see_the_batch_that_one_sees():
    frames = torch.arange(300 * 2).reshape(300, 2).numpy()

    def draw(share: slice) -> Batch:
        return PairSampler([Segments([frames], 32, CPU, who) for who in "ab"], batch=6, seed=0, share=share).draw()

    whole, parts = draw(slice(None)), [draw(Processes(rank, 3).share(6)) for rank in range(3)]
    assert torch.equal(torch.cat([part.source for part in parts]), whole.source)
    assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
