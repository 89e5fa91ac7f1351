"""`manage.py grant_credits`: give a user credits from the command line."""

from typing import Any
from uuid import uuid4

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from credits import ledger
from credits.models import Account
from database.commands import ActingCommand


class Command(ActingCommand):
    help = "Give a user credits. Repeating the command with the same --key changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("amount", type=int)
        parser.add_argument("--reason", default="granted on the command line", help="shown to the user")
        parser.add_argument("--key", help="idempotency key of the grant (default: a random one)")

    def handle(self, *args: Any, **options: Any) -> None:
        user = get_user_model().objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user “{options['username']}”.")
        account = Account.objects.for_user(user)
        # The prefix keeps keys of the command line apart from those of the admin.
        key = f"cli:{options['key'] or uuid4()}"
        try:
            ledger.grant(account, options["amount"], key=key, actor="command line", reason=options["reason"])
        except (ValueError, ledger.LedgerError) as error:
            raise CommandError(str(error)) from error
        account.refresh_from_db()
        self.stdout.write(f"{user.get_username()} has {account.balance} credits, {account.available} available.")
