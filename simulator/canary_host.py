"""The canary: an address under another host name, which only a careless client ever calls.

Redirects and forged output addresses lead here. It is the same server, called `localhost` rather
than 127.0.0.1, so nothing leaves the machine; whoever comes is noted with all headers, so that a
test can also see whether the key came along.
"""

from __future__ import annotations

import time

from simulator.http_messages import Call, Reply, as_json
from simulator.log import Log
from simulator.records import Visit

PREFIX = "/_canary"


class Canary:
    def __init__(self, log: Log) -> None:
        self._log = log

    def answer(self, call: Call) -> Reply:
        self._log.add(Visit(at=time.time(), method=call.method, path=call.path, headers=dict(call.headers)))
        return as_json({"detail": "This is another host. A careful client would not be here."})
