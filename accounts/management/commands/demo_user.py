"""`manage.py demo_user`: creates or keeps a user, tops up credits, and prints a new password and API key."""

import json
import secrets
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts import api_keys
from credits import ledger
from credits.models import Account
from database.commands import ActingCommand


class Command(ActingCommand):
    help = "Create or keep a user, top up the available credits to --credits, and print a new password and API key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", default="demo")
        parser.add_argument("--credits", type=int, default=1000, help="available credits after the top-up, at least")
        parser.add_argument("--staff", action="store_true", help="may use the admin, with all permissions")
        parser.add_argument("--json", action="store_true", help='print {"username", "password", "token"}')

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        user, _ = User.objects.get_or_create(username=options["username"])
        user.set_password(password)
        user.is_active = True
        # Staff rights are given here, but not taken away.
        user.is_staff = user.is_staff or options["staff"]
        user.is_superuser = user.is_superuser or options["staff"]
        user.save()
        account = Account.objects.for_user(user)
        if (missing := options["credits"] - account.available) > 0:
            try:
                ledger.grant(account, missing, key=f"demo_user:{uuid4()}", actor="command line", reason="to try it out")
            except ValueError as error:
                raise CommandError(str(error)) from error
            account.refresh_from_db()
        token = api_keys.issue(user, "made by demo_user").plain
        login = {"username": user.get_username(), "password": password, "token": token}
        if options["json"]:
            self.stdout.write(json.dumps(login))
        else:
            lines = [f"{name:10}{value}" for name, value in {**login, "credits": account.available}.items()]
            self.stdout.write("\n".join(lines))
