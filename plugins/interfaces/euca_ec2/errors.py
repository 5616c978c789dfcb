"""Symbols become EC2's codes and statuses here, and nowhere else; sentences are kept as they are."""

from __future__ import annotations

from typing import Final

from euca_rpc.errors import SYMBOLS, EucaError

# symbol -> (EC2's code, HTTP status on Query requests)
CODES: Final[dict[str, tuple[str, int]]] = {
    "parameter_invalid": ("InvalidParameterValue", 400),
    "parameter_missing": ("MissingParameter", 400),
    "parameter_unknown": ("UnknownParameter", 400),
    "parameter_conflict": ("InvalidParameterCombination", 400),
    "id_malformed": ("InvalidID", 400),
    "token_mismatch": ("IdempotentParameterMismatch", 400),
    "action_unknown": ("InvalidAction", 400),
    "unsupported": ("UnsupportedOperation", 400),
    "page_token_invalid": ("InvalidNextToken", 400),
    "auth_failure": ("AuthFailure", 401),
    "signature_mismatch": ("SignatureDoesNotMatch", 403),
    "request_expired": ("RequestExpired", 400),
    "denied": ("UnauthorizedOperation", 403),
    "user_waiting": ("UnauthorizedOperation", 403),
    "user_unconfirmed": ("UnauthorizedOperation", 403),
    "user_disabled": ("UnauthorizedOperation", 403),
    "link_invalid": ("UnauthorizedOperation", 403),
    "password_weak": ("InvalidParameterValue", 400),
    "instance_not_found": ("InvalidInstanceID.NotFound", 400),
    "image_not_found": ("InvalidAMIID.NotFound", 400),
    "key_not_found": ("InvalidKeyPair.NotFound", 400),
    "zone_not_found": ("InvalidZone.NotFound", 400),
    "type_not_found": ("InvalidInstanceType", 400),
    "node_not_found": ("InvalidHostID.NotFound", 400),
    "user_not_found": ("InvalidUserID.Unknown", 400),
    "account_not_found": ("InvalidUserID.Unknown", 400),
    "request_not_found": ("InvalidParameterValue", 400),
    "mail_not_found": ("InvalidParameterValue", 400),
    "blob_not_found": ("InvalidAMIID.Unavailable", 400),
    "credential_not_found": ("NoSuchEntity", 404),  # as IAM says; no operation here asks for one
    "key_duplicate": ("InvalidKeyPair.Duplicate", 400),
    "key_format": ("InvalidKey.Format", 400),
    "name_duplicate": ("InvalidParameterValue", 400),
    "state_conflict": ("IncorrectInstanceState", 400),
    "protected": ("OperationNotPermitted", 400),
    "tag_limit": ("TagLimitExceeded", 400),
    "credential_limit": ("LimitExceeded", 409),  # as IAM says
    "quota_exceeded": ("InstanceLimitExceeded", 400),
    # EC2 itself answers 500 here: SDKs then try again
    "capacity_exhausted": ("InsufficientInstanceCapacity", 500),
    "policy_refused": ("UnauthorizedOperation", 403),
    "policy_failed": ("Unavailable", 503),
    "throttled": ("RequestLimitExceeded", 503),
    "image_refused": ("InvalidAMIID.Unavailable", 400),
    "image_unavailable": ("InvalidAMIID.Unavailable", 400),
    "generation_old": ("IncorrectInstanceState", 400),
    "role_refused": ("UnauthorizedOperation", 403),
    "unreachable": ("Unavailable", 503),
    "unavailable": ("Unavailable", 503),
    "incompatible": ("Unavailable", 503),
    "config_invalid": ("InvalidParameterValue", 400),
    "internal": ("InternalError", 500),
}


class WireError(EucaError):
    """A refusal that only EC2 has a word for, such as a malformed instance id."""

    def __init__(
        self, code: str, sentence: str, status: int = 400, symbol: str = "parameter_invalid"
    ) -> None:
        super().__init__(symbol, sentence)
        self.code = code
        self.status = status


def code_of(error: EucaError) -> tuple[str, int]:
    if isinstance(error, WireError):
        return error.code, error.status
    found = CODES.get(error.symbol)
    if found is not None:
        return found
    # A symbol newer than this table: its kind still decides the class of the answer.
    return ("InternalError", 500) if SYMBOLS[error.symbol] == "internal" else ("Unavailable", 503)


def sentence_of(error: EucaError, request_id: str) -> str:
    """An internal error shows nothing of its inside; the log has it under the request id."""
    if error.symbol == "internal":
        return f"An internal error occurred; the cloud's log tells it under the request id {request_id}."
    return error.sentence
