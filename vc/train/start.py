"""Finished models that a run takes up: to go on from their weights, or to give them more speakers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from vc.config import flatten, plain, require
from vc.features.store import Features
from vc.model_file import Model, read_network
from vc.models import MODELS
from vc.tensor_file import tensors_digest
from vc.train.experiment import Experiment


@dataclass(frozen=True)
class Start:
    """A finished model from whose weights a run of other speakers begins."""

    option: ClassVar[str] = "objective.start"  # that names it
    way_out: ClassVar[str] = "; --config recognition_synthesis_anew begins anew"
    path: Path
    model: Model
    weights: Mapping[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> "Start":
        model, network, _ = read_network(path)
        return cls(path, model, network.state_dict())

    @property
    def digest(self) -> str:
        return tensors_digest(self.weights)

    def check(self, experiment: Experiment, features: Features) -> None:
        """Refuse by name an experiment that cannot take the model up."""
        theirs, method, where = self.model, experiment.method, f"{self.option}: {self.path}"
        require(theirs.method == method, f"{where}: of method {theirs.method}, not {method}")
        network = asdict(experiment.network)
        other = [key for key in network if network[key] != theirs.network.get(key)]
        require(not other, f"{where}: made with other settings: network.{', network.'.join(other)}")
        one, other = flatten(plain(theirs.features)), flatten(plain(features.config))
        differing = ", ".join(f"features.{key}" for key in one if one[key] != other.get(key))
        same = theirs.features == features.config
        require(same, f"{where}: learnt from features of other settings ({differing}){self.way_out}")

    def take_up(self, network: nn.Module) -> None:
        """Give an untrained `network` the model's weights."""
        network.begin_from(self.weights)


class Growth(Start):
    """A model that gets new speakers: the others' parts, and what they share, stay as they are."""

    option, way_out = "--add-to", ""

    def check(self, experiment: Experiment, features: Features) -> None:
        """Refuse by name what would not leave the model's speakers as they are."""
        grow = [name for name, (_, network) in MODELS.items() if getattr(network, "extensible", False)]
        method = experiment.method
        require(method in grow, f"{self.option}: {method} cannot take up a speaker; these can: {', '.join(grow)}")
        super().check(experiment, features)
        known, wanted = tuple(self.model.speakers), experiment.speakers
        first = f"--speakers: first those of {self.path}, {' '.join(known)}, then new ones"
        require(wanted[: len(known)] == known and len(wanted) > len(known), first)
        for name in known:
            same = self.model.speakers[name] == features.speakers[name]
            require(same, f"{name}: the features' statistics are not those of {self.path}: extract the same recordings")

    def take_up(self, network: nn.Module) -> None:
        """Give `network` the model's weights, which no step moves from now on."""
        network.load_state_dict(self.weights, strict=False)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in self.weights)
