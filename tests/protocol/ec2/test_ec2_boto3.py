"""botocore as the oracle in both directions: its requests are understood, and it understands every answer."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import Future

import pytest
from botocore.exceptions import ClientError

from euca_rpc.errors import EucaError


def code(caught) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.mark.parametrize("version", ["v4", "v2"])
def test_main_job(client, cloud, version):
    ec2 = client(version=version)
    assert ec2.describe_availability_zones()["AvailabilityZones"] == [
        {"ZoneName": "open", "State": "available", "RegionName": "eucalyptus",
         "Messages": [{"Message": "m1.small 5000/5000"}]}
    ]  # fmt: skip
    images = ec2.describe_images(Owners=["self", "111111111111"])["Images"]
    assert [it["ImageId"] for it in images] == ["emi-12345678", "eki-12345678", "eri-12345678"]
    assert images[0]["Architecture"] == "x86_64"
    assert images[0]["Public"] is True
    key = ec2.create_key_pair(KeyName="mykey")
    assert key["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----\nfake & <short>")
    assert key["KeyPairId"].startswith("key-")
    launched = ec2.run_instances(
        ImageId="EMI-12345678", MinCount=2, MaxCount=3, KeyName="mykey", UserData="hallo\n" * 30,
        InstanceType="m1.small", Placement={"AvailabilityZone": "open"}, KernelId="eki-12345678",
        RamdiskId="eri-12345678", SecurityGroups=["default"], Monitoring={"Enabled": False},
        InstanceInitiatedShutdownBehavior="stop",
    )  # fmt: skip
    ids = [it["InstanceId"] for it in launched["Instances"]]
    assert len(ids) == 3
    assert [it["State"] for it in launched["Instances"]] == [{"Code": 0, "Name": "pending"}] * 3
    assert launched["Instances"][0]["PublicDnsName"] == ""
    assert "PublicIpAddress" not in launched["Instances"][0]
    assert cloud.requests[0].user_data == b"hallo\n" * 30
    assert cloud.requests[0].shutdown_behavior == "stop"
    cloud.settle()
    seen = ec2.describe_instances(InstanceIds=[ids[0].upper().replace("I-", "i-")])["Reservations"]
    assert [it["OwnerId"] for it in seen] == ["222222222222"]
    machine = seen[0]["Instances"][0]
    assert machine["State"] == {"Code": 16, "Name": "running"}
    assert machine["PublicDnsName"] == machine["PublicIpAddress"] == "127.1.0.1"
    assert machine["PrivateDnsName"] == machine["PrivateIpAddress"] == "10.0.0.1"
    assert machine["Monitoring"] == {"State": "disabled"}
    assert machine["Placement"]["AvailabilityZone"] == "open"
    status = ec2.describe_instance_status()["InstanceStatuses"]
    assert [it["InstanceStatus"]["Status"] for it in status] == ["ok"] * 3
    console = ec2.get_console_output(InstanceId=ids[0])
    assert "login:" in console["Output"]
    ec2.reboot_instances(InstanceIds=ids)
    stopped = ec2.stop_instances(InstanceIds=ids[:1])["StoppingInstances"]
    assert stopped[0]["PreviousState"]["Name"] == "running"
    assert (
        ec2.start_instances(InstanceIds=ids[:1])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    )
    gone = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert [it["CurrentState"] for it in gone] == [{"Code": 32, "Name": "shutting-down"}] * 3
    assert ec2.delete_key_pair(KeyName="mykey")["Return"] is True


def test_what_clients_ask_in_passing(client):
    ec2 = client()
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert ec2.describe_tags()["Tags"] == []
    assert [it["GroupName"] for it in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    regions = ec2.describe_regions()["Regions"]
    assert regions[0]["RegionName"] == "eucalyptus"
    assert regions[0]["Endpoint"].endswith("/services/Eucalyptus")
    platforms = ec2.describe_account_attributes(AttributeNames=["supported-platforms"])["AccountAttributes"]
    assert platforms[0]["AttributeValues"] == [{"AttributeValue": "VPC"}]
    kinds = ec2.describe_instance_types()["InstanceTypes"]
    assert [(it["InstanceType"], it["VCpuInfo"]["DefaultVCpus"], it["MemoryInfo"]["SizeInMiB"]) for it in kinds] == [
        ("m1.small", 1, 128), ("c1.medium", 1, 256), ("m1.large", 2, 512)
    ]  # fmt: skip
    with pytest.raises(ClientError) as caught:
        ec2.describe_volumes(VolumeIds=["vol-12345678"])
    assert code(caught) == "InvalidVolume.NotFound"


def test_the_default_network(client, cloud):
    ec2 = client()
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    assert (vpc["IsDefault"], subnet["DefaultForAz"], subnet["AvailabilityZone"]) == (True, True, "open")
    ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1, SubnetId=subnet["SubnetId"])
    assert cloud.requests[0].zone == "open"
    assert ec2.describe_vpcs(Filters=[{"Name": "state", "Values": ["pending"]}])["Vpcs"] == []
    with pytest.raises(ClientError) as caught:
        ec2.describe_subnets(SubnetIds=["subnet-00000000"])
    assert code(caught) == "InvalidSubnetID.NotFound"


def test_one_account_does_not_see_the_other_and_the_administrator_sees_all(client):
    ann, bob, admin = client("ANN"), client("BOB"), client("ADMIN")
    id = ann.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    assert bob.describe_instances()["Reservations"] == []
    for act in (bob.terminate_instances, bob.reboot_instances, bob.describe_instances):
        with pytest.raises(ClientError) as caught:
            act(InstanceIds=[id])
        assert code(caught) == "InvalidInstanceID.NotFound"
    assert len(admin.describe_instances()["Reservations"]) == 1
    admin.terminate_instances(InstanceIds=[id])


def test_capacity_refusal_is_500_with_the_sentence(client, cloud):
    cloud.capacity = 1
    with pytest.raises(ClientError) as caught:
        client().run_instances(ImageId="emi-12345678", MinCount=2, MaxCount=2)
    assert code(caught) == "InsufficientInstanceCapacity"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert caught.value.response["Error"]["Message"] == "2 machines are asked for; there is room for 1."


@pytest.mark.parametrize(
    ("call", "arguments", "expected"),
    [
        ("describe_instances", {"InstanceIds": ["i-123"]}, "InvalidInstanceID.Malformed"),
        ("describe_instances", {"InstanceIds": ["i-0badbeef"]}, "InvalidInstanceID.NotFound"),
        ("describe_images", {"ImageIds": ["ami-12345678"]}, "InvalidAMIID.Malformed"),
        ("describe_images", {"ImageIds": ["emi-0badbeef"]}, "InvalidAMIID.NotFound"),
        ("describe_key_pairs", {"KeyNames": ["none"]}, "InvalidKeyPair.NotFound"),
        ("describe_availability_zones", {"ZoneNames": ["none"]}, "InvalidZone.NotFound"),
        ("describe_instance_types", {"InstanceTypes": ["t9.huge"]}, "InvalidInstanceType"),
        ("import_key_pair", {"KeyName": "k", "PublicKeyMaterial": b"rubbish"}, "InvalidKey.Format"),
        ("describe_instances", {"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
        (
            "describe_instances",
            {"Filters": [{"Name": "key-name", "Values": [f"k{n}" for n in range(201)]}]},
            "FilterLimitExceeded",
        ),
        ("describe_instances", {"MaxResults": 3}, "InvalidParameterValue"),
        ("describe_instances", {"MaxResults": 5, "InstanceIds": ["i-0badbeef"]}, "InvalidParameterCombination"),
        ("describe_instances", {"MaxResults": 5, "NextToken": "made-up"}, "InvalidNextToken"),
        ("create_volume", {"AvailabilityZone": "open", "Size": 1}, "UnsupportedOperation"),
        ("create_launch_template", {"LaunchTemplateName": "one", "LaunchTemplateData": {}}, "InvalidAction"),
        ("terminate_instances", {"InstanceIds": ["i-0badbeef"], "DryRun": True}, "InvalidInstanceID.NotFound"),
        ("describe_instances", {"DryRun": True}, "DryRunOperation"),
    ],
)  # fmt: skip
def test_refusals_have_ec2s_codes(client, call, arguments, expected):
    with pytest.raises(ClientError) as caught:
        getattr(client(), call)(**arguments)
    assert code(caught) == expected


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue", "MinCount is 2"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue", "16384"),
        ({"SecurityGroups": ["web"]}, "InvalidGroup.NotFound", "'web'"),
        ({"KeyName": "none"}, "InvalidKeyPair.NotFound", "'none'"),
        ({"EbsOptimized": True}, "UnsupportedOperation", "EbsOptimized"),
        ({"SubnetId": "subnet-1"}, "InvalidSubnetID.NotFound", "subnet-1"),
        ({"PrivateIpAddress": "10.0.0.1"}, "UnknownParameter", "PrivateIpAddress"),
        ({"TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}]},
         "UnsupportedOperation", "'volume'"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue", "ClientToken"),
        ({"DryRun": True}, "DryRunOperation", "DryRun"),
    ],
)  # fmt: skip
def test_launch_refusals_name_what_is_wrong(client, cloud, arguments, expected, said):
    with pytest.raises(ClientError) as caught:
        client().run_instances(**{"ImageId": "emi-12345678", "MinCount": 1, "MaxCount": 1, **arguments})
    assert code(caught) == expected
    assert said in caught.value.response["Error"]["Message"]
    assert cloud.rows == {}


def test_same_token_same_reservation(client):
    ec2 = client()
    again = [
        ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1, ClientToken="t1")["ReservationId"]
        for _ in range(2)
    ]
    assert again[0] == again[1]
    with pytest.raises(ClientError) as caught:
        ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=2, ClientToken="t1")
    assert code(caught) == "IdempotentParameterMismatch"


def test_spot_market_is_best_effort(client, cloud):
    ec2 = client()
    market = {"MarketType": "spot"}
    ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1, InstanceMarketOptions=market)
    assert cloud.requests[0].service_class == "best_effort"
    shown = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    assert shown["InstanceLifecycle"] == "spot"


def test_filters_and_pages(client, cloud):
    ec2 = client()
    for count in (4, 1, 8):
        ec2.run_instances(ImageId="emi-12345678", MinCount=count, MaxCount=count)
    cloud.settle()
    by_address = ec2.describe_instances(Filters=[{"Name": "ip-address", "Values": ["127.1.0.1?"]}])
    assert sum(len(it["Instances"]) for it in by_address["Reservations"]) == 4  # .10 to .13
    both = [
        {"Name": "instance-state-name", "Values": ["pend*", "running"]},
        {"Name": "launch-index", "Values": ["7"]},
    ]
    assert len(ec2.describe_instances(Filters=both)["Reservations"]) == 1
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    ids = [it["InstanceId"] for page in pages for held in page["Reservations"] for it in held["Instances"]]
    assert ids == list(cloud.rows)
    assert len(pages) == 3
    token = pages[0]["NextToken"]
    with pytest.raises(ClientError) as caught:
        client("BOB").describe_instances(MaxResults=5, NextToken=token)
    assert code(caught) == "InvalidNextToken"
    with pytest.raises(ClientError) as caught:
        ec2.describe_instances(MaxResults=5, NextToken=token[:-2] + "AA")
    assert code(caught) == "InvalidNextToken"


def test_keys(client):
    ec2 = client()
    imported = ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=b"ssh-rsa AAAA me")
    with pytest.raises(ClientError) as caught:
        ec2.create_key_pair(KeyName="mine")
    assert code(caught) == "InvalidKeyPair.Duplicate"
    shown = ec2.describe_key_pairs(KeyPairIds=[imported["KeyPairId"]], IncludePublicKey=True)["KeyPairs"]
    assert [(it["KeyName"], it["PublicKey"]) for it in shown] == [("mine", "ssh-rsa AAAA me")]
    ec2.delete_key_pair(KeyPairId=imported["KeyPairId"])
    assert ec2.describe_key_pairs()["KeyPairs"] == []
    ec2.delete_key_pair(KeyName="never-was")


def test_a_silent_zone_says_since_when(client, cloud):
    cloud.up = False
    zone = client().describe_availability_zones()["AvailabilityZones"][0]
    assert zone["State"] == "unavailable"
    messages = [it["Message"] for it in zone["Messages"]]
    assert messages == ["m1.small 000/5000", "silent since 2023-11-14 22:13:20Z"]


def test_verbose_rows_are_for_administrators(client):
    rows = client("ADMIN").describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    assert [it["ZoneName"] for it in rows] == [
        "open",
        "|- vm types",
        "|- m1.small",
        "|- c1.medium",
        "|- m1.large",
    ]
    assert rows[1]["State"] == "free / max   cpu   ram  disk"
    assert rows[2]["State"] == "5000 / 5000   1    128    10"
    plain = client("ANN").describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    assert [it["ZoneName"] for it in plain] == ["open"]


def test_a_console_that_is_waited_for_holds_up_nobody_else(serve, client, cloud):
    ec2 = client(interface=serve(threads=2))
    id = ec2.run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    cloud.console_future = Future()
    codes: list[str] = []

    def ask() -> None:
        with pytest.raises(ClientError) as caught:
            ec2.get_console_output(InstanceId=id)
        codes.append(code(caught))

    first = threading.Thread(target=ask)
    first.start()
    ec2.describe_instances()
    assert first.is_alive()
    cloud.console_future.set_exception(EucaError("unreachable", "its node did not give its console"))
    first.join(5)
    assert codes == ["Unavailable"]
    cloud.console_future = None
    assert "login:" in ec2.get_console_output(InstanceId=id)["Output"]


def test_an_internal_error_shows_nothing_of_its_inside(client, cloud, caplog):
    cloud.broken = RuntimeError("the database password is hunter2")
    with pytest.raises(ClientError) as caught:
        client().describe_availability_zones()
    assert code(caught) == "InternalError"
    assert "hunter2" not in str(caught.value.response)
    assert caught.value.response["ResponseMetadata"]["RequestId"] in caught.value.response["Error"]["Message"]
    assert any("hunter2" in (record.exc_text or "") for record in caplog.records)


def test_sts_says_who_asks(live):
    import boto3

    sts = boto3.client(
        "sts",
        region_name="eucalyptus",
        endpoint_url=f"http://127.0.0.1:{live.port}/services/Eucalyptus",
        aws_access_key_id="AKANN000000000000001",
        aws_secret_access_key="ann-secret-0123456789",
    )
    who = sts.get_caller_identity()
    assert (who["Account"], who["UserId"]) == ("222222222222", "u-ann")


def test_a_presigned_request_is_good_until_it_expires(client, live):
    import urllib.error
    import urllib.request

    ec2 = client()
    url = ec2.generate_presigned_url("describe_availability_zones", ExpiresIn=60, HttpMethod="GET")
    assert b"<zoneName>open</zoneName>" in urllib.request.urlopen(url).read()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("DescribeAvailabilityZones", "DescribeInstances"))
    assert caught.value.code == 401


def test_secrets_stay_out_of_the_log(client, caplog):
    caplog.set_level("DEBUG", logger="euca.ec2")
    client().run_instances(ImageId="emi-12345678", MinCount=1, MaxCount=1, UserData="top-secret-text")
    lines = [record.getMessage() for record in caplog.records if record.name == "euca.ec2.access"]
    assert len(lines) == 1
    assert "AKANN000000000000001 RunInstances 200" in lines[0]
    text = caplog.text
    for secret in (
        "ann-secret",
        "Signature",
        "X-Amz",
        "top-secret",
        base64.b64encode(b"top-secret-text").decode(),
    ):
        assert secret not in text
