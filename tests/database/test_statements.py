"""Several writes as one statement."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError

from database.statements import Insert, Write, execute_together

pytestmark = pytest.mark.django_db(transaction=True)


def rename(name: str, to: str) -> Write:
    sql = "UPDATE auth_group SET name = %s WHERE name = %s RETURNING id, name"
    return Write(sql, [to, name], name="renamed", table="auth_group")


def copy_renamed(of: str) -> Write:
    return Write("INSERT INTO auth_group (name) SELECT name || ' too' FROM {renamed} WHERE name = %s", [of])


def test_a_step_reads_what_an_earlier_one_has_written() -> None:
    group = Group.objects.create(name="cats")

    rows = execute_together(rename("cats", to="dogs"), copy_renamed("dogs"))

    assert rows == [(group.pk, "dogs")]
    assert set(Group.objects.values_list("name", flat=True)) == {"dogs", "dogs too"}


def test_if_the_first_step_returns_nothing_no_step_that_reads_it_writes() -> None:
    assert execute_together(rename("cats", to="dogs"), copy_renamed("dogs")) == []
    assert not Group.objects.exists()


def test_all_steps_are_executed_or_none() -> None:
    Group.objects.create(name="cats")
    Group.objects.create(name="dogs too")

    with pytest.raises(IntegrityError):
        execute_together(rename("cats", to="dogs"), copy_renamed("dogs"))

    assert set(Group.objects.values_list("name", flat=True)) == {"cats", "dogs too"}


def test_rows_are_inserted_with_the_values_that_the_orm_inserts() -> None:
    Group.objects.create(name="cats")
    User.objects.create(username="by the ORM", is_staff=True, email="a@example.com")

    execute_together(rename("cats", to="dogs"), Insert([User(username="raw", is_staff=True, email="a@example.com")]))

    differing = ("id", "username", "date_joined")
    by_orm, raw = ({k: v for k, v in row.items() if k not in differing} for row in User.objects.order_by("pk").values())
    assert raw == by_orm


def test_nothing_to_insert_is_no_error() -> None:
    Group.objects.create(name="cats")

    assert len(execute_together(rename("cats", to="dogs"), Insert([]))) == 1
    assert not Permission.objects.filter(name="dogs").exists()
