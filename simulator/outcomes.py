"""How a job ends: its answer and files, built from the catalogue, or its failure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

from generations.catalogue import ExpectedFile, Inputs, InvalidInput, Model, find_by_endpoint
from simulator.error_types import Failure, failure, invalid_input
from simulator.media import EXTENSIONS, Drawing, draw, drawn_type
from simulator.records import File, Request
from simulator.scenarios import Plan, read

DRAWN_BYTES_MAX = 64 * 1024**2
# A host that no client should ever reach: same machine, but not the address in FAL_MEDIA_HOSTS.
CANARY_PATH = "/_canary"
# Where the model decides on the size of its pictures, and no size is known.
USUAL_SIDE = 1024


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file of an answer: its place, its picture, its address."""

    position: int
    expected: ExpectedFile
    drawing: Drawing
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Success:
    """A job that ended well."""

    answer: dict[str, Any]
    files: tuple[File, ...]


class Studio:
    """Ends jobs and draws files. The latest drawings are remembered; the rest is drawn again when asked for."""

    def __init__(self, *, base_url: str, canary_url: str) -> None:
        self._base_url = base_url
        self._canary_url = canary_url
        self._lock = Lock()
        self._drawn: OrderedDict[str, bytes] = OrderedDict()
        self._drawn_bytes = 0

    def verdict(self, request: Request) -> Success | Failure:
        """How this job ends. Asked twice, it says the same."""
        plan = read(request.scenarios)
        model = find_by_endpoint(request.endpoint)
        if model is None:
            return failure("bad_request")
        if request.start_timeout_seconds is not None and request.queue_seconds > request.start_timeout_seconds:
            return failure("request_timeout")
        try:
            inputs = model.read(request.inputs)
        except InvalidInput as error:
            return invalid_input(error.errors, request.inputs)
        if error_type := _failing(plan):
            return failure(error_type, field_name=next(iter(model.inputs.model_fields)))
        return self._success(request, model, _with_a_seed(request, inputs), plan)

    def bytes_of(self, file: File) -> bytes:
        """The file's true bytes."""
        return self._draw(file.path, Drawing(**file.drawing))

    def _success(self, request: Request, model: Model, inputs: Inputs, plan: Plan) -> Success | Failure:
        extras = model.answer_extras(inputs)
        if plan.has("nsfw") and "has_nsfw_concepts" not in extras:
            # Models without that list have only the one way to refuse.
            return failure("content_policy_violation")
        outputs = [_output(request, inputs, expected, n) for n, expected in enumerate(_planned(model, inputs, plan))]
        answer = dict(extras)
        if "has_nsfw_concepts" in extras:
            answer["has_nsfw_concepts"] = [output.drawing.black for output in outputs]
        if not outputs:
            answer |= {_list_name(file.role): [] for file in model.expected_files(inputs) if "[" in file.role}
        files = [self._placed(answer, request, output, plan) for output in outputs]
        return Success(answer=answer, files=tuple(files))

    def _placed(self, answer: dict[str, Any], request: Request, output: Output, plan: Plan) -> File:
        content = self._draw(output.path, output.drawing)
        place(answer, output.expected.role, self._file_object(request, output, content, plan))
        return File(
            path=output.path,
            request_id=request.request_id,
            position=output.position,
            role=output.expected.role,
            media_type=output.drawing.media_type,
            content_type=_content_type(request, output),
            drawing=asdict(output.drawing),
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
        )

    def _file_object(self, request: Request, output: Output, content: bytes, plan: Plan) -> dict[str, Any]:
        """A file as fal describes it (fal-facts.md §7.5): all but `url` may be missing or null."""
        found: dict[str, Any] = {
            "url": self._url(output, content, plan),
            "content_type": _content_type(request, output),
        }
        if _is_tripo_mesh(request, output):
            return {**found, "file_size": len(content)}
        chance = _chance(request.request_id, output.position)
        found["file_name"] = None if chance % 3 == 0 else output.name
        found["file_size"] = None if chance % 5 == 0 else len(content)
        if output.drawing.media_type.startswith("image/"):
            found |= {"width": output.drawing.width, "height": output.drawing.height}
        return found

    def _url(self, output: Output, content: bytes, plan: Plan) -> str:
        for scenario in plan.all("outputs"):
            if not scenario.covers(output.position):
                continue
            if scenario.choice == "evil_output_url":
                return f"{self._canary_url}{output.path}"
            if scenario.choice == "data_uri":
                return f"data:{output.drawing.media_type};base64,{base64.b64encode(content).decode()}"
        return f"{self._base_url}{output.path}"

    def _draw(self, path: str, drawing: Drawing) -> bytes:
        with self._lock:
            if path in self._drawn:
                self._drawn.move_to_end(path)
                return self._drawn[path]
        content = draw(drawing)
        with self._lock:
            self._drawn_bytes += len(content) - len(self._drawn.get(path, b""))
            self._drawn[path] = content
            while self._drawn_bytes > DRAWN_BYTES_MAX and len(self._drawn) > 1:
                self._drawn_bytes -= len(self._drawn.popitem(last=False)[1])
        return content


def place(answer: dict[str, Any], role: str, value: Any) -> None:
    """Put a value at a JSON path such as `images[0]` or `model_urls.glb`."""
    *steps, last = _steps(role)
    node: Any = answer
    for step, following in zip(steps, [*steps, last][1:], strict=True):
        empty: Any = [] if isinstance(following, int) else {}
        node = _child(node, step, empty)
    if isinstance(last, int):
        node.append(value)
    else:
        node[last] = value


def _child(node: Any, step: str | int, empty: Any) -> Any:
    if isinstance(step, str):
        return node.setdefault(step, empty)
    if step >= len(node):
        node.append(empty)
    return node[min(step, len(node) - 1)]


def _steps(role: str) -> Iterator[str | int]:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", role):
        yield name or int(index)


def _list_name(role: str) -> str:
    return role.partition("[")[0]


def _failing(plan: Plan) -> str | None:
    if plan.has("result", "completed_with_error") and not plan.has("fail"):
        return "internal_server_error"
    return next(iter(plan.choices("fail")), None)


def _planned(model: Model, inputs: Inputs, plan: Plan) -> list[ExpectedFile]:
    """The files of the order, as the scenarios want them."""
    files = list(model.expected_files(inputs))
    choices = plan.choices("outputs")
    if "zero" in choices:
        return []
    if "fewer" in choices:
        files = files[:-1]
    if "more" in choices and files:
        files.append(_one_more(files[-1], len(files)))
    if "nested" in choices:
        files = [replace(file, role=f"results[0].{file.role}") for file in files]
    return files


def _one_more(last: ExpectedFile, count: int) -> ExpectedFile:
    in_a_list = "[" in last.role
    return replace(last, role=f"{_list_name(last.role)}[{count}]" if in_a_list else f"extra_{last.role}")


def _output(request: Request, inputs: Inputs, expected: ExpectedFile, position: int) -> Output:
    drawing = _drawing(request, inputs, expected, position)
    digest = hashlib.sha256(f"{request.request_id}/{position}".encode()).hexdigest()
    name = base64.urlsafe_b64encode(bytes.fromhex(digest[:30])).decode()
    path = f"/files/b/{digest[-16:]}/{name}.{EXTENSIONS[drawing.media_type]}"
    return Output(position=position, expected=expected, drawing=drawing, path=path)


def _drawing(request: Request, inputs: Inputs, expected: ExpectedFile, position: int) -> Drawing:
    # A model without a seed draws differently each time all the same.
    seed, size = getattr(inputs, "seed", _chance(request.request_id, 0)), expected.size
    return Drawing(
        media_type=drawn_type(expected.media_type),
        text=words_of(request.inputs) or request.endpoint,
        # With the request's id no two requests share their bytes, so that a mix-up cannot hide.
        caption=f"{request.endpoint} · seed {seed} · {request.request_id} · {position}",
        seed=seed + position,
        width=size.width if size else USUAL_SIDE,
        height=size.height if size else USUAL_SIDE,
        seconds=expected.duration_seconds or 5.0,
        black=any(scenario.covers(position) for scenario in read(request.scenarios).all("nsfw")),
    )


def _with_a_seed(request: Request, inputs: Inputs) -> Inputs:
    """The job as fal runs it: who chose no seed gets one, new for each request."""
    if getattr(inputs, "seed", 0) is not None:
        return inputs
    return inputs.model_copy(update={"seed": _chance(request.request_id, 0)})


def words_of(inputs: Any) -> str:
    """What an order is about: its prompt, else its first text; models without a prompt have an address."""
    texts = [value for value in inputs.values() if isinstance(value, str)]
    shots = " · ".join(str(shot.get("prompt")) for shot in inputs.get("multi_prompt") or ())
    return str(inputs.get("prompt") or shots or next(iter(texts), ""))


def _content_type(request: Request, output: Output) -> str:
    return "application/octet-stream" if _is_tripo_mesh(request, output) else output.drawing.media_type


def _is_tripo_mesh(request: Request, output: Output) -> bool:
    # Tripo's meshes come as octet-stream and without a name (fal-facts.md §5).
    return request.endpoint.startswith("tripo3d/") and not output.drawing.media_type.startswith("image/")


def _chance(request_id: str, position: int) -> int:
    """A number that looks random, and is the same whenever this request asks."""
    return int(hashlib.sha256(f"{request_id}#{position}".encode()).hexdigest()[:7], 16)
