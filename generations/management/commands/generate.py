"""`manage.py generate`: places an order, waits for it with a progress bar, and saves its files. For staff and scripts.

The paths of the files go to standard output, everything else to standard error. The exit status says how it ended
(docs/command-line.md). The command only orders and waits: worker processes do the work.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import Error

from database.commands import ActingCommand
from generations import services
from generations.catalogue import InvalidInput, Model, UnknownModel
from generations.errors import DomainError
from generations.ordering import price_book
from generations.ordering.orders import Order
from generations.progress import results
from generations.progress.event_stream import Snapshot
from generations.progress.results import File, GenerationResult
from generations.workers import heartbeats

ACTOR = "staff:command line"
# Exit statuses other than 0. 124 is that of timeout(1), 130 that of a shell after Ctrl-C.
FAILED, WRONG_USAGE, TIMED_OUT, INTERRUPTED = 1, 2, 124, 130
# A worker process writes its heartbeat every few seconds.
HEARTBEAT_AGE_MAX = timedelta(seconds=30)
BAR_CHARACTERS = 24
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class Command(ActingCommand):
    help = (
        "Order a generation, wait for it, and save its files. The exit status is 0 if it is completed, 1 if it failed "
        "or was refused, 2 after wrong usage, 124 if the time passed, and 130 after Ctrl-C. In the last two cases the "
        "generation continues."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prompt", nargs="?", help="the model's main text: its prompt, or the text to speak")
        parser.add_argument("--model", required=True, help="the slug of the model, for example flux-schnell")
        parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an additional input")
        parser.add_argument("--preset", help="one of the model's presets")
        parser.add_argument("--out", default=".", help="the folder for the files (default: the current folder)")
        parser.add_argument("--user", help="the user who orders and pays (default: demo, or the only superuser)")
        parser.add_argument("--max-credits", type=int, help="refuse the order if its price is higher")
        parser.add_argument("--timeout", type=float, help="seconds to wait (default: 300 to 1800, by the model)")

    def handle(self, *args: Any, **options: Any) -> None:
        # Whatever may be wrong with the command line is found before anything is ordered.
        folder = Path(options["out"])
        if not folder.is_dir():
            raise CommandError(f"--out {folder}: there is no such folder.", returncode=WRONG_USAGE)
        account = services.account_of(find_user(options["user"]))
        try:
            model = price_book.find(options["model"])
            raw_input = read_input(model, options["prompt"], options["set"])
            order = Order(
                model=model,
                inputs=model.read(raw_input, preset=options["preset"]),
                raw_input=raw_input,
                preset=options["preset"] or "",
            )
            placed = services.place_order(account, order, actor=ACTOR, max_credits=options["max_credits"])
        except (UnknownModel, InvalidInput) as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from error
        except DomainError as error:
            # With the code, which scripts can test: insufficient_credits, paused, spend_cap_reached …
            raise CommandError(f"{error.code}: {error}", returncode=FAILED) from error
        generation = placed.generation
        self.stderr.write(f"{generation.pk} is ordered for {order.credits} credits.")
        timeout = results.default_wait_seconds(model.slug) if options["timeout"] is None else options["timeout"]
        progress = ProgressBar(sys.stderr)
        # Neither a time-out nor Ctrl-C cancels the generation: it is paid for, and its page shows the result.
        try:
            result = results.wait(generation, seconds=timeout, on_poll=progress.show)
        except KeyboardInterrupt:
            raise CommandError(f"{generation.pk} continues.", returncode=INTERRUPTED) from None
        except Error as error:
            message = f"The database does not answer ({error}). {generation.pk} continues; see its page or the API."
            raise CommandError(message, returncode=TIMED_OUT) from error
        finally:
            progress.end()
        if not result.is_done:
            message = f"{generation.pk} has not ended after {timeout:g} s. It continues; see its page or the API."
            raise CommandError(message, returncode=TIMED_OUT)
        if (failure := result.error) is not None:
            message = f"{failure.code}: {failure.message} Charged: {failure.charged} credits."
            raise CommandError(message, returncode=FAILED)
        for file in result.outputs:
            self.stdout.write(str(save(result, file, folder)))
        self.stderr.write(f"Completed in {result.processing_seconds:.1f} s. Charged: {result.credits} credits.")


class ProgressBar:
    """One line that is redrawn on a terminal. Elsewhere, as in a log file, a line for each change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_open = False
        self._has_warned = False
        self._progress = 0

    def show(self, snapshot: Snapshot | None) -> None:
        """Draw a snapshot (None: nothing has changed). Warns once if no worker process is running."""
        if not self._has_warned and (warning := worker_warning()):
            self._has_warned = True
            self._write(warning, is_final=True)
        if snapshot is not None:
            # fal may put a job back into its queue. The bar does not go back.
            self._progress = max(self._progress, snapshot.progress)
            full = self._progress * BAR_CHARACTERS // 100
            bar = "#" * full + "-" * (BAR_CHARACTERS - full)
            text = f"[{bar}] {self._progress:3} %  {snapshot.message or snapshot.phase}"
            self._write(text, is_final=False)

    def end(self) -> None:
        """End the line, so that what follows begins on a new one."""
        if self._is_open:
            self._stream.write("\n")
            self._is_open = False

    def _write(self, text: str, *, is_final: bool) -> None:
        if not self._stream.isatty():
            self._stream.write(f"{text}\n")
        else:
            # Back to the start of the line, and clear it.
            self._stream.write(f"\r\x1b[K{text}" + "\n" * is_final)
            self._is_open = not is_final
        self._stream.flush()


def worker_warning() -> str:
    """Return a warning if no worker process is running, without which the wait is in vain. Empty if one is."""
    age = heartbeats.age("worker")
    if age is not None and age < HEARTBEAT_AGE_MAX:
        return ""
    last_seen = "never" if age is None else f"{age.total_seconds():.0f} s ago"
    return f"No worker process is running (last seen: {last_seen}). Start one: manage.py work"


def find_user(name: str | None) -> User:
    """Return the user who orders: the named one, else `demo`, else the only superuser. Raises CommandError."""
    if name is not None:
        found = User.objects.filter(username=name).first()
        if found is None:
            raise CommandError(f"There is no user “{name}”.", returncode=WRONG_USAGE)
        return found
    # Two at most: of several superusers none is chosen, because orders cost money.
    demo, superusers = User.objects.filter(username="demo").first(), User.objects.filter(is_superuser=True)[:2]
    if demo is None and len(superusers) != 1:
        raise CommandError("Name the user who orders and pays: --user NAME", returncode=WRONG_USAGE)
    return demo or superusers[0]


def read_input(model: Model, prompt: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the input of an order, not yet validated.

    Args:
        prompt: The model's main text.
        assignments: `NAME=VALUE`. A value is read as JSON if it is JSON of a type that the input accepts, otherwise as
            text: `seed=7` is a number, and `prompt=7` is text.

    Raises CommandError for an assignment without a name or an equals sign.
    """
    properties = model.schema["properties"]
    raw_input: dict[str, Any] = {}
    if prompt is not None:
        # A model without a main text refuses the input `prompt` with an error that the user understands.
        main = next((name for name, schema in properties.items() if schema.get("x-widget") == "prompt"), "prompt")
        raw_input[main] = prompt
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        if not sign or not name:
            raise CommandError(f"--set {assignment}: write it like --set seed=7.", returncode=WRONG_USAGE)
        types = accepted_types(properties.get(name, {}), model.schema)
        # JSON is preferred to text only where the input accepts its type: a prompt may consist of digits.
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        raw_input[name] = parsed if isinstance(parsed, tuple(types)) else value
    return raw_input


def accepted_types(schema: Mapping[str, Any], document: Mapping[str, Any]) -> set[type]:
    """Return the Python types of the JSON values that a schema accepts, strings excepted.

    Args:
        document: The JSON Schema that contains `schema`, for its references.
    """
    if "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    types = set(_PYTHON_TYPES.get(schema.get("type", ""), ()))
    alternatives = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return types.union(*(accepted_types(alternative, document) for alternative in alternatives))


def save(result: GenerationResult, file: File, folder: Path) -> Path:
    """Save a file as `<id>-<index>.<extension>`, and return its path. Raises CommandError; never overwrites."""
    path = folder / f"{result.id}-{file.index}.{file.extension}"
    try:
        # "x": an existing file is never overwritten, even if it appeared a moment ago.
        with path.open("xb") as sink:
            file.copy_to(sink)
    except FileExistsError:
        message = f"{path} exists already and was not overwritten. Charged: {result.credits} credits."
        raise CommandError(message, returncode=FAILED) from None
    except (BotoCoreError, ClientError, OSError) as error:
        # A part of the file would be taken for the whole.
        path.unlink(missing_ok=True)
        message = f"{path} could not be written ({error}). The file remains in storage; see its page."
        raise CommandError(message, returncode=FAILED) from error
    return path
