"""botocore's client and the endpoint, there and back: written, signed, verified, executed, rendered and read by the one
client, for every operation, every refused one and every error.

The halves, in all their parameters and elements, are in `test_ec2_roundtrips`; here nothing is between them but a socket,
which `before-send` stands in for.
"""

from __future__ import annotations

import ast
import base64
import dataclasses
import re
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import ec2_world as real
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

import euca_ec2
from euca_ec2.endpoint import Endpoint
from euca_ec2.errors import CODES, WireError
from euca_ec2.operations import ACTIONS, REFUSED
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_rpc.clock import SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.ids import request_id
from euca_rpc.nouns import Credential

KEY, SECRET = "AKROUNDTRIP000000001", "a secret of the round trip"
# Spellings of old versions, which today's client does not write.
OLDER = {"AddressingType"}


@dataclasses.dataclass
class Known:
    caller: object

    def by_access_key(self, access_key_id):
        return Credential(self.caller, SECRET) if access_key_id == KEY else None


@dataclasses.dataclass
class Body:
    content: bytes

    def stream(self):
        yield self.content


class Line:
    """A client of botocore's in front of a world's endpoint; ``answer`` is the last one's bytes."""

    def __init__(self, world, service="ec2", secret=SECRET, **nouns):
        core = dataclasses.replace(world.core, clock=SystemClock(), credentials=Known(world.ann), **nouns)
        self.endpoint, self.answer = Endpoint(core, Ec2Settings()), b""
        self.client = boto3.client(
            service,
            region_name="eucalyptus",
            endpoint_url="http://cloud.example/services/Eucalyptus",
            aws_access_key_id=KEY,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        self.client.meta.events.register("before-send", self.deliver)
        self.names = {
            self.client.meta.method_to_api_mapping[it]: it for it in self.client.meta.method_to_api_mapping
        }

    def deliver(self, request, **_):
        spelt = {"Host": "cloud.example", **request.headers}
        headers = tuple(
            (name.lower(), value.decode() if isinstance(value, bytes) else str(value))
            for name, value in spelt.items()
        )
        url, body = urlsplit(request.url), request.body or b""
        body = body.encode() if isinstance(body, str) else body
        response = self.endpoint.respond(Request(request.method, url.path, url.query, headers, body))
        self.answer = response.body
        return AWSResponse(request.url, response.status, dict(response.headers), Body(response.body))

    def ask(self, action, **given):
        """Its code and what it read: "200" or EC2's word for what was wrong."""
        try:
            return "200", getattr(self.client, self.names[action])(**given)
        except ClientError as error:
            return error.response["Error"]["Code"], error.response

    def input(self, action):
        return self.client.meta.service_model.operation_model(action).input_shape


def written(shape, given):
    """Query parameters as the client takes them: what it writes, backwards."""
    if shape.type_name == "structure":
        made = {}
        for member, sub in shape.members.items():
            said = sub.serialization.get("queryName") or sub.serialization.get("name") or member
            said = said[:1].upper() + said[1:]
            under = {
                name[len(said) + 1 :]: value
                for name, value in given.items()
                if name == said or name.startswith(f"{said}.")
            }
            if under:
                made[member] = written(sub, under)
        if isinstance(made.get("UserData"), str):  # the client encodes it by itself
            made["UserData"] = base64.b64decode(made["UserData"]).decode()
        return made
    if shape.type_name == "list":
        numbers = sorted({int(name.partition(".")[0]) for name in given})
        return [
            written(
                shape.member,
                {
                    name.partition(".")[2]: value
                    for name, value in given.items()
                    if name.partition(".")[0] == str(n)
                },
            )
            for n in numbers
        ]
    value = given[""]
    of = {"integer": int, "boolean": lambda it: it == "true", "blob": base64.b64decode}
    return of.get(shape.type_name, str)(value)


def least(shape):
    """What the client insists on."""
    if shape.type_name == "structure":
        return {name: least(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [least(shape.member)]
    return {"integer": 1, "boolean": True, "blob": b"x", "timestamp": 0}.get(shape.type_name, "x")


def masked(answer):
    return re.sub(r"<requestId>[^<]*", "<requestId>", real._masked(answer))


# ---------------------------------------------------------------------------------------------------- operations
LOOKS = ("Describe", "Get")
SAME = [(action, None) for action in ACTIONS] + [
    (action, name)
    for action, (_, cases) in real.CASES.items()
    if action.startswith(LOOKS)
    for name in cases
    if name not in OLDER
]


@pytest.mark.parametrize(
    ("action", "name"), SAME, ids=[f"{action}-{name or 'plain'}" for action, name in SAME]
)
def test_an_operation_is_what_it_is_by_hand(action, name, twins):
    """The client's request does and answers what the same parameters do that were written by hand."""
    first, second = twins(action)
    before = first.endpoint, second.endpoint
    line = Line(first)
    first.endpoint = line.endpoint
    second.endpoint = line.endpoint if second is first else Line(second).endpoint
    try:
        base, cases = real.CASES[action]
        given = base(first)
        if name is not None:
            case = cases[name](first)
            given = (
                case.added
                if isinstance(case, real.Whole)
                else {**given, **(case[1] if isinstance(case, tuple) else case)}
            )
        if action == "RunInstances":
            given = {**given, "ClientToken": "the client writes one by itself"}
        request_id(second.core.ids)  # what the whole way draws, so that both give the same ids
        code, text = second.ask(action, given)
        seen, read = line.ask(action, **written(line.input(action), given))
        assert seen == code
        if code == "200":
            assert masked(line.answer.decode()) == masked(text)
        else:
            assert read["Error"]["Message"] == text
    finally:
        first.endpoint, second.endpoint = before


@pytest.mark.parametrize("action", REFUSED)
def test_an_operation_that_is_not_done_is_refused_to_the_client_by_name(action, standing):
    line = Line(standing)
    code, read = line.ask(action, **least(line.input(action)))
    assert code == "UnsupportedOperation"
    assert read["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert action in read["Error"]["Message"]
    assert REFUSED[action].why in read["Error"]["Message"]


def test_who_asks(standing):
    line = Line(standing, "sts")
    code, read = line.ask("GetCallerIdentity")
    assert code == "200"
    assert (read["Account"], read["UserId"]) == (standing.ann.account_id, standing.ann.user_id)
    assert read["Arn"] == f"arn:aws:iam::{standing.ann.account_id}:user/{standing.ann.user_name}"


# -------------------------------------------------------------------------------------------------------- errors
class Raises:
    def __init__(self, error):
        self.error = error

    def describe(self, caller, names=()):
        raise self.error


def refused(standing, error):
    code, read = Line(standing, keys=Raises(error)).ask("DescribeKeyPairs")
    told = read["ResponseMetadata"]
    assert re.fullmatch(r"[0-9a-f-]{36}", told["RequestId"])
    return code, told["HTTPStatusCode"], read["Error"]["Message"]


@pytest.mark.parametrize("symbol", CODES)
def test_an_error_of_the_core_is_the_clients(symbol, standing):
    sentence = 'What was asked & what "there" is, <and> what next: é.'
    code, status, said = refused(standing, EucaError(symbol, sentence, private="hunter2"))
    assert (code, status) == CODES[symbol]
    assert "hunter2" not in said
    if symbol == "internal":
        assert said.startswith("An internal error occurred;")
    else:
        assert said == sentence


def codes():
    """Every code that the plugin writes by itself.  A code that is not written out fails the collection."""
    found = set()
    for path in Path(euca_ec2.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(call, "func", None), "id", "")
            if name in ("WireError", "none_of"):
                first = call.args[0]
                if isinstance(first, ast.Constant):
                    found.add(first.value)
                else:  # where `none_of` hands on what it was given
                    assert ast.unparse(first) == "code", f"{path.name}:{call.lineno}"
    return sorted(found)


@pytest.mark.parametrize("code", codes())
def test_an_error_of_the_plugin_is_the_clients(code, standing):
    assert refused(standing, WireError(code, "It is <so>.", 412)) == (code, 412, "It is <so>.")


@pytest.mark.parametrize("service", ["ec2", "sts"])
def test_a_wrong_secret_is_told_alike_by_both_services(service, standing):
    action = {"ec2": "DescribeKeyPairs", "sts": "GetCallerIdentity"}[service]
    code, read = Line(standing, service, secret="another one").ask(action)
    assert (code, read["ResponseMetadata"]["HTTPStatusCode"]) == ("AuthFailure", 401)


def test_an_error_in_the_shape_of_sts(standing):
    line = Line(standing, "sts")
    line.client.meta.events.register(
        "before-call.sts", lambda params, **_: params["body"].update(Colour="red")
    )
    code, read = line.ask("GetCallerIdentity")
    assert b"<ErrorResponse" in line.answer
    assert code == "UnknownParameter"
    assert read["Error"]["Type"] == "Sender"
    assert "Colour" in read["Error"]["Message"]
    assert read["ResponseMetadata"]["RequestId"]
