"""A simulator of fal: its queue API, Platform API, file server and signed callbacks, including their faults.

It is a program (`python -m simulator`) and a fixture of the tests (`with Simulator() as fal:`). It imports the
catalogue of `generations`, so that it answers every model that Limn offers; nothing in the product imports it.
"""

from simulator.app import Simulator
from simulator.records import Callback, File, Post, Request, Served, Visit
from simulator.scenario_table import SCENARIO_TYPES, ScenarioType
from simulator.scenarios import UnknownScenario

__all__ = [
    "SCENARIO_TYPES",
    "Callback",
    "File",
    "Post",
    "Request",
    "ScenarioType",
    "Served",
    "Simulator",
    "UnknownScenario",
    "Visit",
]
