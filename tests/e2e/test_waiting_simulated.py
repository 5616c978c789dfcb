"""Launches that wait, with real daemons and boto3: pending until there is room, also across kill -9, or given up."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_process import eventually

pytestmark = pytest.mark.real


def test_a_launch_waits_for_room_across_a_kill_and_is_placed(make_cloud: Any) -> None:
    cloud = make_cloud(zones=1, nodes=1)
    running = cloud.launch(4)
    cloud.until("running", running)
    (waits,) = cloud.launch(AdditionalInfo="wait=600", ClientToken="once")
    (late,) = cloud.launch(AdditionalInfo="wait=3")
    told = cloud.describe(waits)[waits]
    assert told["State"]["Name"] == "pending"
    assert told["StateReason"]["Code"] == "Server.WaitingForRoom"
    assert "It waits since" in told["StateReason"]["Message"]
    assert not told.get("PublicDnsName")
    assert not told.get("PrivateIpAddress")

    cloud.until("terminated", [late])
    assert cloud.describe(late)[late]["StateReason"]["Code"] == "Server.WaitedInVain"

    before = cloud.kill("cloud")
    cloud.restarted("cloud", before)
    eventually("the cloud controller answers again", cloud.all_up)
    assert cloud.states(waits) == {waits: "pending"}
    explained = cloud.euca("explain", waits)
    assert explained["waits"]["says"] == "There is no room for it now."
    assert explained["waits"]["ahead"] == 0
    assert cloud.launch(AdditionalInfo="wait=600", ClientToken="once") == [waits]
    assert [row["node"] for row in cloud.euca("instances") if row["id"] == waits] == [""]

    cloud.terminate(running[:1])
    cloud.until("running", [waits])
    told = cloud.describe(waits)[waits]
    assert told["PrivateIpAddress"]
    assert told["Placement"]["AvailabilityZone"]
    starts = [
        line.instance
        for lines in cloud.histories().values()
        for line in lines
        if line.what == "start" and line.instance == waits
    ]
    assert starts == [waits]


def test_a_launch_that_waits_can_be_ended_and_nothing_else(make_cloud: Any) -> None:
    cloud = make_cloud(zones=1, nodes=1)
    running = cloud.launch(4)
    first, second = cloud.launch(2, AdditionalInfo="wait=600")
    with pytest.raises(Exception, match=r"IncorrectInstanceState.*has not been placed on a node yet"):
        cloud.client().reboot_instances(InstanceIds=[first])
    cloud.terminate([first])
    assert cloud.states(first, second) == {first: "terminated", second: "pending"}
    cloud.terminate(running[:1])
    cloud.until("running", [second])
