"""Order one, wait for it with a progress bar, and save its files: the blocking way, for staff and scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TextIO

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from credits.ledger import InsufficientCredits
from credits.models import Account
from generations import services
from generations.catalogue import InvalidInput, Model, UnknownModel
from generations.errors import MaxCreditsExceeded, ProviderUnfunded
from generations.files import sandbox, signed_urls, storage
from generations.models import Generation
from generations.ordering import input_files, price_book, quotas
from generations.ordering.orders import Order
from generations.progress import results
from generations.progress.event_stream import Snapshot
from generations.progress.results import File, GenerationResult
from generations.workers import heartbeats

ACTOR = "staff:command line"
# Exit statuses, beside 0.
FAILED, WRONG_USAGE, TIMED_OUT, INTERRUPTED = 1, 2, 124, 130
# The loop of the workers beats every few seconds.
SILENT_MAX = timedelta(seconds=30)
BAR_CHARACTERS = 24
REFUSALS = (
    InsufficientCredits,
    ProviderUnfunded,
    quotas.OrderRefused,
    input_files.FilesUnreachable,
    sandbox.SandboxUnavailable,
)


class Command(BaseCommand):
    help = (
        "Order a generation, wait for it, and save its files. Ends with 0 when it is completed, 1 when it failed or "
        "was refused, 2 for wrong usage, 124 when the time was over (it goes on), 130 after Ctrl-C (it goes on)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prompt", nargs="?", help="the model's main text: its prompt, or what to say")
        parser.add_argument("--model", required=True, help="its slug, for example flux-schnell")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one more input")
        parser.add_argument("--preset", help="one of the model's presets")
        parser.add_argument("--out", default=".", help="the folder for the files (default: this one)")
        parser.add_argument("--user", help="who orders and pays (default: demo, or the only superuser)")
        parser.add_argument("--max-credits", type=int, help="refuse it when it would cost more")
        parser.add_argument("--timeout", type=float, help="seconds to wait (default: by the model, 300 to 1800)")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = _folder(options["out"])
        user = _user(options["user"])
        order = _order(options)
        generation = _place(user, order, max_credits=options["max_credits"])
        self.stderr.write(f"{generation.pk} is ordered for {order.credits} credits.")
        wait = options["timeout"] if options["timeout"] is not None else results.default_wait_seconds(generation.model)
        result = self._wait(generation, wait)
        if result.error is not None:
            error = result.error
            _refuse(f"{error.code}: {error.message} Charged: {error.charged} credits.")
        for file in result.outputs:
            self.stdout.write(str(_save(result, file, folder)))
        self.stderr.write(f"Completed in {result.processing_seconds:.1f} s. Charged: {result.credits} credits.")

    def _wait(self, generation: Generation, seconds: float) -> GenerationResult:
        bar = Bar(sys.stderr)
        try:
            result = results.wait(generation, seconds=seconds, on_poll=bar.show)
        except KeyboardInterrupt:
            bar.end()
            raise CommandError(f"{generation.pk} goes on without us.", returncode=INTERRUPTED) from None
        bar.end()
        if not result.is_done:
            words = f"{generation.pk} has not ended after {seconds:g} s. It goes on; its page and the API will show it."
            raise CommandError(words, returncode=TIMED_OUT)
        return result


class Bar:
    """A line that is drawn anew on a terminal; elsewhere, a line for each piece of news."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._is_open = False
        self._has_warned = False
        self._progress = 0

    def show(self, standing: Snapshot | None) -> None:
        if not self._has_warned and (words := _silence()):
            self._has_warned = True
            self._write(words, stays=True)
        if standing is not None:
            self._progress = max(self._progress, standing.progress)
            self._write(self._drawn(standing), stays=False)

    def end(self) -> None:
        if self._is_open:
            self._to.write("\n")
            self._is_open = False

    def _drawn(self, standing: Snapshot) -> str:
        full = self._progress * BAR_CHARACTERS // 100
        drawn = "#" * full + "-" * (BAR_CHARACTERS - full)
        return f"[{drawn}] {self._progress:3} %  {standing.message or standing.phase}"

    def _write(self, words: str, *, stays: bool) -> None:
        if not self._to.isatty():
            self._to.write(f"{words}\n")
        else:
            self._to.write(f"\r\x1b[K{words}" + "\n" * stays)
            self._is_open = not stays
        self._to.flush()


def _silence() -> str:
    age = heartbeats.age("worker")
    if age is not None and age < SILENT_MAX:
        return ""
    since = "never" if age is None else f"{age.total_seconds():.0f} s ago"
    return f"No worker is alive (last seen: {since}). It waits until you start one: manage.py work"


# --- What is wanted -------------------------------------------------------------------------------------------------


def _order(options: Mapping[str, Any]) -> Order:
    try:
        model = price_book.find(options["model"])
        asked = _asked(model, options)
        inputs = model.read(asked, preset=options["preset"])
    except (UnknownModel, InvalidInput) as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from error
    return Order(model=model, inputs=inputs, raw_input=asked, preset=options["preset"] or "")


def _asked(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = {} if options["prompt"] is None else {_main_text(model): options["prompt"]}
    for word in options["set"]:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise CommandError(f"--set {word}: write it like --set seed=7.", returncode=WRONG_USAGE)
        asked[name] = _typed(value, model.schema["properties"].get(name, {}), model.schema)
    return asked


def _main_text(model: Model) -> str:
    """The input that a person would call the prompt. A model without one refuses `prompt` by itself."""
    fields = model.schema["properties"].items()
    return next((name for name, field in fields if field.get("x-widget") == "prompt"), "prompt")


def _typed(value: str, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Any:
    """JSON where it is JSON of a kind that the input takes; else text. So a prompt may be 7, and a seed is 7."""
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if any(isinstance(parsed, kind) for kind in _kinds(schema, whole)) else value


_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def _kinds(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> set[type]:
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    kinds = set(_KINDS.get(schema.get("type", ""), ()))
    return kinds.union(*(_kinds(each, whole) for word in ("anyOf", "oneOf") for each in schema.get(word, ())))


def _user(name: str | None) -> User:
    if name is not None:
        found = User.objects.filter(username=name).first()
        if found is None:
            raise CommandError(f"There is no user “{name}”.", returncode=WRONG_USAGE)
        return found
    demo, chiefs = User.objects.filter(username="demo").first(), User.objects.filter(is_superuser=True)[:2]
    if demo is None and len(chiefs) != 1:
        raise CommandError("Who orders and pays? Name them: --user NAME", returncode=WRONG_USAGE)
    return demo or chiefs[0]


def _folder(name: str) -> Path:
    folder = Path(name)
    if not folder.is_dir():
        raise CommandError(f"--out {name}: there is no such folder.", returncode=WRONG_USAGE)
    return folder


def _place(user: User, order: Order, *, max_credits: int | None) -> Generation:
    account = Account.objects.for_user(user)
    try:
        return services.place_order(account, order, actor=ACTOR, max_credits=max_credits).generation
    except MaxCreditsExceeded as error:
        _refuse(f"max_credits_exceeded: This costs {error.needed} credits, and --max-credits is {max_credits}.")
    except InvalidInput as error:
        raise CommandError(str(error), returncode=WRONG_USAGE) from error
    except REFUSALS as error:
        _refuse(f"refused: {error}")


def _refuse(words: str) -> NoReturn:
    raise CommandError(words, returncode=FAILED)


# --- What came of it ------------------------------------------------------------------------------------------------


def _save(result: GenerationResult, file: File, folder: Path) -> Path:
    """Under a name that nothing else has. What is there already is left alone."""
    extension = signed_urls.file_name(file.output).rpartition(".")[2]
    path = folder / f"{result.id}-{file.index}.{extension}"
    try:
        with path.open("xb") as sink, storage.open_file(file.output.key) as content:
            for chunk in content.chunks():
                sink.write(chunk)
    except FileExistsError:
        _refuse(f"{path} is there already, and is left as it is. It cost {result.credits} credits all the same.")
    except (BotoCoreError, ClientError, OSError) as error:
        # Half a file would look like a whole one.
        path.unlink(missing_ok=True)
        _refuse(f"{path} could not be written ({error}). The file is in storage; its page will show it.")
    return path
