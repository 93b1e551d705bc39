"""Documents that people send."""

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel

from fedshow.documents import BadDocument, read_document
from fedshow.errors import InvalidInput

Document = TypeVar("Document", bound=BaseModel)


async def read_body(request: Request, kind: type[Document], most_bytes: int) -> Document:
    """The document in a request's body, read strictly; raises InvalidInput, also when it is too long."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > most_bytes:
            raise InvalidInput(f"more than {most_bytes} bytes")
    try:
        return read_document(kind, bytes(body))
    except BadDocument as error:
        raise InvalidInput(str(error)) from None
