"""A user to try Limn with: made or kept, topped up, with a new password and a new API key."""

import json
import secrets
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import api_keys
from credits import ledger
from credits.models import Account


class Command(BaseCommand):
    help = "Make a user, or keep the one there is; top up to --credits available; print a new password and API key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="demo")
        parser.add_argument("--credits", type=int, default=1000, help="as many will be available, if not more")
        parser.add_argument("--staff", action="store_true", help="may use the admin, and do everything there")
        parser.add_argument("--json", action="store_true", help='print {"username", "password", "token"}')

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        user = _user(options["username"], password, staff=options["staff"])
        available = _top_up(user, options["credits"])
        token = api_keys.issue(user, "made by demo_user").plain
        login = {"username": user.get_username(), "password": password, "token": token}
        if options["json"]:
            self.stdout.write(json.dumps(login))
        else:
            lines = [f"{word:10}{value}" for word, value in {**login, "credits": available}.items()]
            self.stdout.write("\n".join(lines))


def _user(username: str, password: str, *, staff: bool) -> User:
    """Being staff is given here, and not taken away."""
    user, _ = User.objects.get_or_create(username=username)
    user.set_password(password)
    user.is_active = True
    user.is_staff = user.is_staff or staff
    user.is_superuser = user.is_superuser or staff
    user.save()
    return user


def _top_up(user: User, wanted: int) -> int:
    """How many credits are available then. What there is beyond is left alone."""
    account = Account.objects.for_user(user)
    if (missing := wanted - account.available) > 0:
        try:
            ledger.grant(account, missing, key=f"demo_user:{uuid4()}", actor="command line", reason="to try it out")
        except ValueError as error:
            raise CommandError(str(error)) from error
    account.refresh_from_db()
    return account.available
