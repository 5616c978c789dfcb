"""Requests of real clients, exactly as they were sent: each verifies, and no signed byte of it can be changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from euca_ec2.operations import ACTIONS
from euca_ec2.parsing import parser
from euca_ec2.request import Request
from euca_ec2.signing import moment_of, verify
from euca_ec2.sigv4 import _moment
from euca_rpc.clock import MINUTE
from euca_rpc.errors import EucaError
from euca_rpc.nouns import Credential
from euca_rpc.types import Caller

SHARED = Path(__file__).resolve().parents[4] / "shared"
CLIENTS = (
    "awscli-1.46.3",
    "boto-2.49.0-euca",
    "boto3-1.44.5-sigv4",
    "boto3-1.44.5-sigv2",
    "boto-2.49.0-sigv1",
)
FILES = [path for client in CLIENTS for path in sorted((SHARED / "captures" / client).glob("*.http"))]
CREDENTIAL = Credential(Caller("u", "u", "222222222222", False), "throwaway-secret-key-for-captures")

if not FILES:
    pytest.skip("the shared captures are not beside this checkout", allow_module_level=True)


def lookup(access_key):
    return CREDENTIAL if access_key == "AKTHROWAWAY000000001" else None


def read(path) -> tuple[Request, int]:
    """The request, and the moment it was signed."""
    head, body = path.read_bytes().replace(b"\r\n", b"\n").split(b"\n\n", 1)
    first, *lines = head.decode().split("\n")
    method, target, _ = first.split(" ")
    split_path, _, query = target.partition("?")
    headers = tuple((line.split(": ", 1)[0].lower(), line.split(": ", 1)[1]) for line in lines)
    length = next(int(value) for name, value in headers if name == "content-length")
    request = Request(method, split_path, query, headers, body[:length])
    stamp = request.header("x-amz-date")
    if stamp:
        return request, _moment(stamp)
    return request, moment_of(parse_qs(request.body.decode() + request.query)["Timestamp"][0])


def named(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_verifies_and_parses(path):
    request, at = read(path)
    seen = verify(request, lookup, at, allow_v1="sigv1" in path.parent.name)
    assert seen.caller == CREDENTIAL.caller
    parameters = dict(seen.parameters)
    assert not {"Signature", "AWSAccessKeyId"} & set(parameters)
    parameters.pop("Version")
    action = parameters.pop("Action")
    assert action == path.stem.split(".")[0]
    message = parser(ACTIONS[action].request)(parameters)
    if action == "RunInstances":
        assert (message.image_id, message.min_count, message.user_data) == (
            "emi-12345678",
            1,
            b"user data text",
        )


@pytest.mark.parametrize("path", FILES, ids=named)
@pytest.mark.parametrize("off", [-15 * MINUTE - 1_000_000, 15 * MINUTE + 1_000_000])
def test_is_expired_a_quarter_of_an_hour_away(path, off):
    request, at = read(path)
    with pytest.raises(EucaError) as caught:
        verify(request, lookup, at + off, allow_v1=True)
    assert caught.value.symbol == "request_expired"


@pytest.mark.parametrize("path", [path for path in FILES if "sigv1" in str(path)], ids=named)
def test_version_1_is_refused_unless_switched_on(path):
    request, at = read(path)
    with pytest.raises(EucaError) as caught:
        verify(request, lookup, at)
    assert caught.value.symbol == "auth_failure"


def changed(text: bytes, at: int) -> list[bytes]:
    """The text with its byte at a place changed: one bit, case, and something quite different."""
    others = {text[at] ^ 1, text[at] ^ 0x20, ord("A") if text[at] != ord("A") else ord("B")}
    return [text[:at] + bytes([other]) + text[at + 1 :] for other in others if 32 <= other < 127]


def mutants(request: Request):
    """Every request that differs in one byte of what its signature covers."""

    def over(text: str, make):
        for at in range(len(text)):
            for other in changed(text.encode(), at):
                yield make(other.decode())

    authorization = request.header("authorization")
    v1 = b"SignatureVersion=1" in request.body or "SignatureVersion=1" in request.query
    if not v1:
        yield from over(request.method, lambda it: replace(request, method=it))
        yield from over(request.path, lambda it: replace(request, path=it))
    yield from over(request.query, lambda it: replace(request, query=it))
    if authorization:
        signed = [*authorization.split("SignedHeaders=")[1].split(",")[0].split(";"), "authorization"]
    else:
        signed = [] if v1 else ["host"]
    for index, (name, value) in enumerate(request.headers):
        if name in signed:
            before, after = request.headers[:index], request.headers[index + 1 :]
            for mutant in over(value, lambda it: it):
                yield replace(request, headers=(*before, (name, mutant), *after))
    for at in range(len(request.body)):
        for other in changed(request.body, at):
            yield replace(request, body=other)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_signed_byte_can_be_changed(path):
    request, at = read(path)
    v1 = "sigv1" in path.parent.name
    right = verify(request, lookup, at, allow_v1=v1)
    tried, symbols = 0, set()
    for mutant in mutants(request):
        tried += 1
        try:
            seen = verify(mutant, lookup, at, allow_v1=v1)
        except EucaError as error:
            symbols.add(error.symbol)
            continue
        # Signed are decoded parameters (but a body of version 4): another spelling of the very same ones, such as %3a
        # for %3A, is no change …
        if (
            (right.scheme != "4" or mutant.body == request.body)
            and seen.parameters == right.parameters
            and seen.signature == right.signature
        ):
            continue
        # … and version 1 cannot tell a name from a value, which is why it is off.
        assert right.scheme == "1", mutant
        assert sorted("".join(n + v for n, v in sorted(seen.parameters.items()))) == sorted(
            "".join(n + v for n, v in sorted(right.parameters.items()))
        ), mutant
    assert tried > 200
    assert symbols <= {"auth_failure", "parameter_invalid", "parameter_conflict"}
