"""fal on your own machine: its queue, its file server and its signatures, as exact and as nasty as the original.

A program of its own (`python -m simulator`), and a fixture for tests (`with Simulator() as fal:`).
Nothing in the product imports it.
"""

from simulator.app import Simulator
from simulator.records import Callback, File, Post, Request, Served, Visit
from simulator.scenarios import VOCABULARY, UnknownScenario, Word

__all__ = [
    "VOCABULARY",
    "Callback",
    "File",
    "Post",
    "Request",
    "Served",
    "Simulator",
    "UnknownScenario",
    "Visit",
    "Word",
]
