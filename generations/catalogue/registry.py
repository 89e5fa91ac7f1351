"""All declared models, by slug and by fal's endpoint. Built once, when the catalogue is imported."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from errors import DomainError
from generations.catalogue import audio, edit, image, imported, retouch, three_d, video
from generations.catalogue.declaration import Model


class UnknownModel(DomainError, LookupError):
    """There is no model with this slug."""

    code, status, title = "model_not_found", 404, "Model not found"


def collect() -> dict[str, Model]:
    """Return every `Model` of the modules of declarations, by slug, in the order in which they are listed to customers.

    Raises:
        RuntimeError: Two models have the same slug.
    """
    written_by_import_model = [
        import_module(f"{imported.__name__}.{found.name}") for found in iter_modules(imported.__path__)
    ]
    modules = [image, edit, video, three_d, audio, retouch, *written_by_import_model]
    models = [value for module in modules for value in vars(module).values() if isinstance(value, Model)]
    by_slug = {model.slug: model for model in models}
    if len(by_slug) != len(models):
        raise RuntimeError("Two models of the catalogue share a slug.")
    return by_slug


MODELS = MappingProxyType(collect())
_BY_ENDPOINT = {model.endpoint: model for model in MODELS.values()}


def find(slug: str) -> Model:
    """Return the model with this slug. Raises UnknownModel, with all slugs in its message."""
    try:
        return MODELS[slug]
    except KeyError:
        raise UnknownModel(f"There is no model “{slug}”. Models: {', '.join(sorted(MODELS))}.") from None


def find_by_endpoint(endpoint: str) -> Model | None:
    """Return the model that fal serves under this endpoint ID, or None."""
    return _BY_ENDPOINT.get(endpoint)
