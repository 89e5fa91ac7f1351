"""`manage.py generate`: orders, waits and saves the files. Its exit status says how it ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from PIL import Image

from credits.models import Account
from generations.catalogue import MODELS, find
from generations.management.commands import generate
from generations.models import Generation, Phase, Status
from generations.progress import results
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work, running_workers
from tests.services.processes import Processes
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The background work runs during the command."""
    with running_workers():
        yield


def fail_with(status: int, *arguments: str, **options: Any) -> str:
    """Runs the command, which has to end with this exit status. Returns its error message."""
    with pytest.raises(CommandError) as raised:
        call_command("generate", *arguments, **{"model": "flux-schnell", "user": "alice", **options})
    assert raised.value.returncode == status
    return str(raised.value)


# --- Placed orders ---


@pytest.mark.once
def test_an_image_is_ordered_waited_for_and_saved(
    fal: Simulator, limn: Processes, alice: Account, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limn("work")

    call_command(
        "generate", "a cat", "--model", "flux-schnell", "--set", "seed=7", "--out", tmp_path, "--user", "alice"
    )

    output, messages = capfd.readouterr()
    generation = Generation.objects.get()
    saved = Path(output.strip())
    assert (saved.parent, saved.stem) == (tmp_path, f"{generation.pk}-0")
    with Image.open(saved) as image:
        assert image.format == {".png": "PNG", ".jpg": "JPEG"}[saved.suffix]
    assert generation.input == {"prompt": "a cat", "seed": 7}
    assert f"{generation.pk} is ordered for 3 credits." in messages
    assert re.search(r"\[#{24}\] 100 %  .*\nCompleted in [\d.]+ s. Charged: 3 credits.\n", messages)


def test_a_failed_generation_is_status_1_with_its_reason_and_charge(
    fal: Simulator, alice: Account, working: None
) -> None:
    fal.script("fail:content_policy_violation")

    message = fail_with(1, "a cat")

    assert message.startswith("content_policy: ")
    assert message.endswith(" Charged: 0 credits.")


def test_a_time_out_is_status_124_and_a_missing_worker_is_reported(
    fal: Simulator, alice: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    fal.always("hold", "callback:lost")

    message = fail_with(124, "a cat", timeout=0.1)

    generation, captured = Generation.objects.get(), capfd.readouterr()
    assert str(generation.pk) in message
    assert generation.phase == Phase.WAITING
    assert "No worker process is running (last seen: never). Start one: manage.py work" in captured.err


@pytest.fixture
def sigint_handler() -> Iterator[None]:
    """Raises KeyboardInterrupt at SIGINT. A test run that was started as a background job ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_status_130_and_the_generation_continues(
    fal: Simulator, alice: Account, monkeypatch: pytest.MonkeyPatch, sigint_handler: None
) -> None:
    fal.always("hold", "callback:lost")
    # At the first poll, so that the signal certainly interrupts the wait.
    monkeypatch.setattr(generate, "worker_warning", lambda: signal.raise_signal(signal.SIGINT))

    message = fail_with(130, "a cat")

    generation = Generation.objects.get()
    assert message == f"{generation.pk} continues."
    assert generation.status == Status.PROCESSING


def test_an_existing_file_is_not_overwritten(fal: Simulator, order: PlaceOrder, work: Work, tmp_path: Path) -> None:
    result = results.of(work.until_done(order()))
    saved = generate.save(result, result.outputs[0], tmp_path)
    saved.write_text("other content")

    with pytest.raises(CommandError, match="exists already") as raised:
        generate.save(result, result.outputs[0], tmp_path)

    assert (raised.value.returncode, saved.read_text()) == (1, "other content")


def test_an_incomplete_file_is_removed(fal: Simulator, order: PlaceOrder, work: Work, tmp_path: Path, settings) -> None:
    result = results.of(work.until_done(order()))
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": str(tmp_path / "missing")}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    with pytest.raises(CommandError, match="could not be written"):
        generate.save(result, result.outputs[0], tmp_path)

    assert list(tmp_path.iterdir()) == []


# --- Refused orders ---


@pytest.mark.parametrize(
    "options, message",
    [
        ({"model": "flux-nonsense"}, "There is no model “flux-nonsense”"),
        ({"set": ["seeds=7"]}, "seeds: "),
        ({"set": ["seed"]}, "write it like --set seed=7"),
        ({"set": ["num_images=900"]}, "num_images: "),
        ({"preset": "fine"}, "There is no preset “fine”"),
        ({"user": "unknown"}, "There is no user “unknown”"),
        ({"user": None}, "--user NAME"),
        ({"out": "/nowhere/at/all"}, "there is no such folder"),
    ],
)
def test_wrong_usage_is_status_2_and_orders_nothing(alice: Account, options: dict[str, Any], message: str) -> None:
    assert message in fail_with(2, "a cat", **options)
    assert Generation.objects.count() == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_credits": 2}, "max_credits_exceeded: This costs 3 credits, and max_credits is 2."),
        ({"user": "poor"}, "insufficient_credits: This costs 3 credits and 0 are available."),
    ],
)
def test_a_refused_order_is_status_1_and_orders_nothing(alice: Account, options: dict[str, Any], message: str) -> None:
    User.objects.create_user("poor")

    assert message in fail_with(1, "a cat", **options)
    assert Generation.objects.count() == 0


def test_without_a_name_demo_or_the_only_superuser_pays() -> None:
    superuser = User.objects.create_superuser("admin")
    assert generate.find_user(None) == superuser

    demo = User.objects.create_user("demo")
    assert generate.find_user(None) == demo


@pytest.mark.once
@pytest.mark.parametrize(
    "name, text, value",
    [
        ("seed", "7", 7),
        ("prompt", "7", "7"),
        ("image_size", "square_hd", "square_hd"),
        ("image_size", '{"width": 512, "height": 512}', {"width": 512, "height": 512}),
        ("enable_safety_checker", "false", False),
        ("prompt", "true", "true"),
        ("seed", "null", None),
        ("nonsense", "7", "7"),
    ],
)
def test_a_value_is_read_as_a_type_that_its_input_accepts(name: str, text: str, value: Any) -> None:
    assert generate.read_input(find("flux-schnell"), None, [f"{name}={text}"]) == {name: value}


@pytest.mark.parametrize("slug, name", [("flux-schnell", "prompt"), ("eleven-v3", "text"), ("tripo-v2.5", "prompt")])
def test_the_prompt_becomes_the_main_text_of_the_model(slug: str, name: str) -> None:
    assert generate.read_input(find(slug), "good evening", []) == {name: "good evening"}


# --- Results for Python callers ---


def test_a_result_has_the_file_the_charge_and_the_duration(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    result = results.of(work.until_done(order()))

    (file,) = result.outputs
    assert (result.is_done, result.is_completed, result.credits, result.error) == (True, True, 3, None)
    assert (result.processing_seconds or 0) > 0
    assert result.model_url is not None
    assert "/api/v1/outputs/" in result.model_url
    assert (file.index, file.counts, file.size_bytes > 0, len(file.sha256)) == (0, True, True, 64)


def test_waiting_survives_a_short_outage_of_the_database(
    fal: Simulator, order: PlaceOrder, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[Any] = []

    def fail_once(execute: Any, *args: Any) -> Any:
        queries.append(args)
        if len(queries) == 1:
            raise DatabaseError("unavailable")
        return execute(*args)

    generation = order()
    with connection.execute_wrapper(fail_once):
        result = results.wait(generation, seconds=HANG_SECONDS)

    assert result.is_completed


@pytest.mark.once
def test_the_default_wait_depends_on_the_model() -> None:
    assert [results.default_wait_seconds(slug) for slug in ("flux-schnell", "removed-1")] == [300, 300]
    assert 300 < max(map(results.default_wait_seconds, MODELS)) <= 1800
