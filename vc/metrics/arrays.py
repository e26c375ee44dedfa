"""Lists accepted in place of arrays, and evenly spread indices."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from vc.errors import DataError

Pairs = tuple[np.ndarray, np.ndarray]  # indices into the frames of each side
SEVERAL = (Pairs, Pairs | None, Sequence[np.ndarray])  # annotations of arguments that hold arrays
Measure = TypeVar("Measure", bound=Callable)


def takes_lists(measure: Measure) -> Measure:
    """Decorator by which a function accepts (nested) lists for the arguments that are annotated as arrays."""
    signature = inspect.signature(measure)
    kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}

    @functools.wraps(measure)
    def measure_arrays(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if kinds[name] is np.ndarray:
                bound.arguments[name] = _array(value, name)
            elif kinds[name] in SEVERAL and value is not None:
                bound.arguments[name] = tuple(_array(part, name) for part in value)
        return measure(*bound.args, **bound.kwargs)

    return measure_arrays


def evenly_spread(count: int, limit: int) -> list[int]:
    """Indices of `count` items, or of `limit` evenly spread ones if there are more."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int)).tolist()


def _array(value: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        raise DataError(f"{name}: rows of unequal lengths: give an array, or lists of equal length") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name}: expected numbers, got shape {array.shape} of {array.dtype}")
    return array
