"""Every method of `vc-train`: its summary, objective and training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import yaml

from vc.config import plain, require_known
from vc.features.kinds import CONTENT_KINDS
from vc.models import network_config
from vc.models.linear import MeanVarianceConfig
from vc.plugins import Registry
from vc.train import unit_selection
from vc.train.alignment import SpeakerFrames
from vc.train.cyclegan import CycleGANObjective, CycleGANTraining, CycleGANVCObjective
from vc.train.engine import Training
from vc.train.held_out import AbstractHeldOut
from vc.train.linear import (
    NearestObjective,
    ParallelObjective,
    WarpObjective,
    fit_factorised,
    fit_nearest,
    fit_parallel,
    fit_warp,
)
from vc.train.multi_speaker import (
    ACGANObjective,
    CoGANObjective,
    ConditionalGANObjective,
    DRGANObjective,
    MultiSpeakerObjective,
    MultiSpeakerTraining,
    ReversedGradientObjective,
    StarGANVCObjective,
    UNITObjective,
    VQVAEObjective,
    XGANObjective,
)
from vc.train.recognition_synthesis import RecognitionSynthesisObjective, RecognitionSynthesisTraining
from vc.train.unit_selection import TargetFrames, UnitSelectionObjective

PAIR, MANY_SPEAKERS, ANY_NUMBER = "a pair", "many speakers", "any number of speakers"
TARGETS = "one target or several"


class ConverterTraining(Training, Protocol):
    """A training of a converter, from features."""

    sampler: ClassVar[type]  # its `from_features` builds a Sampler
    held_out: ClassVar[type[AbstractHeldOut]]


@dataclass(frozen=True)
class Method:
    """How a network of `vc.models.MODELS` is trained: by steps, or fitted directly to all frames of the speakers."""

    serves: str  # number of speakers of one model
    summary: str  # one line
    objective: type
    training: type[ConverterTraining] | None = None
    fit: Callable[..., None] | None = None
    frames: type = SpeakerFrames  # its `read` reads a speaker's frames for `fit`
    kinds: tuple[str, ...] = ("world", "mel")  # of features

    @property
    def any_source(self) -> bool:
        """Whether a model converts any speaker, for which it learns from the targets' recordings alone."""
        return self.serves == TARGETS


def _pair(summary: str, objective: type = CycleGANObjective) -> Method:
    return Method(PAIR, summary, objective, CycleGANTraining)


def _many(objective: type, summary: str) -> Method:
    return Method(MANY_SPEAKERS, summary, objective, MultiSpeakerTraining)


def _fit(summary: str, objective: type, fit: Callable[..., None], serves: str = PAIR, **options: Any) -> Method:
    return Method(serves, summary, objective, fit=fit, **options)


METHODS = Registry(
    {
        "recognition_synthesis": Method(
            TARGETS,
            "any speaker, in a target's voice; minutes (after Sun et al., 2016)",
            RecognitionSynthesisObjective,
            RecognitionSynthesisTraining,
            kinds=CONTENT_KINDS,
        ),
        "unit_selection": _fit(
            "any speaker, by the target's own frames; seconds (Hunt and Black, 1996)",
            UnitSelectionObjective,
            unit_selection.fit,
            serves=TARGETS,
            frames=TargetFrames,
            kinds=CONTENT_KINDS,
        ),
        "nearest": _fit(
            "regression on frames aligned by their nearest neighbours; seconds",
            NearestObjective,
            fit_nearest,
            serves=ANY_NUMBER,
        ),
        "factorised": _fit(
            "regression through a common space, after LinearVC; seconds a speaker",
            NearestObjective,
            fit_factorised,
            serves=ANY_NUMBER,
        ),
        "parallel": _fit(
            "regression on shared sentences; seconds; the supervised anchor",
            ParallelObjective,
            fit_parallel,
            serves=ANY_NUMBER,
        ),
        "warp": _fit(
            "vocal-tract length alone; an anchor", WarpObjective, fit_warp, serves=ANY_NUMBER, kinds=("world",)
        ),
        "mean_variance": _fit("statistics alone; an anchor", MeanVarianceConfig, lambda *_: None, serves=ANY_NUMBER),
        "cyclegan_vc": _pair("CycleGAN with one-dimensional networks (Kaneko and Kameoka, 2018)", CycleGANVCObjective),
        "cyclegan_vc2": _pair("CycleGAN with 2-1-2-D networks and two-step adversarial losses (Kaneko et al., 2019)"),
        "cyclegan_vc3": _pair("CycleGAN-VC2 with time-frequency adaptive normalisation (Kaneko et al., 2020)"),
        "mask_cyclegan_vc": _pair("CycleGAN-VC2 that learns to fill in frames (Kaneko et al., 2021)"),
        "conditional_gan": _many(
            ConditionalGANObjective, "conditioned on the target; rejects real speech with a wrong label"
        ),
        "ac_gan": _many(ACGANObjective, "noise; a classifier that learns from fakes, too (after Odena et al., 2017)"),
        "stargan_vc": _many(
            StarGANVCObjective, "conditioned on the target; an auxiliary classifier (Kameoka et al., 2018)"
        ),
        "stargan_vc2": _many(
            MultiSpeakerObjective, "conditioned on source and target, in normalisations (Kaneko et al., 2019)"
        ),
        "dr_gan": _many(DRGANObjective, "a classifier of N + 1 classes, noise, fused codes (after Tran et al., 2017)"),
        "reversed_gradient": _many(
            ReversedGradientObjective, "a speaker-independent code by gradient reversal, conditioned on the target"
        ),
        "cogan": _many(CoGANObjective, "common space: coupled GANs with encoders, noise (after Liu and Tuzel, 2016)"),
        "unit": _many(UNITObjective, "common space: shared layers, variational code (after Liu et al., 2017)"),
        "combogan": _many(MultiSpeakerObjective, "common space: nothing but its cycles (after Anoosheh et al., 2018)"),
        "xgan": _many(XGANObjective, "common space: a consistent code without speaker (after Royer et al., 2017)"),
        "vqvae": _many(VQVAEObjective, "common space: a codebook, no discriminator (after van den Oord et al., 2017)"),
    },
    "vc.methods",
    Method,
)


def describe(name: str = "") -> str:
    """A method's summary and settings as YAML with their defaults; without a name, a line for each method."""
    if not name:
        width = max(map(len, METHODS))
        return "\n".join(f"{name:{width}}  {method.serves}: {method.summary}" for name, method in METHODS.items())
    require_known("--method", name, METHODS)
    method = METHODS[name]
    settings = {"method": name, "network": plain(network_config(name, {})), "objective": plain(method.objective())}
    training = "fitted at once" if method.fit else "by steps"
    head = f"# {method.summary[:1].upper()}{method.summary[1:]}.\n# One model serves {method.serves}; {training}."
    sections = yaml.safe_dump({key: value for key, value in settings.items() if value}, sort_keys=False)
    return f"{head}\n{sections}".rstrip()
