"""The one thing that SDKs ask of STS: who am I?  It has a namespace and an error shape of its own."""

from __future__ import annotations

from collections.abc import Mapping

from euca_rpc.errors import EucaError
from euca_rpc.types import Caller

from .rendering import escaped

ACTION = "GetCallerIdentity"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def get_caller_identity(caller: Caller, parameters: Mapping[str, str], request_id: str) -> bytes:
    for name in parameters:
        raise EucaError("parameter_unknown", f"The parameter {name[:200]} is not recognized.")
    arn = f"arn:aws:iam::{caller.account_id}:user/{caller.user_name}"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{ACTION}Response xmlns="{_NAMESPACE}"><{ACTION}Result>'
        f"<Arn>{escaped(arn)}</Arn><UserId>{escaped(caller.user_id)}</UserId><Account>{caller.account_id}</Account>"
        f"</{ACTION}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{ACTION}Response>"
    ).encode()


def error(code: str, sentence: str, status: int, request_id: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ErrorResponse xmlns="{_NAMESPACE}"><Error>'
        f"<Type>{'Sender' if status < 500 else 'Receiver'}</Type><Code>{code}</Code>"
        f"<Message>{escaped(sentence)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()
