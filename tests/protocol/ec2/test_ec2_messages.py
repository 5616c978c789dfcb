"""Reading and writing messages, without a server."""

from __future__ import annotations

import dataclasses

import pytest

from euca_ec2 import rendering
from euca_ec2.filters import matching
from euca_ec2.messages.instances import GetConsoleOutput, RunInstances, TerminateInstances
from euca_ec2.messages.places import Filter
from euca_ec2.messages.shown import INSTANCES, DescribeInstances, DescribeInstancesAnswer, ReservationItem
from euca_ec2.parsing import parser
from euca_ec2.rendering import Renderer
from euca_rpc.errors import EucaError

LAUNCH = {"ImageId": "emi-12345678", "MinCount": "1", "MaxCount": "1"}


@pytest.mark.parametrize(
    ("message", "parameters", "symbol", "said"),
    [
        (RunInstances, {**LAUNCH, "Colour": "red"}, "parameter_unknown", "Colour"),
        (RunInstances, {"ImageId": "x"}, "parameter_missing", "MinCount"),
        (RunInstances, {**LAUNCH, "MinCount": "one"}, "parameter_invalid", "MinCount"),
        (RunInstances, {**LAUNCH, "MinCount": "1.0"}, "parameter_invalid", "MinCount"),
        (RunInstances, {**LAUNCH, "MinCount": ""}, "parameter_invalid", "MinCount"),
        (RunInstances, {**LAUNCH, "MinCount": "٣"}, "parameter_invalid", "MinCount"),
        (RunInstances, {**LAUNCH, "DryRun": "yes"}, "parameter_invalid", "DryRun"),
        (RunInstances, {**LAUNCH, "UserData": "%%%"}, "parameter_invalid", "UserData"),
        (RunInstances, {**LAUNCH, "SecurityGroup": "default"}, "parameter_unknown", "SecurityGroup"),
        (TerminateInstances, {}, "parameter_missing", "InstanceId.1"),
        (TerminateInstances, {"InstanceId.0": "i-1"}, "parameter_unknown", "InstanceId.0"),
        (TerminateInstances, {"InstanceId.01": "i-1"}, "parameter_unknown", "InstanceId.01"),
        (TerminateInstances, {"InstanceId.1.2": "i-1"}, "parameter_unknown", "InstanceId.1.2"),
        (TerminateInstances, {f"InstanceId.{n}": "i" for n in range(1, 1002)}, "parameter_invalid", "1001"),
        (DescribeInstances, {"Filter.1": "x"}, "parameter_unknown", "Filter.1"),
        (DescribeInstances, {"Filter.1.Value.1": "x"}, "parameter_missing", "Name"),
        (DescribeInstances, {"Filter.1.Name": "x", "Filter.1.Like": "y"}, "parameter_unknown", "Like"),
        (GetConsoleOutput, {"InstanceId": "i-1", "InstanceId.1": "i-2"}, "parameter_conflict", "InstanceId"),
    ],
)
def test_what_is_wrong_is_named(message, parameters, symbol, said):
    with pytest.raises(EucaError) as caught:
        parser(message)(parameters)
    assert caught.value.symbol == symbol
    assert said in caught.value.sentence


def test_user_data_may_have_line_breaks_and_is_not_in_the_repr():
    message = parser(RunInstances)({**LAUNCH, "UserData": "dXNlciBk\r\nYXRhIHRl\neHQ=\n"})
    assert message.user_data == b"user data text"
    assert "user data" not in repr(message)


def test_both_spellings_of_the_console_request():
    for name in ("InstanceId", "InstanceId.1"):
        assert parser(GetConsoleOutput)({name: "i-1"}).instance_id == "i-1"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("m1.*", "m1.small", True),
        ("m1.*", "m1xsmall", False),
        ("m?.small", "m1.small", True),
        ("m?.small", "m10.small", False),
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"a\\b", r"a\b", True),
        ("[a-z]", "a", False),
        ("[a-z]", "[a-z]", True),
        ("RUNNING", "running", False),
        ("*" * 8 + "x", "a" * 5000, False),  # in no time
        ("*a*a*a*a*a*a*a*b", "a" * 60, False),
    ],
)
def test_wildcards(pattern, text, expected):
    test = matching((Filter("f", (pattern,)),), {"f": lambda it: (it,)})
    assert test(text) is expected


@pytest.fixture
def many(cloud):
    from euca_rpc.types import LaunchRequest

    caller = cloud.by_access_key("AKADMIN0000000000001").caller
    held = cloud.instances.launch(caller, LaunchRequest("emi-12345678", 1, 50)).reservation
    cloud.settle()
    return cloud, held


def answer(cloud, held):
    inside = tuple(cloud.rows[id] for id in held.instance_ids)
    return DescribeInstancesAnswer(((held, inside),))


def test_an_instance_is_rendered_once_until_it_changes(many, monkeypatch):
    cloud, held = many
    made = []
    counting = dataclasses.replace(INSTANCES, make=lambda it: made.append(it) or INSTANCES.make(it))
    field = next(it for it in dataclasses.fields(ReservationItem) if it.name == "instances")
    wire = dataclasses.replace(field.metadata["wire"], kind=counting)
    monkeypatch.setattr(field, "metadata", {"wire": wire})
    renderer = Renderer()
    first = renderer.render("DescribeInstances", answer(cloud, held), "2016-11-15", "r")
    assert len(made) == 50
    assert (
        renderer.render("DescribeInstances", answer(cloud, held), "2016-12-31", "r").count(b"<instanceId>")
        == 50
    )
    assert len(made) == 50  # another version of the same era has the same bytes
    one = held.instance_ids[7]
    row = cloud.rows[one]
    changed = dataclasses.replace(row.instance, version=row.instance.version + 1, reason="it was so")
    cloud.rows[one] = dataclasses.replace(row, instance=changed)
    second = renderer.render("DescribeInstances", answer(cloud, held), "2016-11-15", "r")
    assert len(made) == 51
    assert b"it was so" in second
    assert b"it was so" not in first
    cloud.rows[one] = dataclasses.replace(cloud.rows[one], state="stopping")  # a state may change by itself
    assert b"<name>stopping</name>" in renderer.render(
        "DescribeInstances", answer(cloud, held), "2016-11-15", "r"
    )


def test_what_is_remembered_is_bounded(many, monkeypatch):
    monkeypatch.setattr(rendering, "MOST_REMEMBERED", 10)
    cloud, held = many
    renderer = Renderer()
    for _ in range(3):
        body = renderer.render("DescribeInstances", answer(cloud, held), "2016-11-15", "r")
        assert body.count(b"<instanceId>") == 50
