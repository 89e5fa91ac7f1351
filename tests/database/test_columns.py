"""`Columns` makes instances of models from rows of hand-written SQL."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from database.columns import Columns


@pytest.mark.django_db
def test_an_instance_has_the_selected_columns_and_defers_the_others(django_assert_num_queries: Any) -> None:
    columns = Columns(User, "is_active", "username", "id", "last_login", alias="person")
    alice = User.objects.create_user("alice", email="alice@example.com")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns.sql} FROM auth_user AS person")  # noqa: S608
        row = cursor.fetchone()

    with django_assert_num_queries(0):
        read = columns.read(row)
        assert (read, read.username, read.is_active, read.last_login) == (alice, "alice", True, None)
    assert read.get_deferred_fields() >= {"email", "password"}
    with django_assert_num_queries(1):
        assert read.email == "alice@example.com"


@pytest.mark.django_db
def test_an_instance_is_saved_as_the_row_that_it_was_read_from() -> None:
    alice = User.objects.create_user("alice")
    columns = Columns(User)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns.sql} FROM auth_user")  # noqa: S608
        read = columns.read(cursor.fetchone())

    read.first_name = "Alice"
    read.save()

    assert list(User.objects.values_list("pk", "first_name")) == [(alice.pk, "Alice")]
    assert vars(read).keys() == vars(User.objects.get()).keys()


@pytest.mark.unit
def test_all_columns_are_selected_by_default() -> None:
    columns = Columns(User)

    assert len(columns) == len(User._meta.concrete_fields)
    assert columns.sql.startswith('"auth_user"."id", "auth_user"."password"')


@pytest.mark.unit
def test_a_column_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match=r"User has no column is_tall, nose\."):
        Columns(User, "id", "nose", "is_tall")


@pytest.mark.unit
def test_a_model_with_an_init_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "__init__", lambda self: None)

    with pytest.raises(TypeError, match="User has an __init__ of its own"):
        Columns(User)
