"""Fixtures of orders placed through the API: a user with an API key, and the background work."""

from tests.fixtures.api import alice, api, customer, reset_process_state
from tests.fixtures.orders import work

__all__ = ["alice", "api", "customer", "reset_process_state", "work"]
