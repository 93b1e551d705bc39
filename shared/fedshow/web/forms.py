"""Forms that people send, bounded."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from fedshow.errors import InvalidInput

MOST_BYTES, MOST_FIELDS = 64 << 10, 64
KIND = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, read once; empty for other kinds of bodies. Raises InvalidInput."""
    if not hasattr(request.state, "form"):
        is_form = request.headers.get("content-type", "").partition(";")[0].strip() == KIND
        request.state.form = await _fields(request) if is_form else {}
    found: dict[str, str] = request.state.form
    return found


async def _fields(request: Request) -> dict[str, str]:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MOST_BYTES:
            raise InvalidInput(f"a form of more than {MOST_BYTES} bytes")
    try:
        text = body.decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise InvalidInput(
            f"this is no form of UTF-8 text with at most {MOST_FIELDS} fields"
        ) from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidInput("a field of the form stands there twice")
    return fields
