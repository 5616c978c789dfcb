"""Best effort gives way, with real daemons and boto3: notice is given, kept over a kill -9, and the room is used.

When a machine was told and when it ended is compared with what its node wrote down.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cloud_process import SETTINGS, eventually

from euca_rpc.clock import SECOND, from_iso

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

NOTICE = 12  # seconds
GIVES_WAY = SETTINGS + '\n[cloud]\npolicies = ["pack", "reserve"]\npolicy = "pack"\n'
SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


def test_a_regular_launch_gets_the_room_of_best_effort_machines_when_their_notice_is_over(
    make_cloud: Any,
) -> None:
    cloud = make_cloud(zones=1, nodes=1, settings=GIVES_WAY)
    cloud.euca("policy", "parameter", "reserve.notice_minutes", str(NOTICE / 60))
    lent = cloud.launch(3, **SPOT)
    (mine,) = cloud.launch(1)
    cloud.until("running", [*lent, mine])

    (wanted,) = cloud.launch(1)
    row = cloud.describe(wanted)[wanted]
    assert row["State"]["Name"] == "pending"
    assert "Best-effort machines are given notice" in row["StateReason"]["Message"]

    def told() -> list[str]:
        rows = cloud.describe(*lent).values()
        code = "Server.SpotInstanceTerminationNotice"
        return [r["InstanceId"] for r in rows if r.get("StateReason", {}).get("Code") == code]

    (gone,) = eventually("one is told", told, 15)
    (notice,) = [e for e in cloud.ask("events", subject=gone) if e["kind"] == "instance.eviction"]
    assert notice["actor"] == "policy/reserve"
    until = from_iso(notice["until"])
    before = cloud.kill("cloud")
    cloud.restarted("cloud", before)
    eventually("the cloud controller answers again", cloud.all_up)
    assert told() == [gone], "the notice is durable"
    cloud.until("terminated", [gone], 40)
    cloud.until("running", [wanted], 40)
    (end,) = [
        line.at
        for lines in cloud.histories().values()
        for line in lines
        if line.what == "stop" and line.instance == gone
    ]
    assert 0 <= end - until < 6 * SECOND
    reason = cloud.describe(gone)[gone]["StateReason"]
    assert reason["Code"] == "Server.SpotInstanceTermination"
    assert "as told at" in reason["Message"]
    others = [id for id in lent if id != gone]
    assert set(cloud.states(*others, mine).values()) == {"running"}, "nobody else had to go"


def test_what_is_fed_is_published_and_taken_back(make_cloud: Any, tmp_path: Path) -> None:
    cloud = make_cloud(zones=1, nodes=1, settings=GIVES_WAY)
    prices = tmp_path / "prices.csv"
    prices.write_text("zone,price\nzone-a,0.25\nzone-b,1\n")
    cloud.euca("policy", "feed", "grid", "--file", str(prices))
    cloud.euca("policy", "feed", "mood", "fair")
    assert cloud.euca("policy", "published") == [
        {"name": "grid", "value": [{"zone": "zone-a", "price": 0.25}, {"zone": "zone-b", "price": 1}]},
        {"name": "mood", "value": "fair"},
    ]
    cloud.euca("policy", "feed", "mood", "--remove")
    assert [row["name"] for row in cloud.euca("policy", "published")] == ["grid"]
    assert [e["actor"] for e in cloud.ask("events", subject="mood")] == ["admin", "admin"]
