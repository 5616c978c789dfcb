"""SOAP 1.1 around the same messages: what the signed element asks for, and the envelopes of answers and faults.

The qualified name of the signed element decides what is done; SOAPAction is not read.  A fault is always HTTP 500: with
another status the original tools throw it away and print a stack trace of their own.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from euca_rpc.errors import SYMBOLS, EucaError

from .errors import code_of, sentence_of
from .rendering import DECLARATION, escaped

STATUS_OF_FAULTS = 500
_NAMESPACE = re.compile(r"http://ec2\.amazonaws\.com/doc/(\d{4}-\d\d-\d\d)/", re.ASCII)
_OPEN = '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
_CLOSE = "</soap:Body></soap:Envelope>"


def asked_for(element: Any) -> tuple[str, str]:
    """Version and action."""
    name = etree.QName(element)
    found = _NAMESPACE.fullmatch(name.namespace or "")
    if found is None:
        raise EucaError(
            "action_unknown",
            f"The namespace {(name.namespace or '')[:100]!r} is none of EC2's; it must be such as"
            " http://ec2.amazonaws.com/doc/2008-05-05/",
        )
    return found[1], name.localname


def enveloped(answer: bytes) -> bytes:
    return DECLARATION + _OPEN.encode() + answer.removeprefix(DECLARATION) + _CLOSE.encode()


def fault(error: EucaError, request_id: str) -> bytes:
    code, status = code_of(error)
    # "Server" tells the client that another try may help; a limit of requests is the client's own doing.
    side = "Server" if status >= 500 and SYMBOLS[error.symbol] != "throttled" else "Client"
    return (
        f"{DECLARATION.decode()}{_OPEN}<soap:Fault><faultcode>{side}.{code}</faultcode>"
        f"<faultstring>{escaped(sentence_of(error, request_id))}</faultstring>"
        '<detail><aws:RequestId xmlns:aws="http://webservices.amazon.com/AWSFault/2005-15-09">'
        f"{request_id}</aws:RequestId></detail></soap:Fault>{_CLOSE}"
    ).encode()
