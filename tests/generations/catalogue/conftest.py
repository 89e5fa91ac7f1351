"""Fixtures of orders placed through the API: a user with an API key, and the background work."""

from tests.fixtures.api import alice, api, customer, nothing_is_left_over
from tests.fixtures.orders import work

__all__ = ["alice", "api", "customer", "nothing_is_left_over", "work"]
