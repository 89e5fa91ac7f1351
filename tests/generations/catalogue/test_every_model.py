"""Every model on offer, ordered through the API and made by fal: its files lie in storage as what they should be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credits import ledger
from credits.models import Account
from generations.catalogue import MODELS, Model, find
from generations.files import inspection, storage
from generations.models import Generation, Output, Status
from generations.provider import clients
from simulator import Simulator
from simulator.media import drawn_type
from tests.fixtures.api import GENERATIONS
from tests.generations.catalogue.example_orders import IMAGE, minimal
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
# What a person would look at, if the usual size takes long to draw.
SMALLER: dict[str, Any] = {"stable-audio-2.5": {"seconds_total": 3}}


@pytest.fixture(autouse=True)
def credits_for_a_long_video(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 10_000, key="for a long video", actor="test")


def with_a_picture(fal: Simulator, order: dict[str, Any]) -> dict[str, Any]:
    """The order, naming a picture that there is: pictures are looked at before an order is taken."""
    if IMAGE not in (written := json.dumps(order)):
        return order
    picture = {"prompt": "a fox", "image_size": "square"}
    clients.fal().submit("fal-ai/flux/schnell", picture, webhook_url="", start_timeout_seconds=60)
    assert fal.wait_until(fal.log.files)
    changed: dict[str, Any] = json.loads(written.replace(IMAGE, f"{fal.url}{fal.log.files()[0].path}"))
    return changed


def completed(api: APIClient, work: Work, **order: Any) -> Generation:
    placed = api.post(GENERATIONS, order)
    assert placed.status_code == 202, placed.data
    generation = work.to_the_end(Generation.objects.get(pk=placed.data["id"]))
    assert generation.status == Status.COMPLETED, generation.failure_message
    return generation


def types_in_storage(generation: Generation) -> dict[str, str]:
    """What each file is, by the bytes that lie in storage."""
    found = {}
    for output in generation.outputs.filter(state=Output.State.STORED):
        with storage.open_file(output.key) as file:
            found[output.role] = inspection.inspect(file, output.size_bytes or 0).content_type
        assert found[output.role] == output.content_type
    return found


def expected_types(model: Model, order: dict[str, Any], preset: str | None = None) -> dict[str, str]:
    files = model.expected_files(model.read(order, preset=preset))
    return {file.role: drawn_type(file.media_type) for file in files}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_an_order_of_every_model_ends_in_its_files_in_storage(
    model: Model, fal: Simulator, api: APIClient, work: Work
) -> None:
    order = with_a_picture(fal, minimal(model) | SMALLER.get(model.slug, {}))

    generation = completed(api, work, model=model.slug, input=order)

    assert types_in_storage(generation) == expected_types(model, order)
    assert generation.captured == generation.credits == model.credits(model.read(order)) > 0


@pytest.mark.parametrize("preset", ["draft", "standard", "high"])
def test_a_preset_is_named_in_an_order_and_reaches_fal(preset: str, fal: Simulator, api: APIClient, work: Work) -> None:
    model, order = find("tripo-h3.1"), with_a_picture(fal, {"image_url": IMAGE})

    generation = completed(api, work, model=model.slug, input=order, preset=preset)

    (request,) = fal.log.accepted(model.endpoint)
    assert request.inputs.items() >= dict(model.presets[preset]).items()
    assert types_in_storage(generation) == expected_types(model, order, preset)


def test_a_sound_can_be_heard_on_its_page(
    fal: Simulator, api: APIClient, work: Work, client: Client, alice: User
) -> None:
    generation = completed(api, work, model="eleven-v3", input={"text": "Hello, fox."})
    client.force_login(alice)

    page = client.get(f"/generations/{generation.pk}/").text

    assert f'<audio src="/api/v1/outputs/{generation.outputs.get().pk}/content/" controls' in page
    assert "Hello, fox." in page


@pytest.mark.parametrize("preset", ["draft", "standard", "high"])
@pytest.mark.parametrize("model", [model for model in MODELS.values() if model.kind == "3d"], ids=lambda m: m.slug)
def test_a_preset_fills_the_form_in_and_shows_its_price(model: Model, preset: str, client: Client, alice: User) -> None:
    client.force_login(alice)

    page = client.post(f"/new/{model.slug}/", {"preset": preset, "image_url": IMAGE})

    form = page.context["form"]
    assert (page.status_code, form.preset) == (200, preset)
    assert form.values.items() >= dict(model.presets[preset]).items()
    assert page.context["credits"] == model.credits(model.read({"image_url": IMAGE}, preset=preset))


def test_quads_come_as_fbx_wherever_a_mesh_stands(fal: Simulator, api: APIClient, work: Work) -> None:
    order = with_a_picture(fal, {"image_url": IMAGE, "quad": True})

    found = types_in_storage(completed(api, work, model="tripo-h3.1", input=order))

    meshes = {role for role, kind in found.items() if kind == "application/octet-stream"}
    assert meshes == {"model_mesh", "model_urls.fbx", "model_urls.base_model", "model_urls.pbr_model"}
    assert found["rendered_image"] == "image/webp"
