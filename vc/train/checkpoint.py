"""All that an exact resume needs, in safetensors: networks, optimisers, random states, step. No pickle."""

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from vc.config import build, plain
from vc.errors import ConfigError, TrainingError, shorten
from vc.files import make_directory, remove_leftovers
from vc.tensor_file import Damaged, read_tensors, write_tensors
from vc.train.engine import Engine, Sampler

FORMAT = 4
EARLIER_FORMAT, EARLIER_NAMES = 3, {"judges": "discriminators", "listener": "code_classifier"}  # name -> today's
RANDOM_STATE_BYTES = {5056, 16}  # of a generator on a CPU, on a GPU
log = logging.getLogger(__name__)


@dataclass
class State:
    """What a checkpoint holds of a run besides its tensors."""

    step: int = 0  # steps done
    rate_scale: float = 1.0  # on all learning rates; halved at each rollback
    retreats: int = 0  # rollbacks so far
    best_step: int = 0  # of the model in model.safetensors
    held_out: str = ""  # digest of the held-out set, empty if there is none
    best_scores: dict[str, float] = field(default_factory=dict)  # of that model on the held-out set; `score` decides
    stale: int = 0  # scorings since then


def save(directory: Path, engine: Engine, state: State, *, keep: int) -> None:
    """Write a checkpoint, whole or not at all, and remove older ones.

    Parameters
    ----------
    directory : Path
        Of the checkpoints; made if missing. The file is checkpoint-STEP.safetensors.
    engine : Engine
    state : State
    keep : int
        How many of the newest checkpoints stay.
    """
    make_directory(directory)
    sampler = engine.sampler
    tensors = {"random.sampler": sampler.generator.get_state(), "random.torch": torch.get_rng_state()}
    if sampler.generator.device.type == "cuda":  # a run on the CPU leaves a GPU alone, which may be full
        tensors["random.cuda"] = torch.cuda.get_rng_state(sampler.generator.device)
    for name, module in engine.modules.items():
        tensors |= {f"module.{name}.{key}": tensor for key, tensor in module.state_dict().items()}
    for name, optimiser in engine.training.optimisers.items():  # rates follow from the step and are not kept
        for number, moments in optimiser.adam.state_dict()["state"].items():
            tensors |= {f"optimiser.{name}.{number}.{key}": tensor for key, tensor in moments.items()}
    tensors |= {f"losses.{name}": tensor for name, tensor in engine.meter.state().items()}
    content = {"format": FORMAT, "state": plain(state)}
    write_tensors(directory / f"checkpoint-{state.step:09d}.safetensors", tensors, content)
    for path in _newest_first(directory)[keep:]:
        path.unlink()


def resume(directory: Path, engine: Engine) -> State | None:
    """Restore the newest whole checkpoint.

    A checkpoint that is damaged, or of other networks, is renamed to *.corrupt, and the one before it is used.

    Returns
    -------
    State or None
        None if there never was a checkpoint.

    Raises
    ------
    TrainingError
        If there are checkpoints and none is usable: never a silent fresh start. Also if the newest is of another
        version, or whole and cannot be restored on this machine; it then stays where it is.
    """
    remove_leftovers(directory)
    for path in _newest_first(directory):
        try:
            tensors, content = read_tensors(path)
            if content.get("format") == EARLIER_FORMAT:
                parts = {name: [EARLIER_NAMES.get(part, part) for part in name.split(".")] for name in tensors}
                tensors = {".".join(parts[name]): tensor for name, tensor in tensors.items()}
            elif content.get("format") != FORMAT:
                raise TrainingError(
                    f"{path}: checkpoint of format {content.get('format')!r}; this version goes on with format"
                    f" {FORMAT} alone; take another --output, or remove the folder to start again"
                )
            return _restore(tensors, content, engine, path)
        except Damaged as error:
            path.rename(path.with_name(path.name + ".corrupt"))
            log.warning("%s; set aside as %s.corrupt", error, path.name)
    if list(directory.glob("*.corrupt")):
        raise TrainingError(f"{directory}: no checkpoint can be read; remove the folder to start again")
    return None


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob("checkpoint-*.safetensors"), reverse=True)


def _restore(tensors: dict[str, Tensor], content: dict, engine: Engine, path: Path) -> State:
    """Put a checkpoint's content into the engine; damaged is also what does not fit its networks."""
    try:
        state = build(State, content.get("state"), "state")
        for name, module in engine.modules.items():
            weights, expected = _part(tensors, f"module.{name}."), module.state_dict()
            for key in expected.keys() | weights.keys():
                if key not in expected or key not in weights or expected[key].shape != weights[key].shape:
                    raise KeyError(f"tensor {key}")
            module.load_state_dict(weights)
        for name, optimiser in engine.training.optimisers.items():
            _restore_optimiser(optimiser.adam, _part(tensors, f"optimiser.{name}."))
        engine.meter.restore(_part(tensors, "losses."), engine.sampler.generator.device)
        same_device = _restore_random_states(engine.sampler, _part(tensors, "random."), state.step)
    except (ConfigError, KeyError, AttributeError, TypeError) as error:  # TypeError: a random state that is not bytes
        raise Damaged(f"{path}: does not fit this configuration: {shorten(error)}") from error
    except RuntimeError as error:  # such as too little memory
        raise TrainingError(f"{path}: whole, but cannot be restored here: {shorten(error)}") from error
    if not same_device:
        log.warning("%s: written on another kind of device: from here on, other segments are drawn than there", path)
    engine.reset()
    return state


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _restore_optimiser(adam: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore moments and step counts, all of them in their shapes; there are none before the first step."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = re.fullmatch(r"(\d+)\.(\w+)", name).groups()
        state.setdefault(int(number), {})[key] = tensor
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    for number, parameter in enumerate(parameters if state else []):
        shapes = {key: tensor.shape for key, tensor in state[number].items()}
        if shapes != {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}:
            raise KeyError(f"optimiser state {number}")
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
    for parameter, moments in adam.state.items():  # fused steps walk moments and weights in one order of memory
        for key, tensor in moments.items():
            if tensor.shape == parameter.shape and tensor.stride() != parameter.stride():
                moments[key] = torch.empty_like(parameter).copy_(tensor)


def _restore_random_states(sampler: Sampler, states: dict[str, Tensor], step: int) -> bool:
    """Restore the random states; return False if the device is of another kind: then the sampler is seeded again."""
    size, own_size = states["sampler"].numel(), sampler.generator.get_state().numel()
    if {size, own_size} - RANDOM_STATE_BYTES:
        raise KeyError("random.sampler")
    same_device = size == own_size
    if same_device:
        sampler.generator.set_state(states["sampler"])
    else:
        sampler.generator.manual_seed(sampler.generator.initial_seed() + step)
        torch.manual_seed(sampler.generator.initial_seed())  # of all devices
    torch.set_rng_state(states["torch"])
    if sampler.generator.device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], sampler.generator.device)
    return same_device
