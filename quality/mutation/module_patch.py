"""Puts another source into a module that all others have imported from already, and takes it out again.

They hold its functions, so the functions stay and get other code. They hold copies of its constants, so these are
replaced wherever they went. Classes stay too, with other methods.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any, TypeGuard

PACKAGES = ("credits.", "generations.")
CODE = ("__code__", "__defaults__", "__kwdefaults__")


@contextmanager
def swapped(module: ModuleType, source: str) -> Iterator[None]:
    """For as long as the block lasts, the module does what this source says."""
    fresh = {name: vars(module)[name] for name in ("__name__", "__file__", "__package__")}
    exec(compile(source, str(module.__file__), "exec"), fresh)  # noqa: S102
    with ExitStack() as undo:
        for name in fresh.keys() & vars(module).keys():
            _become(name, vars(module)[name], fresh[name], undo)
        yield


def _become(name: str, old: Any, new: Any, undo: ExitStack) -> None:
    if old is new or name.startswith("__"):
        return
    if isinstance(old, FunctionType):
        _act_as(old, new, undo)
    elif isinstance(old, type):
        for attribute, method in vars(new).items():
            _method_acts_as(old, attribute, method, undo)
    elif old != new:
        for module in _holders(name, old):
            _set(module, name, new, undo)


def _method_acts_as(owner: type, attribute: str, new: Any, undo: ExitStack) -> None:
    old = vars(owner).get(attribute)
    if isinstance(old, property | cached_property):
        if type(new) is not type(old):
            # It is a property no more.
            _set(owner, attribute, new, undo)
            return
        old, new = _getter(old), _getter(new)
    if not _is_written_here(old) or not _is_written_here(new):
        return
    if old.__code__.co_freevars == new.__code__.co_freevars:
        _act_as(old, new, undo)
    else:
        # It no longer calls super().
        _set(owner, attribute, new, undo)


def _getter(value: Any) -> Any:
    return value.fget if isinstance(value, property) else value.func


def _is_written_here(method: Any) -> TypeGuard[FunctionType]:
    # What @dataclass writes comes from a string, and is the same anyway.
    return isinstance(method, FunctionType) and method.__code__.co_filename != "<string>"


def _act_as(old: FunctionType, new: FunctionType, undo: ExitStack) -> None:
    olds, news = list(_layers(old)), list(_layers(new))
    for name in CODE:
        _set(olds[-1], name, getattr(news[-1], name), undo)
    if len(news) < len(olds):
        _set(old, "__code__", _bare(old, None).__code__, undo)


def _layers(function: Any) -> Iterator[FunctionType]:
    """The function, and what its decorator wraps."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def _bare(func: Callable[..., Any], self: Any) -> Any:
    """What `transaction.atomic` makes of a function, without the transaction."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        _ = self
        return func(*args, **kwargs)

    return inner


def _holders(name: str, value: Any) -> list[ModuleType]:
    ours = [module for path, module in sys.modules.items() if path.startswith(PACKAGES)]
    return [module for module in ours if vars(module).get(name) is value]


def _set(owner: Any, name: str, value: Any, undo: ExitStack) -> None:
    undo.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)
