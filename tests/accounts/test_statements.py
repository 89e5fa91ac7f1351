"""The hand-written statement finds the keys that the ORM finds, with the same values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import DateTimeField, ExpressionWrapper, F, Model
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from accounts import api_keys, statements
from accounts.models import ApiKey, Bucket, UserLimits
from credits.models import Account
from database.clock import from_now
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db


def test_a_key_has_its_user_account_and_limits(alice: User, django_assert_num_queries: Any) -> None:
    account = Account.objects.for_user(alice)
    UserLimits.objects.create(account=account, requests_per_minute=7, credits_per_day=0)
    issued = api_keys.issue(alice, "shop", rights=api_keys.Rights(credits_max=5, models=frozenset({"flux-schnell"})))
    ApiKey.objects.filter(pk=issued.key.pk).update(last_used_at=timezone.now())

    with django_assert_num_queries(1):
        found = statements.find_key(issued.key.digest)
        assert found is not None
        key = found.key
        read = [key, key.user, key.user.account, key.user.account.limits]

    expected = ApiKey.objects.usable().select_related("user__account__limits").get()
    for row, by_orm in zip(read, [expected, alice, account, account.limits], strict=True):
        assert _loaded(row) == {name: getattr(by_orm, name) for name in _loaded(row)}
        assert row._state.db == "default"
        assert not row._state.adding


def test_a_user_without_limits_or_without_an_account_has_none(alice: User, django_assert_num_queries: Any) -> None:
    digest = api_keys.issue(alice, "shop").key.digest
    without_account = statements.find_key(digest)
    Account.objects.for_user(alice)
    without_limits = statements.find_key(digest)

    with django_assert_num_queries(0):
        assert without_account is not None
        assert not hasattr(without_account.key.user, "account")
        assert without_limits is not None
        assert not hasattr(without_limits.key.user.account, "limits")


def test_the_keys_that_are_found_are_the_usable_ones(alice: User, chief: User) -> None:
    hour = timedelta(hours=1)
    keys = {name: api_keys.issue(alice, name).key for name in ("new", "expiring", "expired", "revoked")}
    keys["of a blocked user"] = api_keys.issue(chief, "shop").key
    for name, column, value in (("expiring", "expires_at", hour), ("expired", "expires_at", -hour)):
        ApiKey.objects.filter(pk=keys[name].pk).update(**{column: timezone.now() + value})
    api_keys.revoke(keys["revoked"])
    User.objects.filter(pk=chief.pk).update(is_active=False)

    found = {name for name, key in keys.items() if statements.find_key(key.digest) is not None}

    assert found == {"new", "expiring"}
    assert {keys[name].pk for name in found} == set(ApiKey.objects.usable().values_list("pk", flat=True))
    assert statements.find_key("0" * 64) is None


def _loaded(row: Model) -> dict[str, Any]:
    """The columns that were read."""
    return {name: value for name, value in vars(row).items() if not name.startswith("_")}


@pytest.mark.parametrize("seconds, is_taken", [(-3600, True), (30.000001, True), (90, False)])
def test_tokens_are_taken_as_the_orm_would_take_them(seconds: float, is_taken: bool) -> None:
    full_at = timezone.now() + timedelta(seconds=seconds)
    Bucket.objects.bulk_create([Bucket(name="statement", full_at=full_at), Bucket(name="orm", full_at=full_at)])

    taken = statements.take_tokens("statement", ahead_max=timedelta(seconds=60), cost=timedelta(seconds=1.5))
    later = ExpressionWrapper(Greatest(F("full_at"), Now()) + timedelta(seconds=1.5), output_field=DateTimeField())
    enough = Bucket.objects.filter(name="orm", full_at__lte=from_now(60))

    assert taken == bool(enough.update(full_at=later)) == is_taken
    moments = dict(Bucket.objects.values_list("name", "full_at"))
    # The two statements are executed one after the other.
    assert abs(moments["statement"] - moments["orm"]) < timedelta(seconds=HANG_SECONDS if seconds < 0 else 0.000001)
