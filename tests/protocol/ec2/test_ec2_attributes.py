"""Attributes of machines and images, seen on a real cloud."""

from __future__ import annotations

import base64

import pytest
from ec2_world import NS, asked, launched, refused, texts

from euca_ec2.operations import ACTIONS

# ------------------------------------------------------------------------------------------------- attributes
ATTRIBUTES = {
    "instanceType": ("InstanceType.Value", "m1.large"), "disableApiTermination": ("DisableApiTermination.Value", "true"),
    "instanceInitiatedShutdownBehavior": ("InstanceInitiatedShutdownBehavior.Value", "stop"),
    "userData": ("UserData.Value", base64.b64encode(b"new").decode()),
}  # fmt: skip


@pytest.mark.parametrize("attribute", ATTRIBUTES)
@pytest.mark.parametrize("old_spelling", [True, False])
def test_an_attribute_that_is_changed_is_shown_so(attribute, old_spelling, world):
    w = world()
    name, value = ATTRIBUTES[attribute]
    given = {"Attribute": attribute, "Value": value} if old_spelling else {name: value}
    assert w.ask("ModifyInstanceAttribute", {"InstanceId": w.stopped, **given}) == ("200", ANY)
    shown = asked(w, "DescribeInstanceAttribute", InstanceId=w.stopped, Attribute=attribute)
    assert texts(shown, f"{attribute}/value") == [value]


class _Any:
    def __eq__(self, other):
        return True

    __hash__ = None


ANY = _Any()


def test_every_attribute_is_described(standing):
    for name in (
        ACTIONS["DescribeInstanceAttribute"]
        .request.__dataclass_fields__["attribute"]
        .metadata["wire"]
        .kind.words
    ):
        shown = asked(standing, "DescribeInstanceAttribute", InstanceId=standing.running, Attribute=name)
        assert shown.find(f"e:{name}", NS) is not None


def test_kernel_and_ramdisk_go_back_to_the_images(world):
    w = world()
    for attribute, prefix in (("kernel", "eki"), ("ramdisk", "eri")):
        asked(w, "ResetInstanceAttribute", InstanceId=w.stopped, Attribute=attribute)
        shown = asked(w, "DescribeInstanceAttribute", InstanceId=w.stopped, Attribute=attribute)
        assert texts(shown, f"{attribute}/value")[0].startswith(prefix)
    assert (
        refused(w, "ResetInstanceAttribute", InstanceId=w.running, Attribute="kernel")[0]
        == "IncorrectInstanceState"
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "MissingParameter"),
        ({"Attribute": "instanceType"}, "MissingParameter"),
        ({"Attribute": "colour", "Value": "red"}, "InvalidParameterValue"),
        ({"InstanceType.Value": "m1.large", "Kernel.Value": "eki-00000000"}, "InvalidParameterCombination"),
        ({"InstanceType.Value": "t9.huge"}, "InvalidInstanceType"),
        ({"Kernel.Value": "emi-00000001"}, "InvalidAMIID.Malformed"),
        ({"SourceDestCheck.Value": "false"}, "UnsupportedOperation"),
        ({"EbsOptimized.Value": "true"}, "UnsupportedOperation"),
        ({"GroupId.1": "sg-00000000"}, "InvalidGroup.NotFound"),
        ({"Attribute": "disableApiTermination", "Value": "perhaps"}, "InvalidParameterValue"),
        ({"Attribute": "userData", "Value": "%"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_changes_that_are_refused(given, code, standing):
    seen, sentence = standing.ask("ModifyInstanceAttribute", {"InstanceId": standing.stopped, **given})
    assert seen == code, sentence


def test_a_protected_machine_is_not_terminated(world):
    w = world()
    id = launched(w, DisableApiTermination="true", ClientToken="once")
    code, sentence = refused(w, "TerminateInstances", InstanceId__1=id)
    assert code == "OperationNotPermitted"
    assert "disableApiTermination" in sentence
    assert launched(w, DisableApiTermination="true", ClientToken="once") == id
    asked(w, "ModifyInstanceAttribute", InstanceId=id, DisableApiTermination__Value="false")
    asked(w, "TerminateInstances", InstanceId__1=id)
