"""What can be ordered, with which inputs, for how many credits. Plain Python: no Django here.

A model is one declaration in `image.py`, `video.py` or `three_d.py`. Price, JSON Schema,
validation, API page, form and the simulator's answer all follow from it; nothing else is edited.
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
