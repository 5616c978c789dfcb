"""Tags, and filters by them and by all else, seen on a real cloud."""

from __future__ import annotations

import pytest
from ec2_world import CASES, NS, asked, refused, texts

from euca_ec2.operations import ACTIONS


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


# ------------------------------------------------------------------------------------------------- filters
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
