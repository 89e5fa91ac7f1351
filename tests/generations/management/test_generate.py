"""`manage.py generate`: orders, waits, saves; and says by its exit status what came of it."""

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
from tests.fixtures.orders import Ordering
from tests.helpers.background_work import Work, at_work
from tests.services.processes import Processes
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The background work goes on beside the command."""
    with at_work():
        yield


def ends_with(status: int, *words: str, **options: Any) -> str:
    """The command ends with that status; its last words."""
    with pytest.raises(CommandError) as end:
        call_command("generate", *words, **{"model": "flux-schnell", "user": "alice", **options})
    assert end.value.returncode == status
    return str(end.value)


# --- What comes of it ---


@pytest.mark.once
def test_a_picture_is_ordered_waited_for_and_saved(
    fal: Simulator, limn: Processes, alice: Account, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limn("work")

    call_command(
        "generate", "a cat", "--model", "flux-schnell", "--set", "seed=7", "--out", tmp_path, "--user", "alice"
    )

    said, told = capfd.readouterr()
    generation = Generation.objects.get()
    saved = Path(said.strip())
    assert (saved.parent, saved.stem) == (tmp_path, f"{generation.pk}-0")
    with Image.open(saved) as picture:
        assert picture.format == {".png": "PNG", ".jpg": "JPEG"}[saved.suffix]
    assert generation.input == {"prompt": "a cat", "seed": 7}
    assert f"{generation.pk} is ordered for 3 credits." in told
    assert re.search(r"\[#{24}\] 100 %  .*\nCompleted in [\d.]+ s. Charged: 3 credits.\n", told)


def test_a_failure_is_1_and_says_why_and_what_it_cost(fal: Simulator, alice: Account, working: None) -> None:
    fal.script("fail:content_policy_violation")

    words = ends_with(1, "a cat")

    assert words.startswith("content_policy: ")
    assert words.endswith(" Charged: 0 credits.")


def test_when_the_time_is_over_it_goes_on_and_no_worker_is_said(
    fal: Simulator, alice: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    fal.always("hold", "callback:lost")

    words = ends_with(124, "a cat", timeout=0.1)

    generation, said = Generation.objects.get(), capfd.readouterr()
    assert str(generation.pk) in words
    assert generation.phase == Phase.WAITING
    assert "No worker is alive (last seen: never). It waits until you start one: manage.py work" in said.err


@pytest.fixture
def sigint_is_heard() -> Iterator[None]:
    """A test run that was started as a background job ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_it_running_and_says_so(
    fal: Simulator, alice: Account, monkeypatch: pytest.MonkeyPatch, sigint_is_heard: None
) -> None:
    fal.always("hold", "callback:lost")
    # At the first look, so that it meets the waiting for certain.
    monkeypatch.setattr(generate, "_silence", lambda: signal.raise_signal(signal.SIGINT))

    words = ends_with(130, "a cat")

    generation = Generation.objects.get()
    assert words == f"{generation.pk} goes on without us."
    assert generation.status == Status.PROCESSING


def test_a_file_that_is_there_is_left_alone(fal: Simulator, order: Ordering, work: Work, tmp_path: Path) -> None:
    result = results.of(work.to_the_end(order()))
    saved = generate._save(result, result.outputs[0], tmp_path)
    saved.write_text("precious")

    with pytest.raises(CommandError, match="is there already") as end:
        generate._save(result, result.outputs[0], tmp_path)

    assert (end.value.returncode, saved.read_text()) == (1, "precious")


def test_half_a_file_is_not_left_behind(fal: Simulator, order: Ordering, work: Work, tmp_path: Path, settings) -> None:
    result = results.of(work.to_the_end(order()))
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": str(tmp_path / "gone")}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}

    with pytest.raises(CommandError, match="could not be written"):
        generate._save(result, result.outputs[0], tmp_path)

    assert list(tmp_path.iterdir()) == []


# --- What is refused ---


@pytest.mark.parametrize(
    "options, words",
    [
        ({"model": "flux-nonsense"}, "There is no model “flux-nonsense”"),
        ({"set": ["seeds=7"]}, "seeds: "),
        ({"set": ["seed"]}, "write it like --set seed=7"),
        ({"set": ["num_images=900"]}, "num_images: "),
        ({"preset": "fine"}, "There is no preset “fine”"),
        ({"user": "nobody"}, "There is no user “nobody”"),
        ({"user": None}, "--user NAME"),
        ({"out": "/nowhere/at/all"}, "there is no such folder"),
    ],
)
def test_wrong_usage_is_2_and_orders_nothing(alice: Account, options: dict[str, Any], words: str) -> None:
    assert words in ends_with(2, "a cat", **options)
    assert Generation.objects.count() == 0


@pytest.mark.parametrize(
    "options, words",
    [
        ({"max_credits": 2}, "max_credits_exceeded: This costs 3 credits, and --max-credits is 2."),
        ({"user": "poor"}, "refused: "),
    ],
)
def test_what_is_refused_is_1_and_holds_nothing(alice: Account, options: dict[str, Any], words: str) -> None:
    User.objects.create_user("poor")

    assert words in ends_with(1, "a cat", **options)
    assert Generation.objects.count() == 0


def test_who_pays_when_nobody_is_named() -> None:
    chief = User.objects.create_superuser("chief")
    assert generate._user(None) == chief

    demo = User.objects.create_user("demo")
    assert generate._user(None) == demo


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
def test_a_value_is_of_the_kind_that_its_input_takes(name: str, text: str, value: Any) -> None:
    asked = generate._asked(find("flux-schnell"), {"prompt": None, "set": [f"{name}={text}"]})

    assert asked == {name: value}


@pytest.mark.parametrize("slug, name", [("flux-schnell", "prompt"), ("eleven-v3", "text"), ("tripo-v2.5", "prompt")])
def test_the_words_become_the_models_main_text(slug: str, name: str) -> None:
    asked = generate._asked(find(slug), {"prompt": "good evening", "set": []})

    assert asked == {name: "good evening"}


# --- The result, for Python callers ---


def test_a_result_has_all_that_a_program_needs(fal: Simulator, order: Ordering, work: Work) -> None:
    result = results.of(work.to_the_end(order()))

    (file,) = result.outputs
    assert (result.is_done, result.is_completed, result.credits, result.error) == (True, True, 3, None)
    assert (result.processing_seconds or 0) > 0
    assert result.model_url is not None
    assert "/api/v1/outputs/" in result.model_url
    assert (file.index, file.counts, file.size_bytes > 0, len(file.sha256)) == (0, True, True, 64)


def test_waiting_outlives_a_database_that_is_away_for_a_moment(
    fal: Simulator, order: Ordering, working: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Any] = []

    def away_once(*args: Any) -> Any:
        looks.append(args)
        if len(looks) == 1:
            raise DatabaseError("away")
        execute, *rest = args
        return execute(*rest)

    generation = order()
    with connection.execute_wrapper(away_once):
        result = results.wait(generation, seconds=HANG_SECONDS)

    assert result.is_completed


@pytest.mark.once
@pytest.mark.parametrize("slug, seconds", [("flux-schnell", 300), ("gone", 300)])
def test_how_long_to_wait_goes_by_the_model(slug: str, seconds: int) -> None:
    assert results.default_wait_seconds(slug) == seconds
    assert max(map(results.default_wait_seconds, MODELS)) <= 1800
