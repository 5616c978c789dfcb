"""botocore's model as the oracle, in both directions, for every operation and every error.

Requests: botocore writes every member that we know, filled; our parser finds all of it.  Answers: of the bytes that a real
cloud's answer is made of, botocore's parser loses nothing.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from ec2_world import CASES, VERSION, Whole
from lxml import etree

import euca_ec2
from euca_ec2 import coverage
from euca_ec2.endpoint import Endpoint, _error, _Trail
from euca_ec2.errors import CODES, WireError
from euca_ec2.fields import Kind, Named, Numbered
from euca_ec2.operations import ACTIONS, REFUSED
from euca_ec2.parsing import parser
from euca_ec2.settings import Ec2Settings
from euca_rpc.errors import SYMBOLS, EucaError

MODEL = botocore.session.get_session().get_service_model("ec2")
SERIALIZER = create_serializer("ec2")
PARSER = create_parser("ec2")
# What we accept and today's SDKs no longer send: spellings of old versions, and names next to ids.
OLDER = {
    ("RunInstances", "AddressingType"), ("DescribeAccountAttributes", "attributeName"),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- requests
def query_name(name, shape) -> str:
    said = shape.serialization.get("queryName") or shape.serialization.get("name") or name
    return said[:1].upper() + said[1:]


def filled(shape, names, kinds):
    """A value for a member, as deep as our names go: ``names`` maps each path that we know to its kind."""
    if shape.type_name == "structure":
        inside = {}
        for member, sub in shape.members.items():
            said = query_name(member, sub)
            under = {
                path[len(said) + 1 :]: kind for path, kind in names.items() if path.startswith(said + ".")
            }
            if said in names or under:
                inside[member] = filled(sub, under or {"": names[said]}, kinds)
        return inside
    kind = names.get("")
    if shape.type_name == "list":
        if isinstance(kind, Numbered) and kind.of is not None:
            inner = {wire.name: wire.kind for wire in coverage.wires(kind.of)}
            return [filled(shape.member, inner, kinds) for _ in range(2)]
        return ["one", "two & a <half>"]
    if isinstance(kind, Named):
        return kind.words[-1]
    return {
        "integer": 7,
        "boolean": True,
        "blob": b"some bytes",
        "string": base64.b64encode(b"some bytes").decode() if kind is Kind.BASE64 else "a text & more",
    }[shape.type_name]


def expected(kind, in_list=False):
    if isinstance(kind, Numbered):
        if kind.of is None:
            return ("one", "two & a <half>")
        one = kind.of(**{it.name: expected(it.metadata["wire"].kind) for it in dataclasses.fields(kind.of)})
        return (one, one)
    if isinstance(kind, Named):
        return kind.words[-1]
    return {Kind.INTEGER: 7, Kind.FLAG: True, Kind.BASE64: b"some bytes", Kind.TEXT: "a text & more"}[kind]


@pytest.mark.parametrize("action", ACTIONS)
def test_what_botocore_writes_is_read_whole(action):
    operation, message = MODEL.operation_model(action), ACTIONS[action].request
    names = {wire.name: wire.kind for wire in coverage.wires(message)}
    given = filled(operation.input_shape, names, names)
    body = SERIALIZER.serialize_to_request(given, operation)["body"]
    assert body.pop("Action") == action
    assert body.pop("Version") == VERSION
    seen = parser(message)({name: str(value) for name, value in body.items()})
    for field in dataclasses.fields(message):
        wire = field.metadata["wire"]
        if (action, wire.name) in OLDER:
            assert getattr(seen, field.name) == field.default
        else:
            assert getattr(seen, field.name) == expected(wire.kind), wire.name


# -------------------------------------------------------------------------------------------------- answers
def leaves(element, shape, path=()):
    """The texts that botocore should find, as (path, value); those it has no member for are marked with None."""
    name = etree.QName(element).localname
    if shape is None:
        yield (*path, name), None
    elif shape.type_name == "structure":
        members = {(sub.serialization.get("name") or key): (key, sub) for key, sub in shape.members.items()}
        for child in element:
            key, sub = members.get(etree.QName(child).localname, (None, None))
            yield from leaves(child, sub, (*path, key or etree.QName(child).localname))
    elif shape.type_name == "list":
        for number, item in enumerate(element):
            yield from leaves(item, shape.member, (*path, number))
    else:
        yield path, element.text or ""


def found(parsed, path):
    for part in path:
        parsed = parsed[part]
    return parsed


def spelt(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return str(value)


# Elements that the model does not have any more; old tools read them.
UNKNOWN_TO_BOTOCORE = {"requestId"}


def answers(world, action):
    base, cases = CASES[action]
    yield base(world)
    for make in cases.values():
        given = make(world)
        if isinstance(given, Whole):
            yield given.added
        else:
            yield {**base(world), **(given[1] if isinstance(given, tuple) else given)}


@pytest.mark.parametrize("action", ACTIONS)
def test_botocore_loses_nothing_of_an_answer(action, world, standing):
    looks = action.startswith(("Describe", "Get"))
    shape, seen = MODEL.operation_model(action).output_shape, 0
    for given in answers(standing, action):
        here = standing if looks else world()
        code, answer = here.ask(action, given)
        if code != "200":
            continue
        seen += 1
        document = etree.fromstring(answer.encode())
        parsed = PARSER.parse({"status_code": 200, "headers": {}, "body": answer.encode()}, shape)
        lost = set()
        for path, text in leaves(document, shape) if shape is not None else ():
            if text is None:
                lost.add(path[-1])
            elif path[-1] == "Output" or path[-2:] == ("UserData", "Value"):
                assert found(parsed, path)
            else:
                assert spelt(found(parsed, path)) == text, path
        assert lost <= UNKNOWN_TO_BOTOCORE, lost
        if not looks:
            here.close()
    assert seen >= 1


# --------------------------------------------------------------------------------------------------- errors
def botocore_reads(response):
    parsed = PARSER.parse({"status_code": response.status, "headers": {}, "body": response.body}, None)
    return parsed["Error"]["Code"], parsed["Error"]["Message"], parsed["ResponseMetadata"]["RequestId"]


class Raises:
    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        def refuse(*_, **__):
            raise self.error

        return refuse


def test_every_symbol_has_a_code():
    assert set(CODES) == set(SYMBOLS)


@pytest.mark.parametrize("symbol", CODES)
def test_every_error_of_the_core_reaches_the_client(symbol, standing):
    error = EucaError(symbol, 'What was asked & what "there" is, <and> what next.', private="hunter2")
    core = dataclasses.replace(standing.core, keys=Raises(error))
    endpoint = Endpoint(core, Ec2Settings())
    standing.endpoint, before = endpoint, standing.endpoint
    try:
        code, sentence = standing.ask("DescribeKeyPairs", {})
    finally:
        standing.endpoint = before
    assert (code, sentence) == (CODES[symbol][0], error.sentence)
    response = _error(error, "request-1", _Trail())
    seen_code, seen, request_id = botocore_reads(response)
    assert (seen_code, response.status, request_id) == (*CODES[symbol], "request-1")
    assert seen == (
        error.sentence
        if symbol != "internal"
        else "An internal error occurred; the cloud's log tells it under the request id request-1."
    )
    assert b"hunter2" not in response.body


def own_codes():
    """Every code that the plugin says by itself, off its source."""
    text = "".join(path.read_text() for path in Path(euca_ec2.__file__).parent.rglob("*.py"))
    return sorted(set(re.findall(r'(?:WireError|none_of)\(\s*"([A-Za-z.]+)"', text)))


@pytest.mark.parametrize("code", own_codes())
def test_every_error_of_the_plugin_reaches_the_client(code):
    response = _error(WireError(code, "It is <so>."), "request-1", _Trail())
    assert botocore_reads(response) == (code, "It is <so>.", "request-1")


PROVOKED = {
    "InvalidInstanceID.Malformed": ("TerminateInstances", {"InstanceId.1": "i-1"}),
    "InvalidInstanceID.NotFound": ("TerminateInstances", {"InstanceId.1": "i-00000000"}),
    "InvalidAMIID.Malformed": ("DeregisterImage", {"ImageId": "ami-1"}),
    "InvalidAMIID.NotFound": ("DeregisterImage", {"ImageId": "emi-00000000"}),
    "InvalidKeyPair.NotFound": ("DeleteKeyPair", {"KeyPairId": "key-00000000"}),
    "InvalidKeyPair.Duplicate": ("ImportKeyPair", {"KeyName": "one", "PublicKeyMaterial": "c3NoLWVkMjU1MTkgQUFBQUMzTnphQzFsWkRJMU5URTVBQUFBSUFBQkFnTUVCUVlIQ0FrS0N3d05EZzhRRVJJVEZCVVdGeGdaR2hzY0hSNGYgbWU="}),
    "InvalidKey.Format": ("ImportKeyPair", {"KeyName": "x", "PublicKeyMaterial": "cnViYmlzaA=="}),
    "InvalidZone.NotFound": ("DescribeAvailabilityZones", {"ZoneName.1": "mars"}),
    "InvalidInstanceType": ("DescribeInstanceTypes", {"InstanceType.1": "t9.huge"}),
    "InvalidGroup.NotFound": ("DescribeSecurityGroups", {"GroupName.1": "web"}),
    "InvalidVpcID.NotFound": ("DescribeVpcs", {"VpcId.1": "vpc-1"}),
    "InvalidSubnetID.NotFound": ("DescribeSubnets", {"SubnetId.1": "subnet-1"}),
    "InvalidVolume.NotFound": ("DescribeVolumes", {"VolumeId.1": "vol-1"}),
    "InvalidSnapshot.NotFound": ("DescribeSnapshots", {"SnapshotId.1": "snap-1"}),
    "InvalidAddress.NotFound": ("DescribeAddresses", {"PublicIp.1": "127.0.0.1"}),
    "InvalidAllocationID.NotFound": ("DescribeAddresses", {"AllocationId.1": "eipalloc-1"}),
    "InvalidID": ("CreateTags", {"ResourceId.1": "vol-00000000", "Tag.1.Key": "a"}),
    "FilterLimitExceeded": ("DescribeTags", {"Filter.1.Name": "key", **{f"Filter.1.Value.{n}": "x" for n in range(1, 202)}}),
    "DryRunOperation": ("DescribeTags", {"DryRun": "true"}),
    "InvalidNextToken": ("DescribeTags", {"NextToken": "made-up"}),
    "InvalidParameterCombination": ("DescribeImages", {"ImageId.1": "emi-00000001", "MaxResults": "5"}),
    "InvalidParameterValue": ("DescribeImageAttribute", {"ImageId": "emi-00000001", "Attribute": "colour"}),
    "MissingParameter": ("CreateTags", {"ResourceId.1": "i-00000000"}),
    "UnknownParameter": ("CreateTags", {"ResourceId.1": "i-00000000", "Colour": "red"}),
    "UnsupportedOperation": ("RunInstances", {"ImageId": "emi-00000001", "MinCount": "1", "MaxCount": "1", "EbsOptimized": "true"}),
    "InsufficientInstanceCapacity": ("RunInstances", {"ImageId": "emi-00000001", "MinCount": "9", "MaxCount": "9", "InstanceType": "x1.huge", "Placement.AvailabilityZone": "west"}),
    "InstanceLimitExceeded": ("RunInstances", {"ImageId": "emi-00000001", "MinCount": "100", "MaxCount": "100", "ClientToken": "other"}),
    "InvalidAction": ("CreateLaunchTemplate", {}),
}  # fmt: skip


@pytest.mark.parametrize("expected_code", PROVOKED)
def test_errors_that_clients_meet(expected_code, standing):
    code, sentence = standing.ask(*PROVOKED[expected_code])
    assert code == expected_code, sentence
    assert sentence


@pytest.mark.parametrize("action", REFUSED)
def test_what_the_network_cannot_do_is_refused_with_its_reason(action, standing):
    assert action in MODEL.operation_names
    code, sentence = standing.ask(action, {"Whatever": "it says"})
    assert code == "UnsupportedOperation"
    assert action in sentence
    assert REFUSED[action].why in sentence
    if REFUSED[action].since:
        assert standing.ask(action, {}, version="2007-08-29")[0] == "InvalidAction"


@pytest.mark.parametrize("action", [name for name, it in ACTIONS.items() if it.since])
def test_an_action_is_not_there_before_its_version(action, standing):
    code, sentence = standing.ask(action, {}, version="2007-08-29")
    assert code == "InvalidAction"
    assert action in sentence
    assert "2007-08-29" in sentence
    assert standing.ask(action, {}, version=ACTIONS[action].since)[0] != "InvalidAction"
