"""The page at `/`: what came in lately, and the words that make things go wrong."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from simulator.http_messages import Call, Reply
from simulator.log import Log
from simulator.outcomes import words_of
from simulator.records import File, Request
from simulator.scenario_table import as_html

REQUESTS_SHOWN = 50
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>fal simulator</title>
<meta name="viewport" content="width=device-width">
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }}
  table {{ border-collapse: collapse; width: 100% }}
  th, td {{ text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd }}
  code {{ background: #f2f2f2; padding: 0 .25rem }} img {{ height: 3rem; border-radius: .25rem }}
  dt {{ margin-top: .75rem }} dd {{ margin: 0 0 0 1.5rem }}
</style></head><body>
<h1>fal simulator</h1>
<p>Speaks fal's queue API, its file server and its signatures. Nothing here costs anything.
The log as JSON: <a href="/_simulator/log">/_simulator/log</a>.</p>
<h2>Recent requests</h2>
{requests}
<h2>Words</h2>
<p>Write them into a prompt, in brackets: <code>a fox [slow:5] [callback:double]</code>.
<code>x2</code> at the end means the first two times only, <code>@1</code> the second output only.</p>
{words}
</body></html>
"""


class IndexPage:
    def __init__(self, log: Log) -> None:
        self._log = log

    def answer(self, call: Call) -> Reply:
        rows = [_row(request, self._log.files(request.request_id)) for request in self._log.recent(REQUESTS_SHOWN)]
        page = PAGE.format(requests=_table(rows), words=as_html())
        return Reply(headers={"Content-Type": "text/html; charset=utf-8"}, body=page.encode())


def _table(rows: Iterable[str]) -> str:
    body = "".join(rows)
    if not body:
        return "<p>None yet.</p>"
    head = "<tr><th>Accepted<th>Endpoint<th>Prompt<th>State<th>Scenarios<th>Callback<th>Files</tr>"
    return f"<table>{head}{body}</table>"


def _row(request: Request, files: list[File]) -> str:
    state = request.state if request.error is None else f"{request.state}: {request.error_type}"
    cells = [
        f"{datetime.fromtimestamp(request.accepted_at, UTC).astimezone():%H:%M:%S}",
        f"{escape(request.endpoint)}<br><small>{request.request_id}</small>",
        escape(words_of(request.inputs)[:200]),
        escape(state),
        f"<code>{escape(request.scenarios)}</code>" if request.scenarios else "",
        escape(request.callback),
        " ".join(map(_link, files)),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _link(file: File) -> str:
    picture = file.media_type.startswith("image/")
    shown = f'<img src="{escape(file.path)}" alt="{escape(file.role)}">' if picture else escape(file.role)
    return f'<a href="{escape(file.path)}">{shown}</a>'
