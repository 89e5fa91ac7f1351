"""The page at `/`: the latest requests with their files, and the table of scenarios."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from simulator.http_messages import HttpRequest, HttpResponse
from simulator.log import Log
from simulator.outcomes import prompt_of
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
<p>Implements fal's queue API, file server and callback signatures. Nothing here costs anything.
The log as JSON: <a href="/_simulator/log">/_simulator/log</a>.</p>
<h2>Recent requests</h2>
{requests}
<h2>Scenarios</h2>
<p>Write them into a prompt, in brackets: <code>a fox [slow:5] [callback:double]</code>.
<code>x2</code> at the end means the first two times only, <code>@1</code> the second output only.</p>
{scenarios}
</body></html>
"""
TABLE_HEAD = "<tr><th>Accepted<th>Endpoint<th>Prompt<th>State<th>Scenarios<th>Callback<th>Files</tr>"


class IndexPage:
    """Handler of `/`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def answer(self, http_request: HttpRequest) -> HttpResponse:
        """Render the page. Everything that comes from clients is escaped."""
        rows = []
        for request in self._log.recent(REQUESTS_SHOWN):
            links = []
            for file in self._log.files(request.request_id):
                path, role = escape(file.path), escape(file.role)
                content = f'<img src="{path}" alt="{role}">' if file.media_type.startswith("image/") else role
                links.append(f'<a href="{path}">{content}</a>')
            cells = [
                f"{datetime.fromtimestamp(request.accepted_at, UTC).astimezone():%H:%M:%S}",
                f"{escape(request.endpoint)}<br><small>{request.request_id}</small>",
                # The inputs are null once the payloads were deleted.
                escape(prompt_of(request.inputs or {})[:200]),
                escape(request.state if request.error is None else f"{request.state}: {request.error_type}"),
                f"<code>{escape(request.scenarios)}</code>" if request.scenarios else "",
                escape(request.callback),
                " ".join(links),
            ]
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        requests = f"<table>{TABLE_HEAD}{''.join(rows)}</table>" if rows else "<p>None yet.</p>"
        page = PAGE.format(requests=requests, scenarios=as_html())
        return HttpResponse(headers={"Content-Type": "text/html; charset=utf-8"}, body=page.encode())
