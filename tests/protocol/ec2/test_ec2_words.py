"""Tags, launch permissions, attributes, hints, the default network, dry runs, pages and filters, seen on a real cloud."""

from __future__ import annotations

import base64
import re

import pytest
from ec2_world import CASES
from lxml import etree

from euca_ec2.endpoint import Endpoint
from euca_ec2.operations import ACTIONS
from euca_ec2.parsing import parser
from euca_ec2.settings import Ec2Settings, read
from euca_ec2.soap_parsing import reader
from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError

NS = {"e": "http://ec2.amazonaws.com/doc/2016-11-15/"}
RUN = {"MinCount": "1", "MaxCount": "1"}


def asked(world, action, caller=None, version="2016-11-15", **given):
    """The answer's tree; dots are written as two underscores."""
    parameters = {name.replace("__", "."): value for name, value in given.items()}
    code, answer = world.ask(action, parameters, caller, version)
    assert code == "200", answer
    return etree.fromstring(answer.encode())


def refused(world, action, caller=None, **given):
    parameters = {name.replace("__", "."): value for name, value in given.items()}
    return world.ask(action, parameters, caller)


def texts(tree, path):
    return [it.text for it in tree.iterfind("/".join(f"e:{part}" for part in path.split("/")), NS)]


def launched(world, caller=None, **given):
    tree = asked(world, "RunInstances", caller, ImageId=world.image, **RUN, **given)
    return texts(tree, "instancesSet/item/instanceId")[0]


# ---------------------------------------------------------------------------------------------------- tags
def test_a_tag_is_shown_wherever_its_resource_is_and_goes_again(world):
    w = world()
    for id in (w.running, w.image, w.key):
        asked(w, "CreateTags", ResourceId__1=id.upper(), Tag__1__Key="who", Tag__1__Value="me & <you>")
    shown = {
        "DescribeInstances": "reservationSet/item/instancesSet/item/tagSet/item",
        "DescribeImages": "imagesSet/item/tagSet/item",
        "DescribeKeyPairs": "keySet/item/tagSet/item",
        "DescribeTags": "tagSet/item",
    }
    for action, path in shown.items():
        for name, value in (("tag:who", "me*"), ("tag-key", "w?o"), ("tag-value", "me & <*")):
            tree = asked(w, action, Filter__1__Name=name, Filter__1__Value__1=value) if action != "DescribeTags" else (
                asked(w, action, Filter__1__Name=name.replace("tag-", ""), Filter__1__Value__1=value))  # fmt: skip
            assert ("who", "me & <you>") in zip(
                texts(tree, path + "/key"), texts(tree, path + "/value"), strict=True
            )
    assert asked(w, "DescribeInstances", Filter__1__Name="tag:who", Filter__1__Value__1="you").find(
        "e:reservationSet/e:item", NS
    ) is None  # fmt: skip
    asked(w, "DeleteTags", ResourceId__1=w.running, Tag__1__Key="who", Tag__1__Value="somebody else")
    asked(w, "DeleteTags", ResourceId__1=w.image, Tag__1__Key="who", Tag__1__Value="")
    asked(w, "DeleteTags", ResourceId__1=w.key, Tag__1__Key="who")
    rest = asked(w, "DescribeTags", Filter__1__Name="key", Filter__1__Value__1="who")
    assert texts(rest, "tagSet/item/resourceId") == [w.image, w.running]
    assert texts(rest, "tagSet/item/resourceType") == ["image", "instance"]


def test_a_filter_by_tag_is_known_to_every_list_of_what_can_have_tags(standing):
    for action in (
        "DescribeInstances", "DescribeInstanceStatus", "DescribeImages", "DescribeKeyPairs", "DescribeTags", "DescribeVpcs",
        "DescribeSubnets", "DescribeSecurityGroups", "DescribeAddresses", "DescribeVolumes", "DescribeSnapshots",
    ):  # fmt: skip
        none = asked(standing, action, Filter__1__Name="tag:no such key", Filter__1__Value__1="*")
        assert not none.xpath("//*[local-name()='item']"), action


@pytest.mark.parametrize("value", [r"w\?b", r"\*", "W?b", "web?", "?", ""])
def test_a_pattern_that_does_not_fit_finds_nothing(value, standing):
    tree = asked(standing, "DescribeInstances", Filter__1__Name="tag:Name", Filter__1__Value__1=value)
    assert texts(tree, "reservationSet/item/reservationId") == []


def test_stars_and_question_marks_can_be_meant_literally(world):
    w = world()
    asked(w, "CreateTags", ResourceId__1=w.running, Tag__1__Key="odd", Tag__1__Value=r"a*b?c\d")
    for value, count in ((r"a\*b\?c\\d", 1), (r"a\*b\*", 0), ("a*d", 1), (r"a?b?c?d", 1)):
        tree = asked(w, "DescribeInstances", Filter__1__Name="tag:odd", Filter__1__Value__1=value)
        assert len(texts(tree, "reservationSet/item/reservationId")) == count, value


def test_a_launch_puts_its_tags_on_every_machine(world):
    w = world()
    tree = asked(
        w, "RunInstances", ImageId=w.image, MinCount="2", MaxCount="2", TagSpecification__1__ResourceType="instance",
        TagSpecification__1__Tag__1__Key="Name", TagSpecification__1__Tag__1__Value="db",
    )  # fmt: skip
    assert texts(tree, "instancesSet/item/tagSet/item/value") == ["db", "db"]
    found = asked(w, "DescribeInstances", Filter__1__Name="tag:Name", Filter__1__Value__1="db")
    assert texts(found, "reservationSet/item/instancesSet/item/tagSet/item/key") == ["Name", "Name"]


@pytest.mark.parametrize("action", ["CreateKeyPair", "ImportKeyPair", "RegisterImage"])
@pytest.mark.parametrize("key", ["aws:mine", "k" * 128])
def test_what_is_made_with_bad_tags_is_not_made(action, key, world):
    w = world()
    before = len(w.bench.view.keys), sum(it.removed_at is None for it in w.bench.view.images.values())
    kind = "image" if action == "RegisterImage" else "key-pair"
    code, answer = w.ask(action, {
        **CASES[action][0](w), "TagSpecification.1.ResourceType": kind, "TagSpecification.1.Tag.1.Key": key})  # fmt: skip
    assert code == "InvalidParameterValue", answer
    assert before == (
        len(w.bench.view.keys),
        sum(it.removed_at is None for it in w.bench.view.images.values()),
    )


def test_tags_of_others_and_too_many_tags(world):
    w = world()
    assert (
        refused(w, "CreateTags", w.bob, ResourceId__1=w.running, Tag__1__Key="a")[0]
        == "InvalidInstanceID.NotFound"
    )
    assert (
        refused(w, "CreateTags", w.bob, ResourceId__1=w.key, Tag__1__Key="a")[0] == "InvalidKeyPair.NotFound"
    )
    many = {f"Tag__{n}__Key": str(n) for n in range(1, 52)}
    assert refused(w, "CreateTags", ResourceId__1=w.running, **many)[0] == "TagLimitExceeded"
    twice = refused(w, "CreateTags", ResourceId__1=w.running, Tag__1__Key="a", Tag__2__Key="a")
    assert twice[0] == "InvalidParameterValue"
    assert texts(asked(w, "DescribeTags", w.bob), "tagSet/item/key") == []


# ------------------------------------------------------------------------------------------ launch permissions
def permissions(w):
    tree = asked(w, "DescribeImageAttribute", ImageId=w.image, Attribute="launchPermission")
    return texts(tree, "launchPermission/item/group") + texts(tree, "launchPermission/item/userId")


NEW = {
    "LaunchPermission.Add.1.Group": "all", "LaunchPermission.Add.2.UserId": "123456789012", "LaunchPermission.Remove.1.UserId": "BOB",
}  # fmt: skip


def test_launch_permissions_in_both_spellings(world):
    w = world()
    bob = w.bob.account_id
    assert permissions(w) == [bob]
    assert (
        w.ask(
            "ModifyImageAttribute", {"ImageId": w.image, **{k: v.replace("BOB", bob) for k, v in NEW.items()}}
        )[0]
        == "200"
    )
    assert permissions(w) == ["all", "123456789012"]
    for operation, name, who in (
        ("remove", "UserGroup", "all"), ("remove", "UserId", "123456789012"), ("add", "UserId", bob),
    ):  # fmt: skip
        asked(
            w,
            "ModifyImageAttribute",
            ImageId=w.image,
            Attribute="launchPermission",
            OperationType=operation,
            **{f"{name}__1": who},
        )
    assert permissions(w) == [bob]
    asked(w, "ResetImageAttribute", ImageId=w.image, Attribute="launchPermission")
    assert permissions(w) == []
    assert refused(w, "RunInstances", w.bob, ImageId=w.image, **RUN)[0] == "InvalidAMIID.NotFound"


def test_a_permission_is_what_it_says(world):
    w = world()
    assert launched(w, w.bob).startswith("i-")
    own = asked(w, "DescribeImages", w.bob, ExecutableBy__1="self")
    assert texts(own, "imagesSet/item/imageId") == [w.image]
    assert w.image not in texts(
        asked(w, "DescribeImages", w.bob, ExecutableBy__1="all"), "imagesSet/item/imageId"
    )


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"LaunchPermission.Add.1.Group": "friends"}, "InvalidParameterValue"),
        ({"LaunchPermission.Add.1.UserId": "12"}, "InvalidParameterValue"),
        ({"LaunchPermission.Add.1.UserId": "123456789012", "LaunchPermission.Add.1.Group": "all"}, "InvalidParameterCombination"),
        ({"OperationType": "grant", "UserId.1": "123456789012"}, "InvalidParameterValue"),
        ({"UserId.1": "123456789012"}, "MissingParameter"),
        ({"OperationType": "add"}, "MissingParameter"),
        ({}, "MissingParameter"),
        ({"ProductCode.1": "x"}, "UnsupportedOperation"),
        ({"Description.Value": "x"}, "UnsupportedOperation"),
        ({"Attribute": "kernel"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_permissions_that_are_refused_change_nothing(given, code, standing):
    before = permissions(standing)
    assert standing.ask("ModifyImageAttribute", {"ImageId": standing.image, **given})[0] == code
    assert permissions(standing) == before


@pytest.mark.parametrize("dry", ["true", "false"])
def test_who_does_not_own_an_image_is_told_so(dry, standing):
    w = standing
    for action, given in (
        ("ModifyImageAttribute", {"LaunchPermission.Add.1.Group": "all"}), ("ResetImageAttribute", {"Attribute": "launchPermission"}),
        ("DeregisterImage", {}), ("DescribeImageAttribute", {"Attribute": "launchPermission"}),
    ):  # fmt: skip
        code, sentence = w.ask(action, {"ImageId": w.image, "DryRun": dry, **given}, w.bob)
        assert code == "UnauthorizedOperation", (action, sentence)
    assert w.ask("DescribeImageAttribute", {"ImageId": w.image, "Attribute": "kernel"}, w.bob)[0] == "200"


# ---------------------------------------------------------------------------------------------- registration
def test_register_and_deregister(world):
    w = world()
    made = texts(
        asked(w, "RegisterImage", ImageLocation="uploads/machine", Name="mine", KernelId=w.kernel), "imageId"
    )[0]
    shown = asked(w, "DescribeImages", ImageId__1=made)
    assert texts(shown, "imagesSet/item/name") == ["mine"]
    assert texts(shown, "imagesSet/item/isPublic") == ["false"]
    code, sentence = refused(w, "DeregisterImage", ImageId=w.kernel)
    assert code == "DependencyViolation"
    assert made in sentence
    asked(w, "DeregisterImage", ImageId=made)
    assert refused(w, "DescribeImages", ImageId__1=made)[0] == "InvalidAMIID.NotFound"
    old = asked(w, "RegisterImage", version="2007-08-29", ImageLocation="uploads/machine")
    assert old.findtext("{*}imageId").startswith("emi-")


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/x", "file:///etc/passwd", "/etc/passwd", "../x", "none"]
)
def test_only_uploads_can_be_registered(location, standing):
    assert refused(standing, "RegisterImage", ImageLocation=location, Name="n")[0] == "InvalidAMIID.NotFound"


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
        ({"AdditionalInfo": "a=1\na=2"}, "InvalidParameterCombination"),
        ({"AdditionalInfo": "group=far", "Placement.GroupName": "near"}, "InvalidParameterCombination"),
        ({"AdditionalInfo": "\n".join(f"h{n}=1" for n in range(51))}, "InvalidParameterValue"),
        ({"AdditionalInfo": "a=" + "x" * 256}, "InvalidParameterValue"),
        ({"InstanceMarketOptions.SpotOptions.MaxPrice": "1"}, "InvalidParameterCombination"),
        ({"InstanceMarketOptions.MarketType": "futures"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_hints_that_are_refused(given, code, standing):
    seen, sentence = standing.ask("RunInstances", {"ImageId": standing.image, **RUN, **given})
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
        **RUN,
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
    ("RunInstances", {"ImageId": "emi-00000000", **RUN}, "InvalidAMIID.NotFound"),
    ("RunInstances", {"ImageId": "emi-00000001", "KeyName": "none", **RUN}, "InvalidKeyPair.NotFound"),
    ("RunInstances", {"ImageId": "emi-00000001", "InstanceType": "t9.huge", **RUN}, "InvalidInstanceType"),
    ("RunInstances", {"ImageId": "emi-00000001", "Placement.AvailabilityZone": "mars", **RUN}, "InvalidZone.NotFound"),
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


EVERYWHERE = {
    "DescribeAvailabilityZones": "zone-name", "DescribeRegions": "region-name", "DescribeInstanceTypes": "instance-type",
    "DescribeInstanceTypeOfferings": "location", "DescribeImages": "name", "DescribeKeyPairs": "key-name",
    "DescribeInstances": "image-id", "DescribeInstanceStatus": "availability-zone", "DescribeTags": "key",
    "DescribeVpcs": "vpc-id", "DescribeSubnets": "subnet-id", "DescribeSecurityGroups": "group-name",
}  # fmt: skip


@pytest.mark.parametrize("action", EVERYWHERE)
def test_wildcards_work_in_every_list(action, standing):
    def count(value):
        tree = asked(standing, action, Filter__1__Name=EVERYWHERE[action], Filter__1__Value__1=value)
        return len(tree.xpath("/*/*/*[local-name()='item']"))

    assert count("*") == len(asked(standing, action).xpath("/*/*/*[local-name()='item']")) > 0
    assert count("?*") == count("*")
    assert count(r"\*") == count("?") == 0


def test_every_list_that_can_be_filtered_is_tried_above():
    lists = {name for name, it in ACTIONS.items() if "filters" in it.request.__dataclass_fields__}
    assert lists - set(EVERYWHERE) == {
        "DescribeAddresses",
        "DescribeVolumes",
        "DescribeSnapshots",
    }  # always empty


@pytest.mark.parametrize("action", [*EVERYWHERE, "DescribeAddresses", "DescribeVolumes", "DescribeSnapshots"])
def test_an_unknown_filter_is_refused_by_name(action, standing):
    code, sentence = refused(standing, action, Filter__1__Name="colour", Filter__1__Value__1="red")
    assert code == "InvalidParameterValue"
    assert "'colour'" in sentence
