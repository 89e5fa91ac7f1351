"""What can be ordered, with which inputs, for how many credits. Plain Python: no Django here.

A model is one declaration in `image.py`, `video.py` or `three_d.py`. Price, JSON Schema,
validation, API page, form and the simulator's answer all follow from it; nothing else is edited.
"""

from generations.catalogue.declaration import Inputs, InvalidInput, Model
from generations.catalogue.details import details_in
from generations.catalogue.extractor import FoundFile, files_in
from generations.catalogue.outputs import ExpectedFile
from generations.catalogue.progress import goes_back, read_line
from generations.catalogue.registry import MODELS, UnknownModel, find, serving

__all__ = [
    "MODELS",
    "ExpectedFile",
    "FoundFile",
    "Inputs",
    "InvalidInput",
    "Model",
    "UnknownModel",
    "details_in",
    "files_in",
    "find",
    "goes_back",
    "read_line",
    "serving",
]
