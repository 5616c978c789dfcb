"""A cloud filled to the last slot through its EC2 port: exact counts, sentences for each node, exact again after."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cloud_process import eventually

pytestmark = [pytest.mark.real]

PER_NODE = 4  # of m1.small, which has one core: `cloud_process.SETTINGS` gives each node four
PER_ZONE = 3 * PER_NODE


def zone_texts(cloud: Any, *names: str) -> dict[str, str]:
    """What a tool of 2008 is shown as a zone's state."""
    named = {f"ZoneName.{n}": name for n, name in enumerate(names, 1)}
    xml = cloud.query("DescribeAvailabilityZones", "2008-02-01", **named)
    return dict(re.findall(r"<zoneName>(.*?)</zoneName>\s*<zoneState>(.*?)</zoneState>", xml))


def refusal(cloud: Any, *counts: int, **more: Any) -> str:
    with pytest.raises(ClientError) as refused:
        cloud.launch(*counts, **more)
    assert refused.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    return str(refused.value.response["Error"]["Message"])


def small(rooms: dict[str, Any], zone: str) -> str:
    return next(f"{row['free']}/{row['total']}" for row in rooms[zone] if row["name"] == "m1.small")


def test_a_full_cloud_is_full_to_the_slot_and_empty_again_after(cloud: Any) -> None:
    before = cloud.rooms()
    assert small(before, "zone-a") == small(before, "zone-b") == f"{PER_ZONE}/{PER_ZONE}"

    in_a = [id for count in (5, 1, 1) for id in cloud.launch(count, zone="zone-a")]
    assert len(refusal(cloud, 6, zone="zone-a")) > 40, (
        "seven are taken: six do not fit, and a sentence says so"
    )
    in_a += cloud.launch(1, 50, zone="zone-a")  # as many as there is room for
    assert len(in_a) == len(set(in_a)) == PER_ZONE
    refusal(cloud, zone="zone-a")
    rooms = cloud.rooms()
    assert (small(rooms, "zone-a"), small(rooms, "zone-b")) == (f"0/{PER_ZONE}", f"{PER_ZONE}/{PER_ZONE}")
    shown = zone_texts(cloud)
    assert shown == {"zone-a": f"UP 000/{PER_ZONE:03d}", "zone-b": f"UP {PER_ZONE:03d}/{PER_ZONE:03d}"}

    rest = [id for _ in range(PER_ZONE) for id in cloud.launch()]  # no zone named, one at a time
    assert len(refusal(cloud)) > 40

    why = cloud.euca("explain", "last")
    told = str(why)
    for node in cloud.nodes():
        assert node in told, f"no reason for {node}: {why}"
    assert why["request_id" if "request_id" in why else "subject"]

    cloud.until("running", in_a + rest)
    assert all(len(nodes) == 1 for nodes in cloud.starts().values()), "each was started once"
    on_nodes = Counter(row["instances"] for row in cloud.nodes().values())
    assert on_nodes == {PER_NODE: 6}
    assert set(zone_texts(cloud).values()) == {f"UP 000/{PER_ZONE:03d}"}
    for zone in cloud.client().describe_availability_zones()["AvailabilityZones"]:
        assert zone["State"] == "available"
        assert f"000/{PER_ZONE:03d}" in zone["Messages"][0]["Message"]

    cloud.terminate(in_a + rest)
    cloud.until("terminated", in_a + rest)
    eventually("all room is back", lambda: cloud.rooms() == before)
    assert not cloud.alive_on_nodes()


def test_sizes_are_counted_in_every_resource(cloud: Any) -> None:
    """A node of four cores takes one c1.xlarge and then nothing; two of two cores and then nothing."""
    before = cloud.rooms()
    big = cloud.launch(3, zone="zone-a", InstanceType="c1.xlarge")
    refusal(cloud, zone="zone-a")
    middle = cloud.launch(1, 99, zone="zone-b", InstanceType="m1.large")
    assert len(middle) == 6
    refusal(cloud, zone="zone-b")
    refusal(cloud)
    cloud.terminate(big[:1])
    cloud.until("terminated", big[:1])
    freed = eventually("four cores are free", lambda: cloud.launch(4, 9))
    assert len(freed) == 4
    cloud.clear()
    assert cloud.rooms() == before


def test_64_launches_at_once_under_a_quota_of_ten_give_ten(cloud: Any) -> None:
    cloud.add_user("quotient", instances=10)
    client = cloud.client("quotient")
    image = cloud.add_image()

    def launch(_: int) -> str:
        try:
            answer = client.run_instances(ImageId=image, InstanceType="m1.small", MinCount=1, MaxCount=1)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(answer["Instances"][0]["InstanceId"])

    with ThreadPoolExecutor(64) as crowd:
        answers = list(crowd.map(launch, range(64)))
    made = [answer for answer in answers if answer.startswith("i-")]
    assert len(made) == len(set(made)) == 10
    assert Counter(answers)["InstanceLimitExceeded"] == 54
    assert len(cloud.describe(user="quotient")) == 10
    cloud.until("running", made)
    cloud.terminate(made[:3], user="quotient")
    cloud.until("terminated", made[:3])
    again = eventually("three may be launched again", lambda: cloud.launch(1, 10, user="quotient"))
    assert len(again) == 3, "as many as the quota has left"


def test_two_users_of_an_account_share_its_quota(cloud: Any) -> None:
    account = cloud.add_user("first")
    assert cloud.add_user("second", "--account", account) == account
    cloud.euca("quota", f"account/{account}", "--instances", "3")
    made = cloud.launch(2, user="first") + cloud.launch(1, 5, user="second")
    assert len(made) == 3, "as many as the account has left"
    with pytest.raises(ClientError, match="InstanceLimitExceeded"):
        cloud.launch(user="first")
    assert set(cloud.describe(user="first")) == set(made), "one account, one list"
