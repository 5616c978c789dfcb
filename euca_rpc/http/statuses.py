"""What HTTP says to a refusal: the kind of its symbol decides, unless HTTP has a word of its own."""

from __future__ import annotations

from euca_rpc.errors import EucaError

STATUS_OF_KIND = {
    "bad_request": 400,
    "unauthenticated": 401,
    "denied": 403,
    "limit": 403,
    "not_found": 404,
    "conflict": 409,
    "capacity": 409,
    "throttled": 429,
    "internal": 500,
    "unavailable": 503,
}


class Refused(EucaError):
    """A refusal for which HTTP has a status of its own: 405, 413 …"""

    def __init__(self, status: int, symbol: str, sentence: str, headers: tuple[tuple[str, str], ...] = ()):
        super().__init__(symbol, sentence)
        self.status = status
        self.headers = headers


def status_of(error: EucaError) -> int:
    return error.status if isinstance(error, Refused) else STATUS_OF_KIND.get(error.kind, 500)
