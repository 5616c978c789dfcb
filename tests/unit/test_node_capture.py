"""Images made from a node's machines, against the simulated hypervisor: what is copied, stored, told and removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, CaptureOrder, MachineSpec
from euca_rpc.node import root_disk
from euca_rpc.node.simulated import Faults, write_faults
from euca_rpc.testing.node_host import NodeHost
from euca_rpc.wire.codec import pack

ID, IMAGE = "i-0000000a", "emi-0000000b"


class Stopped(BaseException):
    """The daemon was killed."""


class Host(NodeHost):
    def __init__(self, root: Path) -> None:
        self.stored: list[bytes] = []
        self.refusal: EucaError | None = None
        self.kill_at = ""
        super().__init__(root)

    def kill(self, point: str) -> None:
        if point == self.kill_at:
            raise Stopped

    def store(self, order: CaptureOrder, file: Path, format: str) -> str:
        if self.refusal is not None:
            raise self.refusal
        self.stored.append(file.read_bytes())
        return f"receipt of {order.image_id}, {format}"

    def run_machine(self) -> None:
        assert self.node is not None
        self.node.ensure([pack(MACHINE)])
        self.carrier.settle()

    def ask(self, what: str) -> None:
        assert self.node is not None
        getattr(self.node, what)([{"instance_id": ID, "generation": 1}])

    def capture(self, settle: bool = True) -> None:
        assert self.node is not None
        self.node.capture([pack(ORDER)])
        if settle:
            self.carrier.settle()

    def later(self, seconds: float = 6) -> None:
        assert self.node is not None
        self.clock.advance(int(seconds * SECOND))
        self.node.step()
        self.carrier.settle()

    def told(self) -> tuple[str, str, str] | None:
        assert self.node is not None
        for one in self.node.report()["captures"]:
            assert one["image_id"] == IMAGE
            return one["state"], one["detail"], one["receipt"]
        return None

    def left(self) -> list[str]:
        """What is kept of the capture besides its record."""
        return sorted(
            p.name for p in (self.root / "home" / "captures" / IMAGE).iterdir() if p.suffix != ".json"
        )


MACHINE = MachineSpec(
    ID,
    1,
    0,
    True,
    "123456789012",
    1,
    512,
    2,
    "x86_64",
    BlobRef("emi-00000001", "0" * 64, 1, 1, "raw", "https://127.0.0.1/x", "ticket"),
    None,
    None,
    "d0:0d:00:00:00:0a",
    "10.0.1.5",
    "127.31.0.5",
    "ip-10-0-1-5",
)
ORDER = CaptureOrder(IMAGE, ID, 1, "x86_64", 1 << 30, "https://127.0.0.1:1", "a ticket")
DONE = ("done", "", f"receipt of {IMAGE}, raw")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_running_machine_is_copied_stored_and_told(host: Host) -> None:
    host.run_machine()
    host.capture(settle=False)
    assert host.told() == ("working", "", "")
    host.capture()  # the order again
    assert host.told() == DONE
    assert [ID.encode() in blob for blob in host.stored] == [True]
    assert host.left() == []
    assert [d.running for d in host.hypervisor.domains()] == [True]


def test_a_stopped_machine_is_copied_in_its_own_lane(host: Host) -> None:
    host.run_machine()
    host.ask("stop")
    host.carrier.settle()
    host.capture(settle=False)
    assert host.carrier.one() == ID
    assert host.carrier.one() == IMAGE
    assert host.told() == DONE


def test_a_machine_that_is_started_meanwhile_is_not_held_up(host: Host) -> None:
    host.run_machine()
    host.ask("stop")
    host.carrier.settle()
    host.capture(settle=False)
    assert host.node is not None
    host.node.ensure([pack(MACHINE) | {"generation": 2, "fresh": False}])
    host.carrier.settle()
    assert [d.running for d in host.hypervisor.domains()] == [True]
    host.later()
    assert host.told() == DONE
    assert len(host.stored) == 1


def test_what_is_forgotten_leaves_nothing_and_a_late_order_does_not_begin_it_again(host: Host) -> None:
    host.run_machine()
    host.capture(settle=False)
    assert host.node is not None
    host.node.forget_captures([IMAGE])  # while it waits for its turn
    assert host.told() is None
    host.carrier.settle()
    host.capture()
    host.boot().capture([pack(ORDER)])
    host.later()
    assert (host.told(), host.stored, host.left()) == (None, [], [])
    host.node.forget_captures(["emi-0000000c"])  # never heard of
    host.later(9 * 24 * 3600)
    assert list((host.root / "home" / "captures").iterdir()) == []


def test_what_is_forgotten_while_it_waits_for_another_attempt_wakes_nobody(host: Host) -> None:
    host.run_machine()
    host.refusal = EucaError("unreachable", "The image server does not answer.")
    host.capture()
    assert host.node is not None
    assert host.node.step() is not None
    host.node.forget_captures([IMAGE])
    host.clock.advance(SECOND)
    assert (host.node.step(), host.left()) == (None, [])


def test_a_machine_that_is_terminated_first_is_told_as_a_failure(host: Host) -> None:
    host.run_machine()
    host.capture(settle=False)
    host.ask("absent")
    host.carrier.settle()
    host.later()
    state, detail, _ = host.told() or ("", "", "")
    assert state == "failed"
    assert f"{ID} was terminated before its disk was copied" in detail
    assert (host.stored, host.left()) == ([], [])


def test_one_that_was_copied_is_stored_although_its_machine_is_gone(host: Host) -> None:
    host.run_machine()
    host.refusal = EucaError("unreachable", "The image server does not answer.")
    host.capture()
    assert host.told() == ("working", "The image server does not answer.", "")
    assert host.left() == ["disk"]
    host.ask("absent")
    host.carrier.settle()
    host.refusal = None
    host.later()
    assert host.told() == DONE


def test_what_no_other_attempt_cures_is_a_failure(host: Host) -> None:
    host.run_machine()
    host.refusal = EucaError("denied", "The ticket is over.")
    host.capture()
    assert host.told() == ("failed", "The ticket is over.", "")
    assert host.left() == []


def test_a_copy_that_fails_is_begun_again(host: Host) -> None:
    host.run_machine()
    write_faults(host.root / "host", Faults(fail_copies=(ID,)))
    host.capture()
    state, detail, _ = host.told() or ("", "", "")
    assert (state, "configured to fail" in detail, host.left()) == ("working", True, [])
    write_faults(host.root / "host", Faults())
    os.utime(host.root / "host" / "faults.json", ns=(1, 1))
    host.later()
    assert host.told() == DONE


@pytest.mark.parametrize(
    ("point", "stored"),
    [
        ("capture-accepted", 1),
        ("copied", 1),
        ("copy-finished", 1),
        ("stored", 2),  # whether the first was stored, nobody can know any more
        ("capture-done", 1),
    ],
)
def test_a_daemon_that_is_killed_goes_on(host: Host, point: str, stored: int) -> None:
    host.run_machine()
    host.kill_at = point
    with pytest.raises(Stopped):
        host.capture()
    host.kill_at = ""
    host.boot()
    host.later(1)
    host.later()
    assert host.told() == DONE
    assert (len(host.stored), host.left()) == (stored, [])


def test_an_unknown_machine_and_nonsense(host: Host) -> None:
    host.capture()
    state, detail, _ = host.told() or ("", "", "")
    assert (state, "never was here" in detail) == ("failed", True)
    assert host.node is not None
    for order in ({"image_id": "../../etc"}, {"instance_id": "i-1/../x"}, {"image_id": "EMI-0000000B"}):
        with pytest.raises(EucaError) as caught:
            host.node.capture([pack(ORDER) | order])
        assert caught.value.symbol == "id_malformed"
    with pytest.raises(EucaError):
        host.node.forget_captures(["../x"])


def test_a_copy_that_may_not_fit_is_refused_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    with base.open("wb") as file:
        file.write(b"x" * (8 << 20))
    root_disk.overlay(base, "raw", tmp_path / "disk.qcow2", 1 << 30)
    root_disk.room_for_copy(tmp_path / "disk.qcow2", tmp_path)
    full = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda folder: os.statvfs_result((*full[:4], 1 << 10, *full[5:])))
    with pytest.raises(EucaError, match=r"needs 26\d MiB .* and \d MiB are free") as caught:
        root_disk.room_for_copy(tmp_path / "disk.qcow2", tmp_path)
    assert caught.value.symbol == "capacity_exhausted"


def test_a_stopped_machines_disk_becomes_one_file(tmp_path: Path) -> None:
    base, copy = tmp_path / "base", tmp_path / "copy"
    base.write_bytes(b"below".ljust(1 << 20, b"\0"))
    root_disk.overlay(base, "raw", tmp_path / "disk.qcow2", 8 << 20)
    with root_disk.raw_view(tmp_path / "disk.qcow2") as disk:
        os.pwrite(disk, b"above", 2 << 20)
    root_disk.flatten(tmp_path / "disk.qcow2", copy, lambda: True)
    base.unlink()
    with root_disk.raw_view(copy) as disk:
        assert (os.pread(disk, 5, 0), os.pread(disk, 5, 2 << 20)) == (b"below", b"above")
