"""Builds the outcome of a job from the catalogue: an answer with files, or a failure.

The job queue asks for the outcome when a job ends, the control API also before. The outcome of a request is always the
same: everything that looks random is derived from the request id. Files are stored as descriptions and drawn again when
they are fetched.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import Any

from generations.catalogue import ExpectedFile, Inputs, InvalidInput, Model, find_by_endpoint
from simulator.error_types import Failure, failure, invalid_input
from simulator.media import EXTENSIONS, Drawing, draw, drawn_type
from simulator.records import File, Request
from simulator.scenarios import Plan, parse

CACHE_BYTES_MAX = 64 * 1024**2
# Width and height of images whose size the model chooses itself.
DEFAULT_SIDE = 1024
DEFAULT_SECONDS = 5.0
# The padding of the scenario `outputs:large`.
LARGE_BYTES = 12 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Output:
    """One file of an answer before it is stored: what the catalogue expects, and what is drawn."""

    position: int
    expected: ExpectedFile
    drawing: Drawing
    path: str
    content_type: str


@dataclass(frozen=True, kw_only=True)
class Success:
    """The outcome of a job that has a result."""

    answer: dict[str, Any]
    files: tuple[File, ...]


class OutcomeBuilder:
    """Builds outcomes and draws their files. The latest files are cached, up to 64 MB."""

    def __init__(self, *, base_url: str, canary_url: str) -> None:
        self._base_url = base_url
        self._canary_url = canary_url
        self._lock = Lock()
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cache_bytes = 0

    def outcome(self, request: Request) -> Success | Failure:
        """Return how this request ends; the same for every call."""
        plan = parse(request.scenarios)
        model = find_by_endpoint(request.endpoint)
        if model is None:
            return failure("bad_request")
        # Decided by the planned time in the queue, not by the clock: a busy machine must not change the outcome.
        if request.start_timeout_seconds is not None and request.queue_seconds > request.start_timeout_seconds:
            return failure("request_timeout")
        # fal checks the inputs when the job starts, not when it is submitted.
        try:
            inputs = model.read(request.inputs)
        except InvalidInput as error:
            return invalid_input(error.errors, request.inputs)
        error_type = next(iter(plan.choices("fail")), None)
        if error_type is None and plan.has("result", "completed_with_error"):
            error_type = "internal_server_error"
        if error_type is not None:
            return failure(error_type, field_name=next(iter(model.inputs.model_fields)))
        if getattr(inputs, "seed", 0) is None:
            # fal chooses a seed for each request that names none, and returns it in the answer.
            inputs = inputs.model_copy(update={"seed": _pseudo_random(request.request_id, 0)})
        return self._succeed(request, model, inputs, plan)

    def content(self, file: File) -> bytes:
        """Return the correct content of a file."""
        return self._draw(file.path, Drawing(**file.drawing))

    def _succeed(self, request: Request, model: Model, inputs: Inputs, plan: Plan) -> Success | Failure:
        answer = dict(model.answer_extras(inputs))
        has_flags = "has_nsfw_concepts" in answer
        if plan.has("nsfw") and not has_flags:
            # A model that does not report flagged images can only refuse.
            return failure("content_policy_violation")
        expected_files = _planned_files(model, inputs, plan)
        outputs = [_output(request, inputs, expected, n) for n, expected in enumerate(expected_files)]
        if has_flags:
            answer["has_nsfw_concepts"] = [output.drawing.black for output in outputs]
        if not outputs:
            # An answer without files still has its lists, empty.
            answer |= {_list_name(file.role): [] for file in model.expected_files(inputs) if "[" in file.role}
        files = []
        # Every output is stored as a file, even one that the answer gives as a data: URL or at the canary host: the log
        # then has the SHA-256 to compare with.
        for output in outputs:
            content = self._draw(output.path, output.drawing)
            set_at_path(answer, output.expected.role, self._file_object(request, output, content, plan))
            files.append(
                File(
                    path=output.path,
                    request_id=request.request_id,
                    position=output.position,
                    role=output.expected.role,
                    media_type=output.drawing.media_type,
                    content_type=output.content_type,
                    drawing=asdict(output.drawing),
                    sha256=hashlib.sha256(content).hexdigest(),
                    size_bytes=len(content),
                )
            )
        return Success(answer=answer, files=tuple(files))

    def _file_object(self, request: Request, output: Output, content: bytes, plan: Plan) -> dict[str, Any]:
        """Return the JSON object of a file. At fal every field but `url` may be missing or null (docs/fal.md)."""
        url = f"{self._base_url}{output.path}"
        for scenario in plan.all("outputs"):
            if scenario.applies_to(output.position) and scenario.choice == "evil_output_url":
                url = f"{self._canary_url}{output.path}"
            if scenario.applies_to(output.position) and scenario.choice == "data_uri":
                url = f"data:{output.drawing.media_type};base64,{base64.b64encode(content).decode()}"
        found: dict[str, Any] = {"url": url, "content_type": output.content_type}
        is_sized = not plan.has("outputs", "no_size")
        if _is_tripo_mesh(request, output.drawing):
            return {**found, "file_size": len(content)} if is_sized else found
        # Some names and some sizes are null, so that clients cannot rely on them.
        number = _pseudo_random(request.request_id, output.position)
        found["file_name"] = None if number % 3 == 0 else output.path.rpartition("/")[2]
        found["file_size"] = len(content) if is_sized and number % 5 else None
        if output.drawing.media_type.startswith("image/"):
            found |= {"width": output.drawing.width, "height": output.drawing.height}
        return found

    def _draw(self, path: str, drawing: Drawing) -> bytes:
        with self._lock:
            if path in self._cache:
                self._cache.move_to_end(path)
                return self._cache[path]
        # Drawn without the lock. Two threads may draw the same file; the result is the same.
        content = draw(drawing)
        with self._lock:
            self._cache_bytes += len(content) - len(self._cache.get(path, b""))
            self._cache[path] = content
            while self._cache_bytes > CACHE_BYTES_MAX and len(self._cache) > 1:
                self._cache_bytes -= len(self._cache.popitem(last=False)[1])
        return content


def set_at_path(answer: dict[str, Any], path: str, value: Any) -> None:
    """Set a value at a JSON path such as `images[0]` or `model_urls.glb`, and create what is missing on the way.

    A list index beyond the end appends: files are set in their order.
    """
    steps: list[str | int] = [name or int(index) for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
    node: Any = answer
    for step, following in pairwise(steps):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(step, str):
            node = node.setdefault(step, empty)
        else:
            if step >= len(node):
                node.append(empty)
            node = node[min(step, len(node) - 1)]
    if isinstance(steps[-1], int):
        node.append(value)
    else:
        node[steps[-1]] = value


def prompt_of(inputs: Any) -> str:
    """Return what a job is about: its prompt, its prompts of several shots, or its first text input."""
    texts = [value for value in inputs.values() if isinstance(value, str)]
    shots = " · ".join(str(shot.get("prompt")) for shot in inputs.get("multi_prompt") or ())
    return str(inputs.get("prompt") or shots or next(iter(texts), ""))


def _planned_files(model: Model, inputs: Inputs, plan: Plan) -> list[ExpectedFile]:
    """Return the files that the catalogue expects, as changed by the `outputs` scenarios."""
    files = list(model.expected_files(inputs))
    choices = plan.choices("outputs")
    if "zero" in choices:
        return []
    if "fewer" in choices:
        files = files[:-1]
    if "more" in choices and files:
        last = files[-1]
        in_list = "[" in last.role
        role = f"{_list_name(last.role)}[{len(files)}]" if in_list else f"extra_{last.role}"
        files.append(replace(last, role=role))
    if "nested" in choices:
        files = [replace(file, role=f"results[0].{file.role}") for file in files]
    return files


def _output(request: Request, inputs: Inputs, expected: ExpectedFile, position: int) -> Output:
    """Describe one file of the answer: what is drawn in it, and its path on the file server."""
    # Models without a seed input still draw another file for each request.
    seed = getattr(inputs, "seed", _pseudo_random(request.request_id, 0))
    size, plan = expected.size, parse(request.scenarios)
    # In the answer itself, a large file would be larger than anything that fal answers.
    is_large = plan.has("outputs", "large") and not plan.has("outputs", "data_uri")
    drawing = Drawing(
        media_type=drawn_type(expected.media_type),
        text=prompt_of(request.inputs) or request.endpoint,
        # The request id makes the bytes of each request unique, so that tests detect files that were mixed up.
        caption=f"{request.endpoint} · seed {seed} · {request.request_id} · {position}",
        seed=seed + position,
        width=size.width if size else DEFAULT_SIDE,
        height=size.height if size else DEFAULT_SIDE,
        seconds=expected.duration_seconds or DEFAULT_SECONDS,
        padding_bytes=LARGE_BYTES if is_large else 0,
        black=any(scenario.applies_to(position) for scenario in plan.all("nsfw")),
    )
    digest = hashlib.sha256(f"{request.request_id}/{position}".encode()).hexdigest()
    name = base64.urlsafe_b64encode(bytes.fromhex(digest[:30])).decode()
    return Output(
        position=position,
        expected=expected,
        drawing=drawing,
        path=f"/files/b/{digest[-16:]}/{name}.{EXTENSIONS[drawing.media_type]}",
        content_type="application/octet-stream" if _is_tripo_mesh(request, drawing) else drawing.media_type,
    )


def _is_tripo_mesh(request: Request, drawing: Drawing) -> bool:
    # Tripo's meshes are served as octet-stream and have no file name (docs/fal.md).
    return request.endpoint.startswith("tripo3d/") and not drawing.media_type.startswith("image/")


def _list_name(role: str) -> str:
    return role.partition("[")[0]


def _pseudo_random(request_id: str, position: int) -> int:
    """Return a number below 2**28 that is always the same for this request and position."""
    return int(hashlib.sha256(f"{request_id}#{position}".encode()).hexdigest()[:7], 16)
