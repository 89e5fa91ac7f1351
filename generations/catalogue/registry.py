"""Every declared model, found by slug or by fal's endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType, ModuleType

from errors import DomainError
from generations.catalogue import audio, edit, image, imported, retouch, three_d, video
from generations.catalogue.declaration import Model

# Where the declarations stand, beside those that were imported.
MODULES: tuple[ModuleType, ...] = (image, edit, video, three_d, audio, retouch)


class UnknownModel(DomainError, LookupError):
    """There is no model of this name."""

    code, status, title = "model_not_found", 404, "Model not found"


def _modules() -> Iterator[ModuleType]:
    yield from MODULES
    for found in iter_modules(imported.__path__):
        yield import_module(f"{imported.__name__}.{found.name}")


def _declared() -> dict[str, Model]:
    models = [thing for module in _modules() for thing in vars(module).values() if isinstance(thing, Model)]
    by_slug = {model.slug: model for model in models}
    if len(by_slug) != len(models):
        raise RuntimeError("Two models of the catalogue share a slug.")
    return by_slug


MODELS = MappingProxyType(_declared())
_BY_ENDPOINT = {model.endpoint: model for model in MODELS.values()}


def find(slug: str) -> Model:
    try:
        return MODELS[slug]
    except KeyError:
        raise UnknownModel(f"There is no model “{slug}”. Models: {', '.join(sorted(MODELS))}.") from None


def find_by_endpoint(endpoint: str) -> Model | None:
    """The model behind one of fal's endpoint ids, if we offer it."""
    return _BY_ENDPOINT.get(endpoint)
