"""Input files of an order: which may be named, what fal is sent, and what is recorded."""

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
from generations.models import FailureCode, Generation, InputFile, Output, Submission, Upload
from generations.ordering import input_files
from generations.ordering.orders import Order
from generations.workers import submitter
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, completed, order, patient_fal, running, storing
from tests.fixtures.uploads import UPLOADS, read_url
from tests.helpers.background_work import Work
from tests.helpers.images import age_uploads, picture, ready_upload, stored_bytes
from tests.helpers.scripted_servers import serving
from tests.helpers.threads import at_once
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS, a_lock_is_awaited, until

__all__ = ["completed", "order", "patient_fal", "running", "storing"]
pytestmark = pytest.mark.django_db(transaction=True)
PlaceOrder = Callable[..., Generation]


def edit(*images: Any) -> dict[str, Any]:
    """The body of an order that edits these images."""
    return {"model": "flux-2-edit", "input": {"prompt": "make it snow", "image_urls": list(images)}}


def sent_to(fal: Simulator) -> list[str]:
    """The images of all orders that fal has accepted."""
    return [url for request in fal.log.accepted() for url in request.inputs["image_urls"]]


# --- What fal is sent ---


@pytest.mark.usefixtures("each_storage")
def test_fal_is_sent_urls_that_it_can_fetch(
    api: APIClient, alice: User, completed: PlaceOrder, fal: Simulator, settings
) -> None:
    settings.SITE_URL = "http://testserver"
    upload, output = ready_upload(alice), completed().outputs.get()

    answer = api.post(GENERATIONS, edit({"upload": str(upload.pk)}, {"output": str(output.pk)}))

    assert answer.status_code == 202, answer.content
    first, second = sent_to(fal)
    assert read_url(first) == stored_bytes(upload.key)
    assert read_url(second) == stored_bytes(output.key)


def test_the_input_keeps_the_id_and_the_arguments_keep_the_url(
    api: APIClient, alice: User, patient_fal: Simulator
) -> None:
    """fal's request history is searched by the arguments if the response to a submission is lost."""
    body = edit({"upload": str(ready_upload(alice).pk)})

    answer = api.post(GENERATIONS, body).json()

    assert answer["input"] == body["input"]
    generation = Generation.objects.get()
    # Only the seed is added to them: each submission has one of its own.
    seed = generation.submissions.get().seed
    assert {**generation.arguments, "seed": seed} == patient_fal.log.accepted()[0].inputs


def test_a4_a_lost_response_is_found_in_the_history_although_urls_differ(
    api: APIClient, alice: User, fal: Simulator
) -> None:
    """No second job is paid for."""
    fal.script("drop_after_accept", "callback:lost")
    api.post(GENERATIONS, edit({"upload": str(ready_upload(alice).pk)}))

    generation = Work().until_done(Generation.objects.get())

    assert (generation.status, len(fal.log.accepted())) == ("completed", 1)
    assert generation.submissions.get().state == Submission.State.ACCEPTED


def test_each_submission_gets_a_new_url(bucket: Bucket, api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("status:429")
    api.post(GENERATIONS, edit({"upload": str(ready_upload(alice).pk)}))
    first = Generation.objects.get().arguments["image_urls"][0]
    Generation.objects.update(arguments={**Generation.objects.get().arguments, "image_urls": ["stale"]})

    Work().submit()

    (second,) = sent_to(fal)
    assert "X-Amz-Signature" in first
    assert second.startswith(bucket.endpoint_url)


INPUTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "flux-2-edit": lambda reference: edit(reference)["input"],
    "veo3.1-fast-image": lambda reference: {"prompt": "it moves", "duration": "4s", "image_url": reference},
}


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("slug", INPUTS)
def test_a_url_is_valid_until_after_the_deadline(
    slug: str, api: APIClient, alice: User, patient_fal: Simulator
) -> None:
    inputs = INPUTS[slug]({"upload": str(ready_upload(alice).pk)})

    assert api.post(GENERATIONS, {"model": slug, "input": inputs}).status_code == 202

    sent = str(patient_fal.log.accepted()[0].inputs)
    seconds = int(sent.partition("X-Amz-Expires=")[2].partition("&")[0])
    assert seconds >= find(slug).deadline_seconds + 3600


# --- Uploads and outputs ---


@pytest.fixture
def nothing_is_ordered() -> Iterator[None]:
    yield
    assert not Generation.objects.exists()
    assert not Hold.objects.exists()


@pytest.mark.usefixtures("nothing_is_ordered")
def test_g22_uploads_of_others_look_like_ones_that_do_not_exist(api: APIClient, bob: User, alice: User) -> None:
    pending = uploads.create(Account.objects.for_user(alice), file_name="a", content_type="image/png", size_bytes=9)
    ids = [ready_upload(bob).pk, uuid4(), pending.pk]

    answers = [api.post(GENERATIONS, edit({"upload": str(each)})) for each in ids]

    assert [answer.status_code for answer in answers] == [422, 422, 422]
    (error,) = {str(answer.json()["errors"]) for answer in answers}
    assert "There is no such upload." in error
    assert answers[0].json()["errors"][0]["loc"] == ["input", "image_urls", 0]


def test_g22_outputs_of_others_look_like_ones_that_do_not_exist(api_of_bob: APIClient, completed: PlaceOrder) -> None:
    answer = api_of_bob.post(GENERATIONS, edit({"output": str(completed().outputs.get().pk)}))

    assert [(error["msg"], error["type"]) for error in answer.json()["errors"]] == [
        ("There is no such output.", "not_found")
    ]


def test_an_output_of_another_kind_is_refused(api: APIClient, completed: PlaceOrder) -> None:
    output = completed().outputs.get()
    Output.objects.update(kind="video")

    both = api.post(GENERATIONS, edit("nonsense", {"output": str(output.pk)}))
    alone = api.post(GENERATIONS, edit({"output": str(output.pk)}))

    assert both.json()["errors"][0]["loc"] == ["input", "image_urls", 0]
    assert [error["type"] for error in alone.json()["errors"]] == ["not_a_picture"]


WRONG_REFERENCES: list[dict[str, Any]] = [
    {"upload": "x"},
    {"upload": 5},
    {"output": None},
    {"upload": "019c0000-0000-7000-8000-000000000001", "output": "019c0000-0000-7000-8000-000000000002"},
    {},
    {"key": "a"},
]


@pytest.mark.once
@pytest.mark.usefixtures("nothing_is_ordered")
def test_a_malformed_reference_is_refused(api: APIClient) -> None:
    for reference in WRONG_REFERENCES:
        answer = api.post(GENERATIONS, edit(reference))

        assert [error["type"] for error in answer.json()["errors"]] == ["file"], reference


def test_errors_of_a_batch_begin_with_the_index_of_the_order(
    api: APIClient, alice: User, patient_fal: Simulator
) -> None:
    good = {"image_url": {"upload": str(ready_upload(alice).pk)}}
    bad = {"image_url": {"upload": str(uuid4())}}

    refused = api.post("/api/v1/batches/", {"model": "tripo-v2.5", "inputs": [good, bad]})
    accepted = api.post("/api/v1/batches/", {"model": "tripo-v2.5", "inputs": [good, good]})

    assert [error["loc"] for error in refused.json()["errors"]] == [["inputs", 1, "image_url"]]
    assert accepted.status_code == 202, accepted.content
    assert InputFile.objects.filter(path="image_url").count() == 2


# --- Files by URL ---


@pytest.fixture
def image_url(order: PlaceOrder, fal: Simulator) -> str:
    """The URL of an image at fal, on a host that FAL_MEDIA_HOSTS names."""
    Work().until_done(order())
    return f"{fal.url}{fal.log.files()[0].path}"


def test_an_image_that_can_be_fetched_is_accepted(api: APIClient, image_url: str, fal: Simulator) -> None:
    answer = api.post(GENERATIONS, edit(image_url))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["image_urls"] == [image_url]


@pytest.mark.usefixtures("nothing_is_ordered")
def test_a_file_that_cannot_be_fetched_is_reported_before_anything_is_held(api: APIClient, fal: Simulator) -> None:
    missing, page = f"{fal.url}/files/nothing.png", f"{fal.url}/"

    answer = api.post(GENERATIONS, edit(missing, page, "http://127.0.0.1:9/a.png", "https://nowhere.invalid/a.png"))

    assert answer.status_code == 422
    assert {tuple(error["loc"]): error["type"] for error in answer.json()["errors"]} == {
        ("input", "image_urls", 0): "file_download_error",
        ("input", "image_urls", 1): "image_load_error",
        ("input", "image_urls", 2): "file_download_error",
        ("input", "image_urls", 3): "file_download_error",
    }
    assert "nowhere.invalid" not in answer.json()["detail"]


@pytest.mark.usefixtures("nothing_is_ordered")
def test_g17_g19_a_service_of_this_machine_is_never_contacted(api: APIClient) -> None:
    with serving(lambda visit: visit.send(b"HTTP/1.1 200 OK\r\n\r\n" + picture())) as service:
        answer = api.post(GENERATIONS, edit(service.url.replace("127.0.0.1", "localhost"), service.url))

    assert [error["type"] for error in answer.json()["errors"]] == ["file_download_error"] * 2
    assert service.connections == 0


def test_a_file_that_is_named_several_times_is_fetched_once(api: APIClient, image_url: str, fal: Simulator) -> None:
    before = len(fal.log.served())

    api.post(GENERATIONS, edit(image_url, image_url, image_url))

    assert len(fal.log.served()) - before == 1


# --- Whether fal can reach the storage ---


@pytest.mark.usefixtures("nothing_is_ordered")
def test_files_that_fal_cannot_reach_are_reported_before_anything_is_held(
    api: APIClient, alice: User, settings
) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"

    answer = api.post(GENERATIONS, edit({"upload": str(ready_upload(alice).pk)}))

    assert (answer.status_code, answer.json()["code"]) == (503, "files_unreachable")
    assert "SITE_URL" in answer.json()["detail"]


def order_of(upload_id: Any) -> Order:
    model, inputs = find("flux-2-edit"), edit({"upload": str(upload_id)})["input"]
    return Order(model=model, inputs=model.read(inputs), raw_input=inputs)


def test_files_at_a_public_address_can_be_reached(alice: User, settings) -> None:
    upload = ready_upload(alice)
    settings.FAL_QUEUE_URL = "https://queue.fal.run"
    with pytest.raises(input_files.FilesUnreachable):
        input_files.check(upload.account, order_of(upload.pk))

    settings.SITE_URL = "https://limn.example.com"

    input_files.check(upload.account, order_of(upload.pk))


# --- What is recorded ---


def test_the_json_names_the_sources_of_a_generation(
    api: APIClient, alice: User, completed: PlaceOrder, patient_fal: Simulator
) -> None:
    parent, upload = completed(), ready_upload(alice)
    output = parent.outputs.get()

    body = api.post(GENERATIONS, edit({"upload": str(upload.pk)}, {"output": str(output.pk)})).json()

    assert body["parent"] == str(parent.pk)
    assert body["sources"] == [
        {"path": "image_urls[0]", "upload": str(upload.pk), "output": None, "generation": None},
        {"path": "image_urls[1]", "upload": None, "output": str(output.pk), "generation": str(parent.pk)},
    ]
    assert api.get(f"{GENERATIONS}{parent.pk}/").json()["parent"] is None


def test_an_upload_cannot_be_erased_while_a_generation_needs_it(api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("hold")
    upload = ready_upload(alice)
    api.post(GENERATIONS, edit({"upload": str(upload.pk)}))
    url = f"{UPLOADS}{upload.pk}/"

    refused = api.delete(url)
    lifecycle.failed(Generation.objects.get(), lifecycle.failure(FailureCode.CANCELLED), actor="test")

    assert (refused.status_code, refused.json()["code"]) == (409, "in_use")
    assert api.delete(url).status_code == 204
    assert InputFile.objects.get().upload_id == upload.pk


@pytest.mark.usefixtures("nothing_is_ordered")
def test_an_upload_that_is_erased_after_the_check_is_not_used(
    api: APIClient, alice: User, fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, check = ready_upload(alice), input_files.check

    def check_and_erase(*arguments: Any) -> None:
        check(*arguments)
        uploads.erase(upload)

    monkeypatch.setattr(input_files, "check", check_and_erase)
    answer = api.post(GENERATIONS, edit({"upload": str(upload.pk)}))

    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["input", "image_urls", 0])


class Race:
    """An order and an erasure of its upload, which happens after the order has loaded the upload."""

    def __init__(self, upload: Upload, *, locking: bool) -> None:
        self.upload, self.locking, self.load_files = upload, locking, input_files._load_files
        self.loaded, self.erased = Event(), Event()

    def load_and_wait(self, account: Account, names: Any, *, lock: bool) -> Any:
        """Replaces `_load_files`: waits until the upload is erased, or its erasure waits for a lock."""
        found = self.load_files(account, names, lock=lock and self.locking)
        if lock:
            self.loaded.set()
            until(lambda: self.erased.is_set() or a_lock_is_awaited())
        return found

    def erase(self) -> str:
        self.loaded.wait(HANG_SECONDS)
        try:
            uploads.erase(self.upload)
        except uploads.UploadInUse:
            return "in use"
        finally:
            self.erased.set()
        return "erased"

    def order(self) -> str:
        generation, *_ = lifecycle.order(self.upload.account, order_of(self.upload.pk), actor="test")
        return str(generation.phase)


@pytest.mark.only_postgresql
@pytest.mark.parametrize("locking, results", [(True, ["queued", "in use"]), (False, ["queued", "erased"])])
def test_an_erasure_during_an_order_waits_and_is_refused(
    alice: User, monkeypatch: pytest.MonkeyPatch, locking: bool, results: list[str]
) -> None:
    """The second case is the negative control: without the lock, the order uses an erased upload."""
    race = Race(ready_upload(alice), locking=locking)
    monkeypatch.setattr(input_files, "_load_files", race.load_and_wait)

    assert at_once(2, lambda number: race.erase() if number else race.order()) == results


def test_a_retry_uses_the_same_files(api: APIClient, alice: User, fal: Simulator) -> None:
    fal.script("fail:downstream_service_error")
    upload = ready_upload(alice)
    created = api.post(GENERATIONS, edit({"upload": str(upload.pk)})).json()
    failed = Work().until_done(Generation.objects.get(pk=created["id"]))

    again = api.post(f"{GENERATIONS}{failed.pk}/retry/", {})

    assert again.status_code == 202, again.content
    assert [source["upload"] for source in again.json()["sources"]] == [str(upload.pk)]


def test_an_upload_that_was_used_is_not_cleaned_up(api: APIClient, alice: User, patient_fal: Simulator) -> None:
    upload = ready_upload(alice)
    api.post(GENERATIONS, edit({"upload": str(upload.pk)}))

    age_uploads(60 * 24 * 365)
    uploads.clean_up(limit=10)

    assert storage.measure(upload.key).sha256 == Upload.objects.ready().get().sha256


@pytest.mark.usefixtures("nothing_is_ordered")
def test_the_lifecycle_itself_refuses_a_file_that_does_not_exist(alice: User) -> None:
    with pytest.raises(InvalidInput, match="There is no such upload"):
        lifecycle.order(Account.objects.for_user(alice), order_of(uuid4()), actor="test")

    assert submitter.run_once(limit=1) == 0
