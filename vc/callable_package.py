"""Packages that can be called, as the function of the same name in vc/api.py."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType


class CallablePackage(ModuleType):
    """`vc.train(...)` where `vc.train` is a package, too; what is called is imported when it is called."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    def _function(self) -> Callable:
        package, _, name = self.__name__.rpartition(".")
        return getattr(import_module(f"{package}.api"), name)


def make_callable(name: str) -> None:
    """Make the package that is being imported under `name` one that can be called."""
    sys.modules[name].__class__ = CallablePackage
