"""A generation that works on pictures: which may be named, what fal is sent, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from credits.models import Account, Hold
from generations import lifecycle
from generations.catalogue import InvalidInput, find
from generations.files import storage, uploads
from generations.models import Generation, InputFile, Output, Submission, Upload
from generations.ordering import input_files
from generations.ordering.orders import Order
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, completed, order, patient_fal, running, storing
from tests.fixtures.uploads import UPLOADS, fetched
from tests.helpers.background_work import Work
from tests.helpers.images import age, brought, lying, picture
from tests.helpers.scripted_servers import serving
from tests.helpers.threads import at_once
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

__all__ = ["completed", "order", "patient_fal", "running", "storing"]
pytestmark = pytest.mark.django_db(transaction=True)
Ordering = Callable[..., Generation]


def edit(*pictures: Any) -> dict[str, Any]:
    return {"model": "flux-2-edit", "input": {"prompt": "make it snow", "image_urls": list(pictures)}}


def sent_to(fal: Simulator) -> list[str]:
    """The pictures of each order that fal took, one after the other."""
    return [url for request in fal.log.accepted() for url in request.inputs["image_urls"]]


# --- From a picture to a picture ---


@pytest.mark.usefixtures("either")
def test_fal_is_sent_addresses_that_anybody_can_fetch(
    api: APIClient, alice: User, completed: Ordering, fal: Simulator, settings
) -> None:
    settings.SITE_URL = "http://testserver"
    upload, output = brought(alice), completed().outputs.get()

    answer = api.post(GENERATIONS, edit({"upload": str(upload.pk)}, {"output": str(output.pk)}))

    assert answer.status_code == 202, answer.content
    first, second = sent_to(fal)
    assert fetched(first) == lying(upload.key)
    assert fetched(second) == lying(output.key)


def test_what_was_sent_is_kept_as_it_was_asked_and_as_fal_heard_it(
    api: APIClient, alice: User, patient_fal: Simulator
) -> None:
    wish = edit({"upload": str(brought(alice).pk)})

    body = api.post(GENERATIONS, wish).json()

    assert body["input"] == wish["input"]
    # fal's own record is searched by it, should the answer to a submission be lost.
    assert Generation.objects.get().arguments == patient_fal.log.accepted()[0].inputs


def test_a_lost_answer_is_found_in_fals_record_though_addresses_differ(
    api: APIClient, alice: User, fal: Simulator
) -> None:
    """A4: no second job is paid for."""
    fal.script("drop_after_accept", "callback:lost")
    api.post(GENERATIONS, edit({"upload": str(brought(alice).pk)}))

    generation = Work().to_the_end(Generation.objects.get())

    assert (generation.status, len(fal.log.accepted())) == ("completed", 1)
    assert generation.submissions.get().state == Submission.State.ACCEPTED


def test_each_attempt_gets_an_address_of_its_own(bucket: Bucket, api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("status:429")
    api.post(GENERATIONS, edit({"upload": str(brought(alice).pk)}))
    first = Generation.objects.get().arguments["image_urls"][0]
    Generation.objects.update(arguments={**Generation.objects.get().arguments, "image_urls": ["stale"]})

    Work().submit()

    (second,) = sent_to(fal)
    assert "X-Amz-Signature" in first
    assert second.startswith(bucket.endpoint_url)


WISHES = {
    "flux-2-edit": lambda reference: edit(reference)["input"],
    "veo3.1-fast-image": lambda reference: {"prompt": "it moves", "duration": "4s", "image_url": reference},
}


@pytest.mark.parametrize("slug", WISHES)
def test_the_address_outlives_queue_and_retries(
    slug: str, bucket: Bucket, api: APIClient, alice: User, patient_fal: Simulator
) -> None:
    wish = WISHES[slug]({"upload": str(brought(alice).pk)})

    assert api.post(GENERATIONS, {"model": slug, "input": wish}).status_code == 202

    sent = str(patient_fal.log.accepted()[0].inputs)
    seconds = int(sent.partition("X-Amz-Expires=")[2].partition("&")[0])
    assert seconds >= find(slug).deadline_seconds + 3600


# --- Which pictures may be named ---


@pytest.fixture
def nothing_happened() -> Iterator[None]:
    yield
    assert not Generation.objects.exists()
    assert not Hold.objects.exists()


@pytest.mark.usefixtures("nothing_happened")
def test_g22_what_is_somebody_elses_sounds_like_what_does_not_exist(api: APIClient, bob: User, alice: User) -> None:
    unready = uploads.create(Account.objects.for_user(alice), file_name="a", content_type="image/png", size_bytes=9)
    named = [brought(bob).pk, uuid4(), unready.pk]

    answers = [api.post(GENERATIONS, edit({"upload": str(name)})) for name in named]

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    (error,) = {str(answer.json()["errors"]) for answer in answers}
    assert "There is no such upload." in error
    assert answers[0].json()["errors"][0]["loc"] == ["input", "image_urls", 0]


def test_an_output_of_somebody_else_does_not_exist_either(api_of_bob: APIClient, completed: Ordering) -> None:
    answer = api_of_bob.post(GENERATIONS, edit({"output": str(completed().outputs.get().pk)}))

    assert [(error["msg"], error["type"]) for error in answer.json()["errors"]] == [
        ("There is no such output.", "not_found")
    ]


def test_an_output_that_is_no_picture_is_none(api: APIClient, completed: Ordering) -> None:
    output = completed().outputs.get()
    Output.objects.update(kind="video")

    answer = api.post(GENERATIONS, edit("nonsense", {"output": str(output.pk)}))
    other = api.post(GENERATIONS, edit({"output": str(output.pk)}))

    assert answer.json()["errors"][0]["loc"] == ["input", "image_urls", 0]
    assert [error["type"] for error in other.json()["errors"]] == ["not_a_picture"]


@pytest.mark.once
@pytest.mark.usefixtures("nothing_happened")
@pytest.mark.parametrize(
    "picture",
    [
        {"upload": "x"},
        {"upload": 5},
        {"output": None},
        {"upload": "019c0000-0000-7000-8000-000000000001", "output": "019c0000-0000-7000-8000-000000000002"},
        {},
        {"key": "a"},
    ],
    ids=str,
)
def test_what_names_nothing_is_refused_in_words(api: APIClient, picture: object) -> None:
    answer = api.post(GENERATIONS, edit(picture))

    assert [error["type"] for error in answer.json()["errors"]] == ["file"]


def test_in_a_batch_each_wish_is_told_by_its_number(api: APIClient, alice: User, patient_fal: Simulator) -> None:
    good = {"image_url": {"upload": str(brought(alice).pk)}}
    bad = {"image_url": {"upload": str(uuid4())}}

    refused = api.post("/api/v1/batches/", {"model": "tripo-v2.5", "inputs": [good, bad]})
    taken = api.post("/api/v1/batches/", {"model": "tripo-v2.5", "inputs": [good, good]})

    assert [error["loc"] for error in refused.json()["errors"]] == [["inputs", 1, "image_url"]]
    assert taken.status_code == 202, taken.content
    assert InputFile.objects.filter(path="image_url").count() == 2


# --- Pictures by address ---


def at_fal(fal: Simulator, made: Generation) -> str:
    """Where fal keeps what it made, on a host that FAL_MEDIA_HOSTS names."""
    return f"{fal.url}{fal.log.files()[0].path}"


def test_a_picture_that_can_be_fetched_is_ordered_with(api: APIClient, order: Ordering, fal: Simulator) -> None:
    made = Work().to_the_end(order())

    answer = api.post(GENERATIONS, edit(at_fal(fal, made)))

    assert answer.status_code == 202, answer.content
    assert sent_to_last(fal) == [at_fal(fal, made)]


def sent_to_last(fal: Simulator) -> list[str]:
    return [str(url) for url in fal.log.accepted()[-1].inputs["image_urls"]]


@pytest.mark.usefixtures("nothing_happened")
def test_what_cannot_be_fetched_is_told_before_anything_is_held(api: APIClient, fal: Simulator) -> None:
    nothing, film = f"{fal.url}/files/nothing.png", f"{fal.url}/"

    answer = api.post(GENERATIONS, edit(nothing, film, "http://127.0.0.1:9/a.png", "https://nowhere.invalid/a.png"))

    assert answer.status_code == 422
    told = {tuple(error["loc"]): error["type"] for error in answer.json()["errors"]}
    assert told == {
        ("input", "image_urls", 0): "file_download_error",
        ("input", "image_urls", 1): "image_load_error",
        ("input", "image_urls", 2): "file_download_error",
        ("input", "image_urls", 3): "file_download_error",
    }
    assert "nowhere.invalid" not in answer.json()["detail"]


@pytest.mark.usefixtures("nothing_happened")
def test_g17_g19_a_service_of_this_machine_is_never_dialled(api: APIClient) -> None:
    with serving(lambda visit: visit.send(b"HTTP/1.1 200 OK\r\n\r\n" + picture())) as service:
        answer = api.post(GENERATIONS, edit(service.url.replace("127.0.0.1", "localhost"), service.url))

    assert [error["type"] for error in answer.json()["errors"]] == ["file_download_error"] * 2
    assert service.connections == 0


def test_a_picture_that_was_checked_once_is_fetched_once(api: APIClient, order: Ordering, fal: Simulator) -> None:
    url = at_fal(fal, Work().to_the_end(order()))
    before = len(fal.log.served())

    api.post(GENERATIONS, edit(url, url, url))

    assert len(fal.log.served()) - before == 1


# --- Where fal can reach ---


@pytest.mark.usefixtures("nothing_happened")
def test_files_on_a_machine_that_fal_cannot_reach_are_told_before_anything_is_held(
    api: APIClient, alice: User, settings
) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"

    answer = api.post(GENERATIONS, edit({"upload": str(brought(alice).pk)}))

    assert (answer.status_code, answer.json()["code"]) == (503, "files_unreachable")
    assert "SITE_URL" in answer.json()["detail"]


def test_with_a_public_address_fal_can_reach_them(alice: User, settings) -> None:
    settings.FAL_QUEUE_URL, settings.SITE_URL = "https://queue.fal.run", "https://limn.example.com"

    assert input_files._require_reachable(brought(alice)) is None  # type: ignore[func-returns-value]


# --- Lineage ---


def test_lineage_is_told_in_the_json(api: APIClient, alice: User, completed: Ordering, patient_fal: Simulator) -> None:
    parent, upload = completed(), brought(alice)
    output = parent.outputs.get()

    body = api.post(GENERATIONS, edit({"upload": str(upload.pk)}, {"output": str(output.pk)})).json()

    assert body["parent"] == str(parent.pk)
    assert body["sources"] == [
        {"path": "image_urls[0]", "upload": str(upload.pk), "output": None, "generation": None},
        {"path": "image_urls[1]", "upload": None, "output": str(output.pk), "generation": str(parent.pk)},
    ]
    assert api.get(f"{GENERATIONS}{parent.pk}/").json()["parent"] is None


def test_what_is_needed_cannot_be_erased_until_it_is_done(api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("hold")
    upload = brought(alice)
    api.post(GENERATIONS, edit({"upload": str(upload.pk)}))
    address = f"{UPLOADS}{upload.pk}/"

    refused = api.delete(address)
    lifecycle.failed(Generation.objects.get(), lifecycle.failure("cancelled"), actor="test")  # type: ignore[arg-type]

    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert api.delete(address).status_code == 204
    assert InputFile.objects.get().upload_id == upload.pk


def test_what_was_erased_between_look_and_order_is_not_ordered_with(
    api: APIClient, alice: User, fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, check = brought(alice), input_files.check

    def check_and_erase(*words: Any) -> None:
        check(*words)
        uploads.erase(upload)

    monkeypatch.setattr(input_files, "check", check_and_erase)
    answer = api.post(GENERATIONS, edit({"upload": str(upload.pk)}))

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["input", "image_urls", 0])
    assert not Generation.objects.exists()
    assert not Hold.objects.exists()


class Between:
    """Stands between the order's look at its pictures and the row that says so; somebody erases one meanwhile."""

    def __init__(self, upload: Upload, *, locking: bool) -> None:
        self.upload, self.locking, self.files = upload, locking, input_files._files
        self.looked, self.erased = Event(), Event()

    def look(self, account: Account, names: Any, *, lock: bool) -> Any:
        found = self.files(account, names, lock=lock and self.locking)
        if lock:
            self.looked.set()
            until(lambda: self.erased.is_set() or a_lock_is_awaited())
        return found

    def erase(self) -> str:
        self.looked.wait(HANG_SECONDS)
        try:
            uploads.erase(self.upload)
        except uploads.UploadInUse:
            return "in use"
        finally:
            self.erased.set()
        return "erased"

    def order(self) -> str:
        model, asked = find("flux-2-edit"), edit({"upload": str(self.upload.pk)})["input"]
        wish = Order(model=model, inputs=model.read(asked), raw_input=asked)
        return str(lifecycle.order(self.upload.account, wish, actor="test")[0].phase)


@pytest.mark.only_postgresql
@pytest.mark.parametrize("locking, ends", [(True, ["queued", "in use"]), (False, ["queued", "erased"])])
def test_who_erases_while_it_is_ordered_with_waits_and_hears_that_it_is_needed(
    alice: User, monkeypatch: pytest.MonkeyPatch, locking: bool, ends: list[str]
) -> None:
    """The second is the negative control: without the lock, an order stands on what is gone."""
    between = Between(brought(alice), locking=locking)
    monkeypatch.setattr(input_files, "_files", between.look)

    assert at_once(2, lambda number: between.erase() if number else between.order()) == ends


def test_a_retry_works_on_the_same_pictures(api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("fail:downstream_service_error")
    upload = brought(alice)
    failed = Work().to_the_end(
        Generation.objects.get(pk=api.post(GENERATIONS, edit({"upload": str(upload.pk)})).json()["id"])
    )

    again = api.post(f"{GENERATIONS}{failed.pk}/retry/", {})

    assert again.status_code == 202, again.content
    assert [source["upload"] for source in again.json()["sources"]] == [str(upload.pk)]


def test_a_used_upload_is_not_swept(api: APIClient, alice: User, patient_fal: Simulator) -> None:
    upload = brought(alice)
    api.post(GENERATIONS, edit({"upload": str(upload.pk)}))

    age(60 * 24 * 365)
    uploads.sweep(limit=10)

    assert storage.measure(upload.key).sha256 == Upload.objects.ready().get().sha256


def test_an_order_past_the_doors_must_name_what_there_is(alice: User) -> None:
    model, asked = find("flux-2-edit"), edit({"upload": str(uuid4())})["input"]
    wish = Order(model=model, inputs=model.read(asked), raw_input=asked)

    with pytest.raises(InvalidInput, match="There is no such upload"):
        lifecycle.order(Account.objects.for_user(alice), wish, actor="test")

    assert not Generation.objects.exists()
    assert submitter.run_once(limit=1) == 0
