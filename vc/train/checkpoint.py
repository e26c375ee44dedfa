"""All that an exact resume needs, in safetensors: networks, optimisers, random states, step. No pickle."""

import logging
import re
from pathlib import Path

import torch
from torch import Tensor

from vc.errors import ConfigError, TrainingError, shortened
from vc.files import remove_leftovers
from vc.segments import PairSampler
from vc.store import read_tensors, write_tensors
from vc.train.base import Training

FORMAT = 1
log = logging.getLogger(__name__)


def save(directory: Path, training: Training, sampler: PairSampler, step: int, kept: int) -> None:
    """Write `directory`/checkpoint-STEP.safetensors whole or not at all, then remove all but the newest `kept`."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {f"random.{name}": state for name, state in _random_states(sampler).items()}
    for name, module in training.modules.items():
        tensors |= {f"module.{name}.{key}": tensor for key, tensor in module.state_dict().items()}
    for name, optimiser in training.optimisers.items():
        tensors |= {f"optimiser.{name}.{key}": tensor for key, tensor in _optimiser_state(optimiser).items()}
    write_tensors(directory / f"checkpoint-{step:09d}.safetensors", tensors, {"format": FORMAT, "step": step})
    for path in _newest_first(directory)[kept:]:
        path.unlink()


def resume(directory: Path, training: Training, sampler: PairSampler) -> int:
    """Restore the newest whole checkpoint and return its step; 0 if there never was one.

    A damaged checkpoint is set aside as *.corrupt and the one before it used; none usable is an error, never a
    silent fresh start.
    """
    remove_leftovers(directory)
    paths = _newest_first(directory)
    for path in paths:
        try:
            tensors, content = read_tensors(path)
            return _restore(tensors, content, training, sampler, path)
        except ConfigError as error:
            path.rename(path.with_name(path.name + ".corrupt"))
            log.warning("%s; set aside as %s.corrupt", error, path.name)
    if list(directory.glob("*.corrupt")):
        raise TrainingError(f"{directory}: no checkpoint can be read; remove the folder to start again")
    return 0


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("checkpoint-*.safetensors"), reverse=True)


def _restore(tensors: dict[str, Tensor], content: dict, training: Training, sampler: PairSampler, path: Path) -> int:
    if content.get("format") != FORMAT or not isinstance(content.get("step"), int):
        raise ConfigError(f"{path}: not a checkpoint of format {FORMAT}")
    try:
        for name, module in training.modules.items():
            module.load_state_dict(_part(tensors, f"module.{name}."))
        for name, optimiser in training.optimisers.items():
            _restore_optimiser(optimiser, _part(tensors, f"optimiser.{name}."))
        _restore_random_states(sampler, _part(tensors, "random."))
    except (RuntimeError, KeyError, IndexError) as error:
        raise ConfigError(f"{path}: does not fit this configuration: {shortened(error)}") from error
    return content["step"]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts by parameter number; rates follow from the step and are not kept."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{key}": tensor for number, values in state.items() for key, tensor in values.items()}


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = re.fullmatch(r"(\d+)\.(\w+)", name).groups()
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _random_states(sampler: PairSampler) -> dict[str, Tensor]:
    states = {"sampler": sampler.generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(sampler: PairSampler, states: dict[str, Tensor]) -> None:
    sampler.generator.set_state(states["sampler"])
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
