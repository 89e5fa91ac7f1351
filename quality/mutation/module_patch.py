"""Replaces the code of a module that other modules have already imported from, and restores it.

Other modules hold references to its functions and classes, so these objects stay and get new code. They hold copies
of its constants, so each copy is replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any, TypeGuard

PACKAGES = ("accounts.", "credits.", "database.", "generations.", "notifications.", "operations.")
FUNCTION_ATTRIBUTES = ("__code__", "__defaults__", "__kwdefaults__")


@contextmanager
def patched(module: ModuleType, source: str) -> Iterator[None]:
    """Make the module behave as this source says, until the block ends."""
    namespace = {name: vars(module)[name] for name in ("__name__", "__file__", "__package__")}
    exec(compile(source, str(module.__file__), "exec"), namespace)  # noqa: S102
    with ExitStack() as undo:
        # Names that only one of the two has are new imports or removed helpers; no other module can hold them.
        for name in namespace.keys() & vars(module).keys():
            old, new = vars(module)[name], namespace[name]
            if old is new or name.startswith("__"):
                continue
            if isinstance(old, FunctionType):
                _replace_code(old, new, undo)
            elif isinstance(old, type):
                for attribute, value in vars(new).items():
                    _replace_attribute(old, attribute, value, undo)
            elif old != new:
                # A constant was copied into every module that imported it.
                for path, holder in list(sys.modules.items()):
                    if path.startswith(PACKAGES) and vars(holder).get(name) is old:
                        _set(holder, name, new, undo)
        yield


def _replace_attribute(owner: type, name: str, new: Any, undo: ExitStack) -> None:
    old = vars(owner).get(name)
    if isinstance(new, bool | int | float | str | tuple) and not name.startswith("__") and old != new:
        _set(owner, name, new, undo)
        return
    if isinstance(old, property | cached_property):
        if type(new) is not type(old):
            # The mutant is no property any more.
            _set(owner, name, new, undo)
            return
        old, new = _getter(old), _getter(new)
    if not _is_from_source(old) or not _is_from_source(new):
        return
    if old.__code__.co_freevars == new.__code__.co_freevars:
        _replace_code(old, new, undo)
    else:
        # The mutant no longer calls super(): a function cannot get code with other free variables.
        _set(owner, name, new, undo)


def _getter(value: Any) -> Any:
    return value.fget if isinstance(value, property) else value.func


def _is_from_source(method: Any) -> TypeGuard[FunctionType]:
    # The methods that @dataclass writes are compiled from a string, and are the same in every mutant.
    return isinstance(method, FunctionType) and method.__code__.co_filename != "<string>"


def _replace_code(old: FunctionType, new: FunctionType, undo: ExitStack) -> None:
    # The code that matters is in the innermost function; the wrappers of decorators are the same.
    old_layers, new_layers = list(_unwrap(old)), list(_unwrap(new))
    for name in FUNCTION_ATTRIBUTES:
        _set(old_layers[-1], name, getattr(new_layers[-1], name), undo)
    if len(new_layers) < len(old_layers):
        # The mutant lacks the decorator, so the wrapper must only call the function.
        _set(old, "__code__", _call_only(old, None).__code__, undo)


def _unwrap(function: Any) -> Iterator[FunctionType]:
    """Yield the function, and what its decorators wrap."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def _call_only(func: Callable[..., Any], self: Any) -> Any:
    """Return a wrapper with the same free variables as the one of `transaction.atomic`, without the transaction."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        _ = self
        return func(*args, **kwargs)

    return inner


def _set(owner: Any, name: str, value: Any, undo: ExitStack) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)
