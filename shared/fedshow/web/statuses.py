"""What errors are in the words of HTTP."""

from fedshow.errors import Exhausted, FedshowError, Forbidden, InvalidInput, NotFound, Unreachable

STATUS: dict[type[FedshowError], int] = {
    InvalidInput: 400,
    Forbidden: 403,
    NotFound: 404,
    Exhausted: 429,
    Unreachable: 503,
}


def status_of(error: FedshowError) -> int:
    """The status that tells callers what kind of error it is."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
