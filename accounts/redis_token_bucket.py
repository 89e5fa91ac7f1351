"""The token bucket of `accounts.token_bucket` in Redis, by Redis's clock, for sites that set REDIS_URL.

Redis runs a script without interruption, so concurrent callers together take no more than the bucket has.
"""

from __future__ import annotations

import math

import redis

from accounts.token_bucket import Rate

PREFIX = "limn:bucket:"
# KEYS[1]: the bucket. ARGV[1]: the interval of all tokens to take. ARGV[2]: the interval of a whole bucket.
# Times are whole microseconds, which a Lua number (a double) holds exactly until the year 2255. A bucket expires when
# it is full again, because a bucket that does not exist is full.
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
    """Take `count` tokens from a bucket, or none.

    Returns:
        0 if they were taken, otherwise the seconds until that many tokens will be there.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    interval = math.ceil(rate.interval_seconds * 1_000_000)
    late = server.eval(SCRIPT, 1, PREFIX + name, count * interval, rate.burst * interval)
    return int(late) / 1_000_000
