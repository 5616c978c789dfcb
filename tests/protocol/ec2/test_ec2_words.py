"""Hints, the default network, dry runs, pages, limits and SOAP's words for the same, seen on a real cloud."""

from __future__ import annotations

import re

import pytest
from ec2_world import CASES, COUNTS, asked, launched, refused, texts
from lxml import etree

from euca_ec2.endpoint import Endpoint
from euca_ec2.operations import ACTIONS
from euca_ec2.parsing import parser
from euca_ec2.settings import Ec2Settings, read
from euca_ec2.soap_parsing import reader
from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError


# -------------------------------------------------------------------------------------------------- policies
def test_hints_reach_the_policies(world):
    w = world()
    launched(
        w, AdditionalInfo="deadline = soon\r\n\ncolour=red\n", Placement__GroupName="near",
        InstanceMarketOptions__MarketType="spot", InstanceMarketOptions__SpotOptions__MaxPrice="0.25",
        TagSpecification__1__ResourceType="instance", TagSpecification__1__Tag__1__Key="euca:rack",
        TagSpecification__1__Tag__1__Value="7", TagSpecification__1__Tag__2__Key="Name",
    )  # fmt: skip
    service_class, hints, _ = w.placer.told[-1]
    assert service_class == "best_effort"
    assert hints == [
        ("bid", "0.25"),
        ("colour", "red"),
        ("deadline", "soon"),
        ("group", "near"),
        ("rack", "7"),
    ]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"AdditionalInfo": "no hint at all"}, "InvalidParameterValue"),
        ({"AdditionalInfo": "=value"}, "InvalidParameterValue"),
        ({"AdditionalInfo": "wait=long"}, "InvalidParameterValue"),
        ({"AdditionalInfo": "duration=60\nmax-duration=30"}, "InvalidParameterValue"),
        ({"AdditionalInfo": "start=tomorrow"}, "InvalidParameterValue"),
        ({"AdditionalInfo": "a=1\na=2"}, "InvalidParameterCombination"),
        ({"AdditionalInfo": "group=far", "Placement.GroupName": "near"}, "InvalidParameterCombination"),
        ({"AdditionalInfo": "\n".join(f"h{n}=1" for n in range(51))}, "InvalidParameterValue"),
        ({"AdditionalInfo": "a=" + "x" * 256}, "InvalidParameterValue"),
        ({"InstanceMarketOptions.SpotOptions.MaxPrice": "1"}, "InvalidParameterCombination"),
        ({"InstanceMarketOptions.MarketType": "futures"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_hints_that_are_refused(given, code, standing):
    seen, sentence = standing.ask("RunInstances", {"ImageId": standing.image, **COUNTS, **given})
    assert seen == code, sentence


# --------------------------------------------------------------------------------------------------- network
def test_the_default_network_is_shown_alike_everywhere(world):
    w = world()
    (vpc,) = texts(asked(w, "DescribeVpcs"), "vpcSet/item/vpcId")
    subnets = asked(w, "DescribeSubnets")
    by_zone = dict(
        zip(
            texts(subnets, "subnetSet/item/availabilityZone"),
            texts(subnets, "subnetSet/item/subnetId"),
            strict=True,
        )
    )
    assert sorted(by_zone) == ["east", "north", "open", "south", "up", "west"]
    assert set(texts(subnets, "subnetSet/item/vpcId")) == {vpc}
    id = launched(w, SubnetId=by_zone["west"], SecurityGroupId__1="default")
    shown = asked(w, "DescribeInstances", Filter__1__Name="subnet-id", Filter__1__Value__1=by_zone["west"],
                  Filter__2__Name="vpc-id", Filter__2__Value__1=vpc)  # fmt: skip
    one = "reservationSet/item/instancesSet/item/"
    assert texts(shown, one + "instanceId") == [id]
    assert texts(shown, one + "placement/availabilityZone") == ["west"]
    assert (texts(shown, one + "subnetId"), texts(shown, one + "vpcId")) == ([by_zone["west"]], [vpc])
    assert texts(asked(w, "DescribeSecurityGroups"), "securityGroupInfo/item/vpcId") == [vpc]
    attributes = asked(w, "DescribeAccountAttributes", AttributeName__1="default-vpc")
    assert attributes.findtext(".//{*}attributeValue") == vpc
    assert b"subnetId" not in etree.tostring(asked(w, "DescribeInstances", version="2010-08-31"))
    wrong = refused(
        w,
        "RunInstances",
        ImageId=w.image,
        **COUNTS,
        SubnetId=by_zone["west"],
        Placement__AvailabilityZone="east",
    )
    assert wrong[0] == "InvalidSubnetID.NotFound"


def test_types_are_offered_where_a_node_could_hold_them(standing):
    tree = asked(standing, "DescribeInstanceTypeOfferings", LocationType="availability-zone")
    assert len(texts(tree, "instanceTypeOfferingSet/item/location")) == 6 * 6
    tree = asked(
        standing,
        "DescribeInstanceTypeOfferings",
        Filter__1__Name="instance-type",
        Filter__1__Value__1="m1.small",
    )
    assert texts(tree, "instanceTypeOfferingSet/item/location") == ["eucalyptus"]


# ------------------------------------------------------------------------------------------- dry runs and pages
@pytest.mark.parametrize("action", ACTIONS)
def test_a_dry_run_does_nothing_and_says_so(action, standing):
    before = standing.bench.view.number
    code, sentence = standing.ask(action, {**CASES[action][0](standing), "DryRun": "true"})
    assert (code, sentence) == ("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    assert standing.bench.view.number == before


DRY_REFUSALS = [
    ("RunInstances", {"ImageId": "emi-00000000", **COUNTS}, "InvalidAMIID.NotFound"),
    ("RunInstances", {"ImageId": "emi-00000001", "KeyName": "none", **COUNTS}, "InvalidKeyPair.NotFound"),
    ("RunInstances", {"ImageId": "emi-00000001", "InstanceType": "t9.huge", **COUNTS}, "InvalidInstanceType"),
    ("RunInstances", {"ImageId": "emi-00000001", "Placement.AvailabilityZone": "mars", **COUNTS}, "InvalidZone.NotFound"),
    ("CreateKeyPair", {"KeyName": "one"}, "InvalidKeyPair.Duplicate"),
    ("CreateTags", {"ResourceId.1": "i-00000000", "Tag.1.Key": "a"}, "InvalidInstanceID.NotFound"),
    ("DeleteTags", {"ResourceId.1": "emi-00000000"}, "InvalidAMIID.NotFound"),
    ("StopInstances", {"InstanceId.1": "i-00000000"}, "InvalidInstanceID.NotFound"),
    ("ModifyInstanceAttribute", {"InstanceId": "i-00000000", "InstanceType.Value": "m1.small"}, "InvalidInstanceID.NotFound"),
    ("DescribeInstances", {"InstanceId.1": "i-00000000"}, "InvalidInstanceID.NotFound"),
    ("DescribeImages", {"ImageId.1": "emi-00000000"}, "InvalidAMIID.NotFound"),
]  # fmt: skip


@pytest.mark.parametrize(("action", "given", "code"), DRY_REFUSALS)
def test_a_dry_run_of_what_would_fail_fails(action, given, code, standing):
    assert standing.ask(action, {**given, "DryRun": "true"})[0] == code


PAGED = {
    "DescribeInstances": (5, "instanceId"), "DescribeInstanceStatus": (5, "instanceId"), "DescribeImages": (1, "imageId"),
    "DescribeInstanceTypes": (5, "instanceType"), "DescribeInstanceTypeOfferings": (5, "instanceType"),
    "DescribeTags": (5, "resourceId"), "DescribeSubnets": (5, "subnetId"), "DescribeVpcs": (5, "vpcId"),
    "DescribeSecurityGroups": (5, "groupId"), "DescribeVolumes": (5, "volumeId"), "DescribeSnapshots": (5, "snapshotId"),
}  # fmt: skip


@pytest.mark.parametrize("action", PAGED)
def test_pages_together_are_the_whole_list(action, standing):
    size, name = PAGED[action]

    def ids(tree):
        return [it.text for it in tree.iterfind(f".//{{*}}{name}")]

    whole, seen, given = ids(asked(standing, action)), [], {"MaxResults": str(size)}
    for _ in range(20):
        code, answer = standing.ask(action, given)
        assert code == "200", answer
        page = etree.fromstring(answer.encode())
        assert len(ids(page)) <= size
        seen += ids(page)
        token = page.findtext("{*}nextToken")
        if token is None:
            break
        given["NextToken"] = token
    assert sorted(seen) == sorted(whole)
    assert refused(standing, action, NextToken="made-up")[0] == "InvalidNextToken"
    assert refused(standing, action, MaxResults="0")[0] == "InvalidParameterValue"


def test_everything_that_ec2_pages_is_paged():
    import botocore.session

    model = botocore.session.get_session().get_service_model("ec2")
    has = {name for name in ACTIONS if "MaxResults" in model.operation_model(name).input_shape.members}
    assert has == set(PAGED)


# ----------------------------------------------------------------------------------------------------- SOAP
SOAP = [
    ("CreateTags", "<resourcesSet><item><resourceId>i-1</resourceId></item></resourcesSet>"
     "<tagSet><item><key>a</key><value>b</value></item><item><key>c</key><value/></item></tagSet>",
     {"ResourceId.1": "i-1", "Tag.1.Key": "a", "Tag.1.Value": "b", "Tag.2.Key": "c", "Tag.2.Value": ""}),
    ("DeleteTags", "<resourcesSet><item><resourceId>i-1</resourceId></item></resourcesSet>"
     "<tagSet><item><key>a</key></item><item><key>c</key><value/></item></tagSet>",
     {"ResourceId.1": "i-1", "Tag.1.Key": "a", "Tag.2.Key": "c", "Tag.2.Value": ""}),
    ("DescribeTags", "<filterSet><item><name>key</name><valueSet><item><value>a*</value></item></valueSet></item></filterSet>",
     {"Filter.1.Name": "key", "Filter.1.Value.1": "a*"}),
    ("DescribeImageAttribute", "<imageId>emi-1</imageId><launchPermission/>", {"ImageId": "emi-1", "Attribute": "launchPermission"}),
    ("ResetImageAttribute", "<imageId>emi-1</imageId><launchPermission/>", {"ImageId": "emi-1", "Attribute": "launchPermission"}),
    ("ModifyImageAttribute", "<imageId>emi-1</imageId><launchPermission><add><item><group>all</group></item><item>"
     "<userId>123456789012</userId></item></add></launchPermission>",
     {"ImageId": "emi-1", "LaunchPermission.Add.1.Group": "all", "LaunchPermission.Add.2.UserId": "123456789012"}),
    ("ModifyImageAttribute", "<imageId>emi-1</imageId><launchPermission><remove><item><group>all</group></item></remove></launchPermission>",
     {"ImageId": "emi-1", "LaunchPermission.Remove.1.Group": "all"}),
    ("ModifyImageAttribute", "<imageId>emi-1</imageId><productCodes><item><productCode>x</productCode></item></productCodes>",
     {"ImageId": "emi-1", "ProductCode.1": "x"}),
    ("RegisterImage", "<imageLocation>a/b</imageLocation><name>n</name><kernelId>eki-1</kernelId>",
     {"ImageLocation": "a/b", "Name": "n", "KernelId": "eki-1"}),
    ("DescribeInstanceAttribute", "<instanceId>i-1</instanceId><userData/>", {"InstanceId": "i-1", "Attribute": "userData"}),
    ("ResetInstanceAttribute", "<instanceId>i-1</instanceId><kernel/>", {"InstanceId": "i-1", "Attribute": "kernel"}),
    ("ModifyInstanceAttribute", "<instanceId>i-1</instanceId><disableApiTermination><value>1</value></disableApiTermination>",
     {"InstanceId": "i-1", "DisableApiTermination.Value": "true"}),
    ("ModifyInstanceAttribute", "<instanceId>i-1</instanceId><userData><value>YQ==</value></userData>",
     {"InstanceId": "i-1", "UserData.Value": "YQ=="}),
    ("RunInstances", "<imageId>emi-1</imageId><minCount>1</minCount><maxCount>1</maxCount><additionalInfo>a=b</additionalInfo>"
     "<placement><availabilityZone>z</availabilityZone><groupName>g</groupName></placement>"
     "<disableApiTermination>true</disableApiTermination>",
     {"ImageId": "emi-1", "MinCount": "1", "MaxCount": "1", "AdditionalInfo": "a=b", "Placement.AvailabilityZone": "z",
      "Placement.GroupName": "g", "DisableApiTermination": "true"}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "inside", "parameters"), SOAP)
def test_soap_says_the_same_as_the_query_api(action, inside, parameters):
    message = ACTIONS[action].request
    element = etree.fromstring(
        f'<{action} xmlns="http://ec2.amazonaws.com/doc/2010-08-31/">{inside}</{action}>'
    )
    assert reader(message)(element) == parser(message)(parameters)


@pytest.mark.parametrize(
    "inside", ["<imageId>emi-1</imageId>", "<imageId>emi-1</imageId><launchPermission/><kernel/>", "<imageId>emi-1</imageId><kernel>x</kernel>"]
)  # fmt: skip
def test_soap_names_one_attribute(inside):
    element = etree.fromstring(f'<r xmlns="http://ec2.amazonaws.com/doc/2010-08-31/">{inside}</r>')
    with pytest.raises(EucaError):
        reader(ACTIONS["DescribeImageAttribute"].request)(element)


# ---------------------------------------------------------------------------------------------------- limits
def test_the_limit_is_told_with_its_code(world):
    w = world()
    w.endpoint = Endpoint(w.core, Ec2Settings(rate=1.0, burst=2))
    codes = [w.ask("DescribeVpcs", {}, caller)[0] for caller in (w.ann, w.ann, w.ann, w.bob)]
    assert codes == ["200", "200", "RequestLimitExceeded", "200"]
    w.bench.clock.advance(SECOND)
    assert w.ask("DescribeVpcs", {})[0] == "200"


@pytest.mark.parametrize("settings", [{"rate": -1}, {"burst": 0}, {"rate": "fast"}])
def test_limits_that_make_no_sense_are_refused_at_start(settings):
    with pytest.raises(EucaError, match=next(iter(settings))):
        read(settings)


def test_nothing_but_tags_and_hints_of_ours_is_in_the_class_of_a_launch(world):
    """Signatures and tokens must not make every launch a class of its own."""
    w = world()
    launched(
        w,
        ClientToken="t",
        TagSpecification__1__ResourceType="instance",
        TagSpecification__1__Tag__1__Key="Name",
    )
    assert w.placer.told[-1][1] == []
    assert re.fullmatch("i-[0-9a-f]{8}", launched(w))
