"""The same buckets in Redis, by Redis's clock: one script, which Redis runs without a pause. See `buckets`."""

from __future__ import annotations

import math

import redis

from accounts.token_bucket import Rate

PREFIX = "limn:bucket:"
# Times are whole microseconds, which a Lua number holds exactly until the year 2255.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ARGV[1]
local late = full - now - ARGV[2]
if late > 0 then
    return late
end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
"""


def acquire(server: redis.Redis, name: str, rate: Rate, *, count: int = 1) -> float:
    """Take `count`, all or none. 0 when they were there, else in how many seconds they will be."""
    interval = math.ceil(rate.interval_seconds * 1_000_000)
    late = server.eval(SCRIPT, 1, PREFIX + name, count * interval, rate.burst * interval)
    return int(late) / 1_000_000
