"""All that an exact resume needs, in safetensors: networks, optimisers, random states, step. No pickle."""

import logging
import re
from pathlib import Path

import torch
from torch import Tensor, nn

from vc.config import build, plain
from vc.errors import ConfigError, TrainingError, shortened
from vc.files import make_directory, remove_leftovers
from vc.tensor_file import Damaged, read_tensors, write_tensors
from vc.train.base import Sampler
from vc.train.engine import Engine
from vc.train.state import State

FORMAT = 3
STATES = {5056, 16}  # bytes of a generator's state on a CPU, on a GPU
log = logging.getLogger(__name__)


def save(directory: Path, engine: Engine, state: State, kept: int) -> None:
    """Write `directory`/checkpoint-STEP.safetensors whole or not at all, then remove all but the newest `kept`."""
    make_directory(directory)
    tensors = {f"random.{name}": state for name, state in _random_states(engine.sampler).items()}
    for name, module in engine.modules.items():
        tensors |= {f"module.{name}.{key}": tensor for key, tensor in module.state_dict().items()}
    for name, player in engine.training.players.items():
        tensors |= {f"optimiser.{name}.{key}": tensor for key, tensor in _optimiser_state(player.optimiser).items()}
    tensors |= {f"losses.{name}": tensor for name, tensor in engine.meter.state().items()}
    content = {"format": FORMAT, "state": plain(state)}
    write_tensors(directory / f"checkpoint-{state.step:09d}.safetensors", tensors, content)
    for path in _newest_first(directory)[kept:]:
        path.unlink()


def resume(directory: Path, engine: Engine) -> State | None:
    """Restore the newest whole checkpoint and return its state; None if there never was one.

    A checkpoint that is damaged, or of other networks, is set aside as *.corrupt and the one before it used; none
    usable is an error, never a silent fresh start. So is one of another version, and a whole one that cannot be
    restored here: it stays where it is.
    """
    remove_leftovers(directory)
    for path in _newest_first(directory):
        try:
            tensors, content = read_tensors(path)
            _refuse_other_format(content, path)
            return _restore(tensors, content, engine, path)
        except Damaged as error:
            path.rename(path.with_name(path.name + ".corrupt"))
            log.warning("%s; set aside as %s.corrupt", error, path.name)
    if list(directory.glob("*.corrupt")):
        raise TrainingError(f"{directory}: no checkpoint can be read; remove the folder to start again")
    return None


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("checkpoint-*.safetensors"), reverse=True)


def _refuse_other_format(content: dict, path: Path) -> None:
    if content.get("format") != FORMAT:
        raise TrainingError(
            f"{path}: checkpoint of format {content.get('format')!r}; this version goes on with format {FORMAT} alone;"
            " take another --output, or remove the folder to start again"
        )


def _restore(tensors: dict[str, Tensor], content: dict, engine: Engine, path: Path) -> State:
    try:
        state = build(State, content.get("state"), "state")
        for name, module in engine.modules.items():
            _restore_module(module, _part(tensors, f"module.{name}."))
        for name, player in engine.training.players.items():
            _restore_optimiser(player.optimiser, _part(tensors, f"optimiser.{name}."))
        engine.meter.restore(_part(tensors, "losses."), engine.sampler.generator.device)
        alike = _restore_random_states(engine.sampler, _part(tensors, "random."), state.step)
    except (ConfigError, KeyError, AttributeError, TypeError) as error:  # the last of a random state that is no bytes
        raise Damaged(f"{path}: does not fit this configuration: {shortened(error)}") from error
    except RuntimeError as error:  # such as too little memory
        raise TrainingError(f"{path}: whole, but cannot be restored here: {shortened(error)}") from error
    if not alike:
        log.warning("%s: written on another device: from here on, what is drawn is not what would be there", path)
    engine.restored()
    return state


def _restore_module(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Weights, all of them in their shapes."""
    expected = module.state_dict()
    for name in expected.keys() | tensors.keys():
        if name not in expected or name not in tensors or expected[name].shape != tensors[name].shape:
            raise KeyError(f"tensor {name}")
    module.load_state_dict(tensors)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts by parameter number; rates follow from the step and are not kept."""
    state = optimiser.state_dict()["state"]
    return {f"{number}.{key}": tensor for number, values in state.items() for key, tensor in values.items()}


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Moments and step counts, all of them in their shapes; none of what has not moved yet."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = re.fullmatch(r"(\d+)\.(\w+)", name).groups()
        state.setdefault(int(number), {})[key] = tensor
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters if state else []):
        found = {key: tensor.shape for key, tensor in state[number].items()}
        if found != {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}:
            raise KeyError(f"optimiser state {number}")
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, values in optimiser.state.items():  # fused steps walk moments and weights in one order of memory
        for key, tensor in values.items():
            if tensor.shape == parameter.shape and tensor.stride() != parameter.stride():
                values[key] = torch.empty_like(parameter).copy_(tensor)


def _random_states(sampler: Sampler) -> dict[str, Tensor]:
    states = {"sampler": sampler.generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_random_states(sampler: Sampler, states: dict[str, Tensor], step: int) -> bool:
    """Whether they fit; a generator of another kind of device is seeded anew instead."""
    size, own = states["sampler"].numel(), sampler.generator.get_state().numel()
    if {size, own} - STATES:
        raise KeyError("random.sampler")
    alike = size == own
    if alike:
        sampler.generator.set_state(states["sampler"])
    else:
        sampler.generator.manual_seed(sampler.generator.initial_seed() + step)
        torch.manual_seed(sampler.generator.initial_seed())  # of all devices
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
    return alike
