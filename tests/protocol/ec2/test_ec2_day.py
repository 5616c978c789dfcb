"""A day's words by boto 2.49 and by boto3, over http, on a real cloud controller: both spellings of everything."""

from __future__ import annotations

import time
import warnings

import pytest
from botocore.exceptions import ClientError

from euca_ec2 import euca_interface
from euca_rpc.clock import SECOND

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import boto
    from boto.exception import EC2ResponseError


@pytest.fixture
def served(world):
    """The world, its interface on a port, and the administrator's access key."""
    w = world()
    w.bench.clock.at = int(time.time()) * SECOND  # signatures are made now
    made, secret = w.core.credentials.create_key(w.bench.caller, "admin")
    interface = euca_interface(w.core, {"port": 0})
    interface.start()
    yield w, interface.port, (made.id, secret)
    interface.stop()


@pytest.fixture
def boto2(served):
    _, port, (key, secret) = served
    connection = boto.connect_euca(
        "127.0.0.1", key, secret, port=port, path="/services/Eucalyptus", is_secure=False
    )
    connection.num_retries = 0
    return connection


@pytest.fixture
def boto3_client(served):
    import boto3

    _, port, (key, secret) = served
    return boto3.client(
        "ec2", region_name="eucalyptus", endpoint_url=f"http://127.0.0.1:{port}/services/Eucalyptus",
        aws_access_key_id=key, aws_secret_access_key=secret,
    )  # fmt: skip


def test_boto_2(served, boto2):
    w, bob = served[0], served[0].bob.account_id
    assert boto2.create_tags([w.running, w.image], {"Name": "one & <two>", "empty": ""})
    found = boto2.get_only_instances(filters={"tag:Name": "one*", "tag-key": "empty"})
    assert [(it.id, it.tags["Name"]) for it in found] == [(w.running, "one & <two>")]
    assert {(it.res_id, it.res_type) for it in boto2.get_all_tags(filters={"key": "empty"})} == {
        (w.running, "instance"), (w.image, "image")}  # fmt: skip
    assert boto2.delete_tags([w.running], ["empty"])
    assert "empty" not in boto2.get_only_instances([w.running])[0].tags
    boto2.modify_image_attribute(w.image, operation="add", groups=["all"], user_ids=["123456789012"])
    boto2.modify_image_attribute(w.image, operation="remove", user_ids=[bob])
    attribute = boto2.get_image_attribute(w.image)
    assert attribute.attrs == {"groups": ["all"], "user_ids": ["123456789012"]}
    assert boto2.reset_image_attribute(w.image)
    assert boto2.get_image_attribute(w.image).attrs == {}
    made = boto2.register_image(name="mine", image_location="uploads/machine", kernel_id=w.kernel)
    assert boto2.deregister_image(made)
    for attribute, value in (
        ("instanceType", "m1.large"), ("instanceInitiatedShutdownBehavior", "stop"), ("disableApiTermination", True),
    ):  # fmt: skip
        assert boto2.modify_instance_attribute(w.stopped, attribute, value)
        assert boto2.get_instance_attribute(w.stopped, attribute)[attribute] == value
    with pytest.raises(EC2ResponseError) as caught:
        boto2.terminate_instances([w.stopped])
    assert caught.value.error_code == "OperationNotPermitted"
    assert boto2.get_all_volumes() == boto2.get_all_addresses() == boto2.get_all_snapshots() == []
    assert [it.name for it in boto2.get_all_security_groups()] == ["default"]
    for change in (
        lambda: boto2.create_volume(1, "open"), lambda: boto2.allocate_address(),
        lambda: boto2.create_security_group("web", "for the web"),
    ):  # fmt: skip
        with pytest.raises(EC2ResponseError) as caught:
            change()
        assert caught.value.error_code == "UnsupportedOperation"


def test_boto3(served, boto3_client):
    w, ec2 = served[0], boto3_client
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": ["west"]}])["Subnets"][0]
    held = ec2.run_instances(
        ImageId=w.image, MinCount=1, MaxCount=2, SubnetId=subnet["SubnetId"], AdditionalInfo="rack=7",
        InstanceMarketOptions={"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.1"}}, DisableApiTermination=True,
        Placement={"GroupName": "near"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
    )  # fmt: skip
    assert w.placer.told[-1] == ("best_effort", [("bid", "0.1"), ("group", "near"), ("rack", "7")], "west")
    one = held["Instances"][0]
    assert (one["SubnetId"], one["VpcId"], one["Tags"]) == (
        subnet["SubnetId"], subnet["VpcId"], [{"Key": "Name", "Value": "web"}])  # fmt: skip
    key = ec2.create_key_pair(
        KeyName="k", TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "a", "Value": "b"}]}]
    )
    assert key["Tags"] == [{"Key": "a", "Value": "b"}]
    assert [
        it["KeyName"]
        for it in ec2.describe_key_pairs(Filters=[{"Name": "tag:a", "Values": ["b"]}])["KeyPairs"]
    ] == ["k"]
    ec2.modify_image_attribute(
        ImageId=w.image,
        LaunchPermission={"Add": [{"Group": "all"}], "Remove": [{"UserId": w.bob.account_id}]},
    )
    shown = ec2.describe_image_attribute(ImageId=w.image, Attribute="launchPermission")
    assert shown["LaunchPermissions"] == [{"Group": "all"}]
    ec2.modify_instance_attribute(InstanceId=w.stopped, UserData={"Value": b"\x00 new"})
    shown = ec2.describe_instance_attribute(InstanceId=w.stopped, Attribute="userData")
    assert shown["UserData"]["Value"] == "ACBuZXc="
    pages = list(ec2.get_paginator("describe_tags").paginate(PaginationConfig={"PageSize": 5}))
    tags = [(it["ResourceId"], it["Key"]) for page in pages for it in page["Tags"]]
    assert len(pages) > 1
    assert tags == sorted(tags)
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone")["InstanceTypeOfferings"]
    assert {it["Location"] for it in offered} == {"east", "north", "open", "south", "up", "west"}
    with pytest.raises(ClientError) as caught:
        ec2.create_tags(Resources=[w.running], Tags=[{"Key": "aws:x", "Value": ""}])
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    with pytest.raises(ClientError) as caught:
        ec2.deregister_image(ImageId=w.image, DryRun=True)
    assert caught.value.response["Error"]["Code"] == "DryRunOperation"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
