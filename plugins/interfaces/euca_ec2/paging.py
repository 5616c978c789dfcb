"""Pages: a token names the place where the next page begins, and is good for the same question of the same account.

The token is signed so that nobody can make one up, and its key is this process's own: after a restart a client is
told to begin again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from typing import Any, TypeVar

from euca_rpc.errors import EucaError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pager:
    key: bytes

    def __repr__(self) -> str:
        return "Pager()"

    def token(self, question: Sequence[Any], place: Sequence[Any]) -> str:
        text = json.dumps([self._of(question), list(place)], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(hmac.digest(self.key, text, "sha256")[:16] + text).decode()

    def place(self, question: Sequence[Any], token: str) -> list[Any]:
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except (binascii.Error, ValueError):
            raw = b""
        mac, text = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, hmac.digest(self.key, text, "sha256")[:16]):
            raise EucaError(
                "page_token_invalid", "The NextToken is not one of this cloud's; begin the list again."
            )
        asked, place = json.loads(text)
        if asked != self._of(question):
            raise EucaError(
                "page_token_invalid",
                "The NextToken belongs to another list; repeat the request that it came from.",
            )
        return list(place)

    def _of(self, question: Sequence[Any]) -> str:
        return hashlib.sha256(repr(tuple(question)).encode()).hexdigest()[:16]

    def page(
        self,
        rows: Iterable[T],
        place_of: Callable[[T], Sequence[Any]],
        question: Sequence[Any],
        max_results: int | None,
        token: str | None,
    ) -> tuple[Sequence[T], str | None]:
        """The rows after the token's place, at most ``max_results``; rows are in the order of their places, and those
        after the page are not even made."""
        if token:
            after = self.place(question, token)
            rows = dropwhile(lambda row: list(place_of(row)) <= after, rows)
        if max_results is None:
            return list(rows), None
        found = list(islice(rows, max_results + 1))
        if len(found) <= max_results:
            return found, None
        found.pop()
        return found, self.token(question, place_of(found[-1]))


def checked(max_results: int | None, token: str | None, ids: Sequence[str], least: int = 5) -> None:
    if max_results is None and token is None:
        return
    if ids:
        raise EucaError(
            "parameter_conflict", "MaxResults and NextToken cannot be combined with a list of ids."
        )
    if max_results is not None and not least <= max_results <= 1000:
        raise EucaError("parameter_invalid", f"MaxResults is {max_results}; it must be from {least} to 1000.")
