"""The models on offer: their inputs, prices and output files. Plain Python, without Django.

A model is one `Model` declaration in `image`, `edit`, `video`, `three_d`, `audio`, `retouch` or `imported`. Its price,
JSON Schema, validation, API page, form and simulated answer are derived from that declaration; adding a model changes
nothing else. The catalogue does not change while a process runs.
"""

from generations.catalogue.declaration import Inputs, InvalidInput, Model
from generations.catalogue.details import extract_details
from generations.catalogue.extractor import FoundFile, extract_files
from generations.catalogue.outputs import ExpectedFile
from generations.catalogue.progress import goes_back, parse_log_line
from generations.catalogue.registry import MODELS, UnknownModel, find, find_by_endpoint

__all__ = [
    "MODELS",
    "ExpectedFile",
    "FoundFile",
    "Inputs",
    "InvalidInput",
    "Model",
    "UnknownModel",
    "extract_details",
    "extract_files",
    "find",
    "find_by_endpoint",
    "goes_back",
    "parse_log_line",
]
