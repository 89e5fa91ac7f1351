"""Reads JSON bodies of API requests into pydantic models, strictly: unknown members are refused, nothing is converted.

Every request body of the API derives from `RequestBody`, which also describes it in the OpenAPI document.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError
from rest_framework.request import Request

from generations.catalogue import InvalidInput
from generations.errors import LengthRequired


class RequestBody(BaseModel):
    """The base class of every body that an endpoint of the API reads."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, request: Request) -> Self:
        """Read the body of this request. Raises InvalidInput, LengthRequired."""
        if "Transfer-Encoding" in request.headers and "Content-Length" not in request.headers:
            # WSGI cannot tell where a chunked body ends, so Django would take it for an empty one.
            raise LengthRequired("Send a Content-Length instead of Transfer-Encoding: chunked.")
        try:
            return cls.model_validate(request.data)
        except ValidationError as error:
            raise InvalidInput(
                [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in error.errors()]
            ) from error
