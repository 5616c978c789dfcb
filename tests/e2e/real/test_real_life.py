"""One machine's life as its owner lives it: user data, console, reboot, stop and start, power off, terminate."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from euca_rpc.cli.output import clean

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually

USER_DATA = """\
#!/bin/sh
echo "by $(hostname)" > /root/from-user-data
echo again >> /root/runs
printf '\\033]0;owned\\007\\033[2J\\033[31mplain words\\033[0m\\n' > /dev/console
"""


@pytest.fixture(scope="module")
def two(real: Any) -> Iterator[list[Any]]:
    """Powered off from inside, the first one is terminated (which is the default), the second one stopped."""
    guests = real.boot(zone="zone-a", UserData=USER_DATA)
    guests += real.boot(zone="zone-b", InstanceInitiatedShutdownBehavior="stop", UserData=USER_DATA)
    for guest in guests:
        guest.up()
        guest.write(f"of {guest.id}")
    yield guests
    real.terminate_guests(guests)


def test_user_data_is_executed_by_the_guests_init_and_once(real: Any, two: list[Any]) -> None:
    for guest in two:
        wanted = f"by ip-{guest.private.replace('.', '-')}"
        eventually("user data ran", lambda g=guest, w=wanted: g.run("cat /root/from-user-data") == w, 20.0)


def test_the_console_shows_the_boot_and_nothing_of_it_reaches_the_administrators_terminal(
    real: Any, two: list[Any]
) -> None:
    def text() -> str:
        said = real.console(two[0].id)
        return said if "plain words" in said else ""

    console = eventually("the console shows what was printed", text, 20.0)
    assert f"{real_cloud.READY}: ip-{two[0].private.replace('.', '-')} {two[0].private}" in console
    assert "\x1b]0;owned\x07" in console, "a client is given the bytes as they are"
    shown = clean(console, lines=True)
    assert "plain words" in shown
    assert "\x1b" not in shown
    assert "owned" not in shown


def test_reboot_boots_the_same_disk_again_in_the_same_process(real: Any, two: list[Any]) -> None:
    guest, qemus = two[0], real.qemus()
    before = guest.up()
    real.client().reboot_instances(InstanceIds=[guest.id])
    assert guest.again(before).written == f"of {guest.id}"
    assert real.qemus() == qemus
    assert real.booted(guest.id) == 1
    assert guest.run("cat /root/runs") == "again", "user data runs once per instance"


def test_stop_and_start_keep_the_disk_and_the_addresses(real: Any, two: list[Any]) -> None:
    guest, ec2 = two[1], real.client()
    before = guest.up()
    free = real.nodes()["zone-b/host-1"]["free"]
    ec2.stop_instances(InstanceIds=[guest.id])
    real.until("stopped", [guest.id], 30.0)
    assert guest.id not in real.qemus()
    stopped = real.nodes()["zone-b/host-1"]["free"]
    assert stopped["cores"] == free["cores"] + 1, "cores are given back"
    assert stopped["disk_gb"] == free["disk_gb"], "the disk stays claimed"
    ec2.start_instances(InstanceIds=[guest.id])
    assert guest.again(before).written == f"of {guest.id}"
    assert real.guest(guest.id) == guest
    assert real.booted(guest.id) == 2


def available(real: Any, image: str) -> bool:
    (row,) = real.client().describe_images(ImageIds=[image])["Images"]
    assert row["State"] != "failed", row["StateReason"]
    return bool(row["State"] == "available")


def test_a_machine_started_from_an_image_of_a_running_one_has_its_files(real: Any, two: list[Any]) -> None:
    """In the other zone, so that what it starts from went through the image store."""
    guest, ec2 = two[0], real.client()
    before = guest.up()
    image = ec2.create_image(InstanceId=guest.id, Name="of a running one")["ImageId"]
    guest.write("later")  # the copy is of one moment: it has the one or the other, and a whole file system
    eventually("the image is available", lambda: available(real, image), 60.0)
    place = {"AvailabilityZone": "zone-b"}
    started = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="m1.small", KeyName="real", Placement=place
    )
    made = real.guest(started["Instances"][0]["InstanceId"])
    try:
        assert made.up().written in (f"of {guest.id}", "later")
        assert made.run("hostname") == f"ip-{made.private.replace('.', '-')}"
        assert guest.life().boot_id == before.boot_id, "it ran on"
        left = sorted(path.name for path in real.home.glob(f"nodes/*/captures/{image}/*"))
        assert left == ["capture.json"], "the copy is not kept on the node"
    finally:
        guest.write(f"of {guest.id}")
        real.terminate_guests([made])
        ec2.deregister_image(ImageId=image)


def test_power_off_from_inside_follows_the_shutdown_behavior(real: Any, two: list[Any]) -> None:
    for guest in two:
        guest.run("(sleep 1; poweroff) > /dev/null 2>&1 &")
    ends, stays = two
    real.until("terminated", [ends.id], 30.0)
    real.until("stopped", [stays.id], 30.0)
    assert real.reason(ends.id) == ("Client.InstanceInitiatedShutdown", "powered off from inside")
    assert real.reason(stays.id) == ("Client.InstanceInitiatedShutdown", "powered off from inside")
    assert not {ends.id, stays.id} & set(real.qemus())
    eventually("nothing of the terminated one is left", lambda: not real.traces(ends.id), 10.0)
    assert real.traces(stays.id)


def test_an_image_of_a_stopped_machine(real: Any, two: list[Any]) -> None:
    ec2 = real.client()
    image = ec2.create_image(InstanceId=two[1].id, Name="of a stopped one")["ImageId"]
    eventually("the image is available", lambda: available(real, image), 60.0)
    assert real.states(two[1].id) == {two[1].id: "stopped"}
    ec2.deregister_image(ImageId=image)


def test_terminate_removes_disk_and_domain(real: Any, two: list[Any]) -> None:
    guest = two[1]
    assert len(real.traces(guest.id)) == 2, "its folder and its domain"
    real.terminate([guest.id])
    real.until("terminated", [guest.id], 30.0)
    eventually("nothing of it is left", lambda: not real.traces(guest.id), 10.0)
    assert guest.id not in real.qemus()
    assert real.refused([guest.address]) == [guest.address]


def test_the_command_line_shows_no_escapes(real: Any, two: list[Any]) -> None:
    """An image's name is a user's text too."""
    name = "\x1b]0;owned\x07\x1b[2Jnamed"
    file = real.home / "tiny.raw"
    file.write_bytes(bytes(1 << 20))
    made = real.euca("add_image", "--disk-image", str(file), "--image-name", name)
    try:
        words = [sys.executable, "-m", "euca_rpc.cli.main", "--home", str(real.home), "images"]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "named" in shown
        assert "\x1b" not in shown
        assert "owned" not in shown
        assert name in json.dumps([row["name"] for row in real.euca("images")]).encode().decode(
            "unicode_escape"
        )
    finally:
        real.euca("remove_image", made["image"])
