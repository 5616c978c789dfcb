"""One family of errors, with a registry of symbols.

A failure is data: a *symbol* (what kind, for programs), a *sentence* (what was asked, what there is, what to do
next, for people), *facts* (numbers and names behind the sentence) and an optional *private* note that is logged
under the request id and never leaves the daemon.  Interfaces translate symbols into their own codes; they never
look at the sentence.  Symbols are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

# symbol -> what kind of trouble it is.  The kind decides the class of an answer (4xx, 5xx, exit code).
SYMBOLS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # the request itself
        "parameter_invalid": "bad_request",
        "parameter_missing": "bad_request",
        "parameter_unknown": "bad_request",
        "parameter_conflict": "bad_request",
        "id_malformed": "bad_request",
        "token_mismatch": "bad_request",
        "action_unknown": "bad_request",
        "unsupported": "bad_request",
        "page_token_invalid": "bad_request",
        # who asks
        "auth_failure": "unauthenticated",
        "signature_mismatch": "unauthenticated",
        "request_expired": "unauthenticated",
        "denied": "denied",
        "user_waiting": "denied",
        "user_unconfirmed": "denied",
        "user_disabled": "denied",
        "link_invalid": "denied",
        "password_weak": "bad_request",
        # what is asked about
        "instance_not_found": "not_found",
        "image_not_found": "not_found",
        "key_not_found": "not_found",
        "zone_not_found": "not_found",
        "type_not_found": "not_found",
        "node_not_found": "not_found",
        "user_not_found": "not_found",
        "account_not_found": "not_found",
        "request_not_found": "not_found",
        "mail_not_found": "not_found",
        "blob_not_found": "not_found",
        "credential_not_found": "not_found",
        "key_duplicate": "conflict",
        "key_format": "bad_request",
        "name_duplicate": "conflict",
        "state_conflict": "conflict",
        "protected": "conflict",
        "tag_limit": "limit",
        "credential_limit": "limit",
        # what there is
        "quota_exceeded": "limit",
        "capacity_exhausted": "capacity",
        "policy_refused": "denied",
        "policy_failed": "unavailable",
        "throttled": "throttled",
        "image_refused": "bad_request",
        "image_unavailable": "conflict",
        # between the controllers
        "generation_old": "conflict",
        "role_refused": "denied",
        "unreachable": "unavailable",
        "unavailable": "unavailable",
        "incompatible": "unavailable",
        "config_invalid": "bad_request",
        "internal": "internal",
    }
)


class EucaError(Exception):
    """A refusal or failure as data.  ``symbol`` must be in SYMBOLS; ``facts`` holds only str/int/bool/list/dict."""

    def __init__(
        self,
        symbol: str,
        sentence: str,
        *,
        facts: Mapping[str, Any] | None = None,
        private: str | None = None,
    ) -> None:
        if symbol not in SYMBOLS:
            raise ValueError(f"unregistered error symbol {symbol!r}")
        super().__init__(sentence)
        self.symbol = symbol
        self.sentence = sentence
        self.facts: dict[str, Any] = dict(facts or {})
        self.private = private

    @property
    def kind(self) -> str:
        return SYMBOLS[self.symbol]

    def __repr__(self) -> str:  # the private part must not slip into a log by accident
        return f"EucaError({self.symbol!r}, {self.sentence!r})"

    def to_wire(self) -> dict[str, Any]:
        """What may cross the wire: everything but the private note."""
        return {"symbol": self.symbol, "sentence": self.sentence, "facts": self.facts}

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> EucaError:
        symbol = str(value.get("symbol", "internal"))
        if symbol not in SYMBOLS:  # a newer peer may know more symbols than we do
            symbol = "internal"
        return cls(symbol, str(value.get("sentence", "")), facts=value.get("facts") or {})
