"""Fixtures that pass one environment variable, NAME, through the readers of `config/env.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

Read = Callable[..., Any]
Error = Callable[..., str]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """`read(env.flag, "yes", default=False)` sets NAME to `yes` and returns what `env.flag` reads."""

    def read(reader: Callable[..., Any], value: str, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setenv("NAME", value)
        return reader("NAME", *arguments, **options)

    return read


@pytest.fixture
def error(read: Read) -> Error:
    """`error(env.flag, "maybe", default=True)` returns the message with which `env.flag` refuses `maybe`."""

    def error(reader: Callable[..., Any], value: str, *arguments: Any, **options: Any) -> str:
        with pytest.raises(ImproperlyConfigured) as refusal:
            read(reader, value, *arguments, **options)
        return str(refusal.value)

    return error
