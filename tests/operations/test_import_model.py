"""`manage.py import_model`: prints or writes the declaration of an endpoint, which can then be ordered."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from credits.models import Account
from generations import lifecycle
from generations.catalogue import MODELS, imported, registry
from generations.ordering.orders import Order
from simulator import Simulator
from tests.helpers.background_work import Work


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("import_model", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of imported models, for one test."""
    monkeypatch.setattr(imported, "__path__", [str(tmp_path)])
    yield tmp_path
    invalidate_caches()


@pytest.mark.once
def test_without_write_the_declaration_is_printed(fal: Simulator) -> None:
    printed = run("fal-ai/flux/dev", "--slug", "flux-again")

    assert 'slug="flux-again"' in printed
    assert "price=per_megapixel(25)" in printed
    assert "imported on" in printed


@pytest.mark.once
def test_an_endpoint_that_cannot_be_imported_is_refused_with_the_reason(fal: Simulator) -> None:
    refused = [
        (["fal-ai/no-such-model"], "fal-ai/no-such-model"),
        (["fal-ai/flux/dev"], "flux-dev"),
        (["fal-ai/flux/dev", "--slug", "veo3.1"], "veo3.1"),
        (["fal-ai/clarity-upscaler", "--slug", "bigger"], "--credits"),
        (["fal-ai/flux/dev", "--slug", "Flux Again!"], "--slug"),
    ]

    for arguments, reason in refused:
        with pytest.raises(CommandError, match=reason):
            run(*arguments)


@pytest.mark.once
def test_a_written_model_is_found_and_never_overwritten(fal: Simulator, folder: Path) -> None:
    run("tripo3d/h3.1/image-to-3d", "--slug", "my-mesh.2", "--write")
    written = (folder / "my_mesh_2.py").read_text()

    assert registry.collect()["my-mesh.2"].endpoint == "tripo3d/h3.1/image-to-3d"
    for other in (folder, folder / "nowhere"):
        with pytest.raises(CommandError, match=r"my_mesh_2\.py"):
            run("tripo3d/h3.1/image-to-3d", "--slug", "my-mesh.2", "--write", "--folder", str(other))
    assert (folder / "my_mesh_2.py").read_text() == written


@pytest.mark.django_db(transaction=True)
def test_a_written_model_can_be_ordered(
    fal: Simulator, folder: Path, alice: Account, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fal-ai/flux/schnell", "--slug", "my-flux", "--write")
    model = import_module("generations.catalogue.imported.my_flux").MY_FLUX
    monkeypatch.setattr(registry, "MODELS", {**MODELS, model.slug: model})
    inputs = {"prompt": "a cat", "image_size": {"width": 256, "height": 256}}

    order = Order(model=model, inputs=model.read(inputs), raw_input=inputs)
    generation = work.until_done(lifecycle.order(alice, order, actor="test")[0])

    assert (generation.status, generation.captured) == ("completed", 3)
