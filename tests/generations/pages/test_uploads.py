"""Images in the pages, in a browser without JavaScript: uploaded with an order, kept, used again and deleted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from credits.models import Account, Hold
from generations.files import uploads
from generations.models import Generation, Upload
from generations.pages.form_uploads import FORM_BYTES_MAX
from generations.provider import circuit_breaker
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder, page_of
from tests.generations.pages.test_forms import typed
from tests.helpers.background_work import Work
from tests.helpers.images import picture, ready_upload
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db(transaction=True)
EDIT = "/new/flux-2-edit/"
NONCE = "0123456789abcdef" * 2


def file(content: bytes = b"", name: str = "fox.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content or picture(), "image/png")


def form_with(*files: SimpleUploadedFile, **changes: Any) -> dict[str, Any]:
    return {**typed("flux-2-edit", image_urls=""), "image_urls-file": list(files), **changes}


# --- Images in the order form ---


def test_images_are_uploaded_and_ordered_with_one_form(browser_of_alice: Client, fal: Simulator) -> None:
    detail = browser_of_alice.post(EDIT, form_with(file(), file(picture("JPEG"), "cat.jpg")), follow=True)

    generation = Generation.objects.get()
    assert detail.redirect_chain == [(page_of(generation), 302)]
    assert [source.path for source in generation.input_files.all()] == ["image_urls[0]", "image_urls[1]"]
    assert generation.credits == 12 * 3
    assert 'alt="cat.jpg"' in detail.text


def test_an_error_in_another_field_keeps_the_images(browser_of_alice: Client, fal: Simulator) -> None:
    form = browser_of_alice.post(EDIT, form_with(file(), num_images="9"))

    kept = re.findall(r'name="image_urls-kept" value="(upload:[0-9a-f-]+)" checked', form.text)
    corrected = browser_of_alice.post(EDIT, {**form_with(), "image_urls-kept": kept})

    assert (form.status_code, len(kept)) == (422, 1)
    assert corrected.headers["Location"] == page_of(Generation.objects.get())
    assert Upload.objects.count() == 1


@pytest.mark.parametrize("button", [{"price": ""}, {"preset": "none"}])
def test_the_buttons_that_do_not_order_keep_the_images(browser_of_alice: Client, button: dict[str, str]) -> None:
    form = browser_of_alice.post(EDIT, form_with(file(), **button))

    assert 'name="image_urls-kept"' in form.text
    assert '<span class="amount">24</span>' in form.text
    assert not Generation.objects.exists()


def test_a_file_that_is_no_image_is_reported_and_the_others_are_kept(browser_of_alice: Client) -> None:
    form = browser_of_alice.post(EDIT, form_with(file(), file(b"<script>", "<b>evil.png")))

    assert form.status_code == 422
    assert "&lt;b&gt;evil.png: not a complete PNG, JPEG or WebP" in form.text
    assert form.text.count('name="image_urls-kept"') == 1
    assert not Hold.objects.exists()


def test_a_missing_image_is_reported_at_its_field(browser_of_alice: Client) -> None:
    form = browser_of_alice.post(EDIT, form_with())

    assert 'id="input-image_urls-errors">Please fill this in.' in form.text


def test_a_double_click_with_uploads_places_one_order(browser_of_alice: Client, fal: Simulator) -> None:
    first, second = (browser_of_alice.post(EDIT, form_with(file(), nonce=NONCE)) for _ in range(2))

    assert first.headers["Location"] == second.headers["Location"]
    assert Generation.objects.count() == len(fal.log.posts()) == 1
    assert [upload.state for upload in Upload.objects.order_by("id")] == ["ready", "erased"]


def test_an_image_url_that_cannot_be_fetched_is_reported(browser_of_alice: Client, fal: Simulator) -> None:
    form = browser_of_alice.post(EDIT, form_with(image_urls=f"{fal.url}/files/nothing.png"))

    assert form.status_code == 422
    assert "There is no file at this URL" in form.text
    assert f"{fal.url}/files/nothing.png</textarea>" in form.text
    assert not Hold.objects.exists()


def test_images_that_fal_could_not_fetch_from_limn_are_rejected(browser_of_alice: Client, settings: Any) -> None:
    settings.FAL_QUEUE_URL = "https://queue.fal.run"

    form = browser_of_alice.post(EDIT, form_with(file()))

    assert (form.status_code, "SITE_URL" in form.text) == (503, True)
    assert not Hold.objects.exists()


def test_while_the_circuit_breaker_is_open_the_form_keeps_its_images(browser_of_alice: Client) -> None:
    circuit_breaker.trip("Exhausted balance")

    form = browser_of_alice.post(EDIT, form_with(file()))

    assert (form.status_code, form.text.count('name="image_urls-kept"')) == (503, 1)
    assert "balance" not in form.text.partition('role="alert"')[2][:200]


def test_the_price_counts_images_that_are_chosen_but_not_sent(browser_of_alice: Client) -> None:
    chosen = {**typed("flux-2-edit", image_urls=""), "image_urls-file": ["[object File]", "[object File]"]}

    assert '<span class="amount">36</span>' in browser_of_alice.post(f"{EDIT}price/", chosen).text


def test_a_form_that_is_too_large_is_rejected_before_it_is_stored(browser_of_alice: Client) -> None:
    response = browser_of_alice.post(EDIT, form_with(file()), headers={"Content-Length": str(FORM_BYTES_MAX + 1)})

    assert response.status_code in (400, 413)
    assert not Upload.objects.exists()


def test_an_exceeded_quota_links_to_the_uploads(browser_of_alice: Client, settings: Any) -> None:
    settings.UPLOAD_MEGABYTES_MAX = 0

    page = browser_of_alice.post(EDIT, form_with(file()))

    assert page.status_code == 422
    assert "Delete uploads" in page.text
    assert page.text.count('href="/uploads/"') == 2


# --- Outputs as input files ---


def test_an_image_can_be_used_for_the_next_order(
    browser_of_alice: Client, finished: PlaceOrder, fal: Simulator
) -> None:
    generation = finished()
    output = generation.outputs.get()

    page = browser_of_alice.get(page_of(generation)).text
    links = re.findall(r'href="(/new/[^"]+\?output=[^"]+)">([^<]+)</a>', page)
    forms = [browser_of_alice.get(url).text for url, _ in links]

    assert [label for _, label in links] == ["Edit this", "Make a video"]
    assert all(f'value="output:{output.pk}" checked' in form for form in forms)


def test_a_generation_and_those_derived_from_it_link_to_each_other(
    browser_of_alice: Client, finished: PlaceOrder, fal: Simulator
) -> None:
    source = finished(prompt="a fox")
    kept = {"image_urls-kept": [f"output:{source.outputs.get().pk}"]}

    browser_of_alice.post(EDIT, {**form_with(prompt="in snow"), **kept})

    derived = Work().until_done(Generation.objects.exclude(pk=source.pk).get())
    assert f'href="{page_of(derived)}">FLUX.2, edit: in snow</a>' in browser_of_alice.get(page_of(source)).text
    assert f'href="{page_of(source)}"><img' in browser_of_alice.get(page_of(derived)).text


def test_an_unknown_output_fills_in_nothing(browser_of_alice: Client) -> None:
    for output in ("nonsense", "01a1f95a-5151-7460-ad21-5be2c2129ed5"):
        form = browser_of_alice.get(f"{EDIT}?output={output}")

        assert (form.status_code, "image_urls-kept" in form.text) == (200, False)


def test_an_earlier_generation_fills_in_its_uploads(browser_of_alice: Client, alice: User, order: PlaceOrder) -> None:
    upload = ready_upload(alice)
    earlier = order("flux-2-edit", prompt="in snow", image_urls=[{"upload": str(upload.pk)}])

    form = browser_of_alice.get(f"{EDIT}?like={earlier.pk}")

    assert f'value="upload:{upload.pk}" checked' in form.text
    assert "one of your files" in browser_of_alice.get(page_of(earlier)).text


# --- The page of uploads ---


def test_the_page_shows_each_upload_with_its_use_and_the_quota(
    browser_of_alice: Client, alice: User, bob: User, fal: Simulator
) -> None:
    browser_of_alice.post(EDIT, form_with(file(name="fox.png")))
    ready_upload(alice, picture(size=(300, 200)), name="<b>hare.png")
    ready_upload(bob, name="wolf.png")

    page = browser_of_alice.get("/uploads/").text

    assert (page.count("Used by 1 generation<"), page.count("Not used")) == (1, 1)
    assert "300 × 200" in page
    assert "&lt;b&gt;hare.png" in page
    assert "wolf.png" not in page
    assert f'value="{sum(upload.size_bytes or 0 for upload in Upload.objects.filter(account__user=alice))}"' in page


def test_the_button_deletes_an_upload(browser_of_alice: Client, alice: User) -> None:
    url = f"/uploads/{ready_upload(alice).pk}/erase/"
    assert f'action="{url}"' in browser_of_alice.get("/uploads/").text

    page = browser_of_alice.post(url, follow=True)

    assert "Deleted: fox.png." in page.text
    assert page.text.count("fox.png") == 1
    assert Upload.objects.get().state == Upload.State.ERASED
    assert browser_of_alice.get(url).status_code == 405


def test_an_upload_in_use_is_kept_with_a_reason(browser_of_alice: Client, fal: Simulator) -> None:
    browser_of_alice.post(EDIT, form_with(file()))
    upload = Upload.objects.get()

    page = browser_of_alice.post(f"/uploads/{upload.pk}/erase/", follow=True)

    assert uploads.UploadInUse.default_detail in page.text
    upload.refresh_from_db()
    assert upload.state == Upload.State.READY


def test_an_upload_is_deleted_while_the_storage_is_unavailable(
    browser_of_alice: Client, alice: User, settings: Any
) -> None:
    upload, unreachable = ready_upload(alice), Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}

    page = browser_of_alice.post(f"/uploads/{upload.pk}/erase/", follow=True)

    assert "It counts towards your quota until its files are removed" in page.text
    assert f'value="{upload.size_bytes}"' in page.text


def test_the_upload_of_another_user_cannot_be_deleted(browser_of_alice: Client, bob: User) -> None:
    upload = ready_upload(bob)

    assert browser_of_alice.post(f"/uploads/{upload.pk}/erase/").status_code == 404

    upload.refresh_from_db()
    assert upload.state == Upload.State.READY


def test_an_incomplete_upload_is_shown_while_it_counts(browser_of_alice: Client, alice: User) -> None:
    uploads.create(Account.objects.for_user(alice), file_name="late.png", content_type="image/png", size_bytes=2048)

    page = browser_of_alice.get("/uploads/").text

    assert "Not complete yet" in page
    assert 'value="2048"' in page


def test_the_page_of_uploads_requires_a_login(client: Client, alice: User) -> None:
    upload = ready_upload(alice)

    for response in (client.get("/uploads/"), client.post(f"/uploads/{upload.pk}/erase/")):
        assert response["Location"].startswith("/login/")

    assert Upload.objects.get().state == Upload.State.READY
