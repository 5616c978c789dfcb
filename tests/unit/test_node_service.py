"""The node controller against the simulated hypervisor: what it starts, refuses, adopts and removes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.carrier import Answer
from euca_rpc.clock import HOUR, SECOND
from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.hypervisor import Mark
from euca_rpc.node.log import Log
from euca_rpc.node.record import LOG, Record, Tombstone, remembered
from euca_rpc.node.simulated import Faults, Line, SimulatedHypervisor, read_history, write_faults
from euca_rpc.testing.node_host import NodeHost
from euca_rpc.types import End, Size
from euca_rpc.wire.codec import pack

ID = "i-0000000a"


class Host(NodeHost):
    def ask(self, method: str, *what: Any, settle: bool = True) -> list[str]:
        argument = "specs" if method == "ensure" else "items"
        answer = getattr(self.node, method)(**{argument: list(what)})
        if settle:
            self.carrier.settle()
        return [refusal["symbol"] for refusal in answer["refused"]]

    def report(self) -> dict[str, dict[str, Any]]:
        assert self.node is not None
        return {m["instance_id"]: m for m in self.node.report()["machines"]}

    def seen(self, instance_id: str = ID) -> tuple[str, int, str] | None:
        machine = self.report().get(instance_id)
        return machine and (machine["seen"], machine["generation"], machine["end"])

    def history(self) -> list[tuple[str, str, int]]:
        lines = read_history(self.root / "host")
        return [
            (x.what, x.instance, x.generation) for x in lines if x.what in ("start", "stop", "reboot", "end")
        ]


def spec(
    generation: int = 1, *, instance_id: str = ID, fresh: bool | None = None, **other: Any
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "instance_id": instance_id,
        "generation": generation,
        "reboots": 0,
        "fresh": generation == 1 if fresh is None else fresh,
        "account_id": "123456789012",
        "cores": 1,
        "memory_mb": 512,
        "disk_gb": 2,
        "architecture": "x86_64",
        "image": BlobRef("emi-00000001", "0" * 64, 1, 1, "raw", "https://127.0.0.1/x", "ticket"),
        "kernel": None,
        "ramdisk": None,
        "mac": "d0:0d:00:00:00:0a",
        "private_address": "10.0.1.5",
        "public_address": "127.31.0.5",
        "hostname": "ip-10-0-1-5",
        "user_data": b"\x00\xffsecret",
    }
    packed: dict[str, Any] = pack(MachineSpec(**{**values, **other}))
    return packed


def item(generation: int = 1, instance_id: str = ID, **more: Any) -> dict[str, Any]:
    return {"instance_id": instance_id, "generation": generation, **more}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_nothing_is_started_before_the_request_is_durable(host: Host) -> None:
    host.ask("ensure", spec(), settle=False)
    assert host.history() == []
    host.carrier.jobs.clear()  # the daemon dies here; nothing but the record remembers
    host.boot().step()
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    assert host.history() == [("start", ID, 1)]


def test_a_repeated_ensure_starts_once(host: Host) -> None:
    for _ in range(3):
        assert host.ask("ensure", spec()) == []
    assert host.history() == [("start", ID, 1)]
    host.node.step()
    assert host.pokes > 0


def test_what_happens_on_the_host_is_told_and_what_does_not_happen_is_not(host: Host) -> None:
    host.ask("ensure", spec())
    host.node.step()
    told = host.pokes
    host.clock.advance(SECOND)
    host.node.step()
    assert host.pokes == told, "nothing new"
    for news in (
        lambda: host.hypervisor.end(ID),
        lambda: host.hypervisor.plant_foreign("theirs", Size(1, 1, 1)),
    ):
        news()
        host.node._on_hint()  # as a driver does that sees it
        host.clock.advance(SECOND)
        host.node.step()
        told += 1
        assert host.pokes == told


def test_while_many_start_they_are_told_of_together(tmp_path: Path) -> None:
    host = Host(tmp_path, OfferSettings(cores=40, memory_mb=40960, disk_gb=1000))
    many = [spec(instance_id=f"i-{n:08x}") for n in range(1, 21)]
    host.ask("ensure", *many, settle=False)
    host.node.step()
    told = host.pokes
    for _ in range(10):
        host.carrier.one()
        host.clock.advance(SECOND // 100)
        host.node.step()
    assert host.pokes - told <= 2
    host.carrier.settle()
    host.clock.advance(SECOND // 10)
    host.node.step()
    assert {machine["seen"] for machine in host.report().values()} == {"running"}
    assert host.pokes - told >= 2


def test_a_running_machine_is_adopted_after_a_restart(host: Host) -> None:
    host.ask("ensure", spec())
    host.boot().step()
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    assert host.history() == [("start", ID, 1)]


def test_start_asked_and_killed_before_the_answer_is_not_started_twice(host: Host) -> None:
    host.ask("ensure", spec(), settle=False)
    _, job, _ = host.carrier.jobs.pop()
    real = host.hypervisor.start

    def start_and_die(plan: Any) -> None:
        real(plan)
        raise KeyboardInterrupt

    host.hypervisor.start = start_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        job()
    host.hypervisor.start = real  # type: ignore[method-assign]
    host.boot().step()
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    assert host.history() == [("start", ID, 1)]


def test_an_older_generation_is_refused(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("stop", item())
    assert host.ask("ensure", spec(2)) == []
    assert host.ask("ensure", spec(1)) == ["generation_old"]
    assert host.ask("stop", item(1)) == ["generation_old"]
    assert host.ask("absent", item(1)) == ["generation_old"]
    assert host.seen() == ("running", 2, "")


def test_stop_keeps_the_disk_and_a_late_ensure_does_not_undo_it(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("stop", item())
    assert host.seen() == ("stopped", 1, End.ASKED)
    assert (host.root / "home/instances" / ID / "disk.none").exists()
    assert host.ask("ensure", spec(1)) == ["generation_old"]
    assert host.seen() == ("stopped", 1, End.ASKED)


def test_stop_of_a_generation_that_has_not_arrived_keeps_it_from_starting(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("stop", item(2))
    assert host.ask("ensure", spec(2)) == ["generation_old"]
    assert host.seen() == ("stopped", 2, End.ASKED)


def test_absent_buries_and_a_late_ensure_is_refused(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("absent", item())
    assert host.seen() == ("absent", 1, "")
    assert not (host.root / "home/instances" / ID).exists()
    assert host.ask("ensure", spec()) == ["generation_old"]
    host.boot().step()
    assert host.ask("ensure", spec()) == ["generation_old"]
    assert host.history() == [("start", ID, 1), ("stop", ID, 1)]


def test_absent_of_something_never_heard_of_is_a_tombstone(host: Host) -> None:
    assert host.ask("absent", item(3)) == []
    assert host.seen() == ("absent", 3, "")
    assert host.ask("ensure", spec(3)) == ["generation_old"]
    assert host.ask("ensure", spec(4, fresh=True)) == []
    assert host.seen() == ("running", 4, "")


def test_a_tombstone_is_told_for_an_hour_and_again_when_asked_again(host: Host) -> None:
    host.ask("absent", item())
    host.clock.advance(HOUR + SECOND)
    assert host.seen() is None
    host.ask("absent", item())
    assert host.seen() == ("absent", 1, "")
    host.clock.advance(7 * 24 * HOUR)
    host.boot().step()
    assert host.ask("ensure", spec()) == ["generation_old"]
    host.clock.advance(9 * 24 * HOUR)
    assert host.node is not None
    host.node.step()
    assert remembered(host.root / "home") == ({}, {})


def test_a_removal_that_was_cut_off_goes_on(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("absent", item(), settle=False)
    host.boot().step()
    assert host.seen() == ("running", 1, "")
    host.carrier.settle()
    assert host.seen() == ("absent", 1, "")


def test_disks_of_a_fenced_node_are_set_aside(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("absent", item(1, keep_disk=True))
    assert host.seen() == ("absent", 1, "")
    assert (host.root / "home/set-aside" / f"{ID}-1" / "disk.none").exists()


def test_reboot_once_per_counter(host: Host) -> None:
    host.ask("ensure", spec())
    for _ in range(3):
        host.ask("reboot", item(1, reboots=1))
    host.ask("reboot", item(1, reboots=2))
    host.ask("reboot", item(1, reboots=1))
    assert [line for line in host.history() if line[0] == "reboot"] == [("reboot", ID, 1)] * 2
    assert host.report()[ID]["reboots"] == 2


def test_a_reset_recorded_and_cut_off_is_not_done_after_the_restart(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("reboot", item(1, reboots=1), settle=False)
    host.boot().step()
    host.carrier.settle()
    assert ("reboot", ID, 1) not in host.history()
    assert host.report()[ID]["reboots"] == 1


@pytest.mark.parametrize("end", [End.GUEST, End.CRASHED])
def test_a_machine_that_ended_is_told_and_left_alone(host: Host, end: End) -> None:
    host.ask("ensure", spec())
    host.hypervisor.end(ID, end)
    assert host.seen() == ("stopped", 1, end)
    host.ask("ensure", spec())  # late or repeated
    host.boot().step()
    host.carrier.settle()
    assert host.seen() == ("stopped", 1, end)
    host.ask("ensure", spec(2))
    assert host.seen() == ("running", 2, "")


def test_a_lost_host_is_not_a_lost_machine(host: Host) -> None:
    host.ask("ensure", spec())
    before = host.node.report()["boot_id"]  # type: ignore[union-attr]
    host.hypervisor.lose_power()
    assert host.seen() == ("stopped", 1, End.HOST)
    assert host.node.report()["boot_id"] != before  # type: ignore[union-attr]
    assert host.ask("ensure", spec(2, fresh=False)) == []
    assert host.seen() == ("running", 2, "")


def test_a_missing_disk_is_never_replaced(host: Host) -> None:
    assert host.ask("ensure", spec(2, fresh=False)) == ["state_conflict"]
    machine = host.report()[ID]
    assert machine["seen"] == "failed"
    assert "that disk is not on this node" in machine["detail"]
    assert host.history() == []


def test_a_new_disk_over_an_old_one_is_refused(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("stop", item())
    assert host.ask("ensure", spec(2, fresh=True)) == ["state_conflict"]
    assert "It was left as it is" in host.report()[ID]["detail"]
    assert (host.root / "home/instances" / ID / "disk.none").exists()


def test_the_node_checks_its_room_again(tmp_path: Path) -> None:
    host = Host(tmp_path, OfferSettings(cores=2, memory_mb=2048, disk_gb=5))
    second, third = "i-0000000b", "i-0000000c"
    assert host.ask("ensure", spec(), spec(instance_id=second), spec(instance_id=third)) == [
        "capacity_exhausted"
    ]
    assert host.seen(third) == ("failed", 1, "")
    assert "1 cores asked, 0 free; 2 GiB of disk asked, 1 free" in host.report()[third]["detail"]
    host.ask("stop", item(1, second))  # gives back its core, keeps its disk
    assert host.ask("ensure", spec(instance_id="i-0000000d", disk_gb=1, fresh=True)) == ["capacity_exhausted"]
    host.ask("absent", item(1, third))
    assert host.ask("ensure", spec(instance_id="i-0000000e", disk_gb=1)) == ["capacity_exhausted"]
    host.ask("absent", item(1, "i-0000000d"))
    assert host.ask("ensure", spec(2, fresh=True, instance_id="i-0000000e", disk_gb=1)) == []


def test_foreign_domains_are_counted_and_not_touched(host: Host) -> None:
    before = host.node.report()["offer"]  # type: ignore[union-attr]
    host.hypervisor.plant_foreign("somebody", Size(3, 1000, 0))
    after = host.node.report()["offer"]  # type: ignore[union-attr]
    assert (before["cores"] - after["cores"], before["memory_mb"] - after["memory_mb"]) == (3, 1000)
    assert "somebody" not in host.report()


def test_a_machine_with_our_mark_and_no_record_is_told_and_not_touched(host: Host) -> None:
    host.ask("ensure", spec())
    lost = Host.__new__(Host)
    lost.__dict__.update(host.__dict__)
    lost.node = None
    lost.root = host.root / "elsewhere"
    lost.boot().step()
    machine = lost.report()[ID]
    assert (machine["seen"], "no record" in machine["detail"]) == ("running", True)
    lost.carrier.settle()
    assert host.history() == [("start", ID, 1)]
    lost.ask("absent", item())  # only a recorded terminate
    assert host.history() == [("start", ID, 1), ("stop", ID, 1)]


def test_an_unreachable_hypervisor_is_never_an_empty_list(host: Host) -> None:
    host.ask("ensure", spec())
    write_faults(host.root / "host", Faults(unreachable=True))
    with pytest.raises(EucaError) as caught:
        host.report()
    assert caught.value.symbol == "unreachable"
    host.ask("absent", item())  # recorded although nothing can be done now
    write_faults(host.root / "host", Faults())
    assert host.seen() == ("running", 1, "")
    host.clock.advance(5 * SECOND)
    host.node.step()  # type: ignore[union-attr]
    host.carrier.settle()
    assert host.seen() == ("absent", 1, "")


def test_a_failed_start_has_a_reason_and_is_tried_again(host: Host) -> None:
    write_faults(host.root / "host", Faults(fail_starts=(1,)))
    host.ask("ensure", spec())
    machine = host.report()[ID]
    assert machine["seen"] == "preparing"
    assert "configured to fail" in machine["detail"]
    due = host.node.step()  # type: ignore[union-attr]
    assert due == host.clock.now() + 5 * SECOND
    host.clock.advance(5 * SECOND)
    host.node.step()  # type: ignore[union-attr]
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    assert host.report()[ID]["detail"] == ""


def test_the_version_changes_when_and_only_when_something_did(host: Host) -> None:
    node = host.node
    assert node is not None
    first = node.report()
    assert node.report(known=first["version"]) == {"same": first["version"]}
    host.ask("ensure", spec())
    second = node.report(known=first["version"])
    assert second["version"] > first["version"]
    assert node.report(known=second["version"]) == {"same": second["version"]}
    assert host.boot().report()["version"] != second["version"]


def test_who_understands_deltas_is_told_what_changed_since_the_version_held(host: Host) -> None:
    node = host.node
    assert node is not None
    other = "i-000000ab"
    host.ask("ensure", spec(), spec(instance_id=other))
    host.carrier.settle()
    first = node.report(deltas=True)
    assert "since" not in first, "nothing is held yet"
    host.ask("stop", item())
    host.carrier.settle()
    held = {m["instance_id"]: m for m in first["machines"]}
    assert set(held) == {ID, other}
    told = node.report(known=first["version"], deltas=True)
    assert (told["since"], told["gone"]) == (first["version"], [])
    assert [(m["instance_id"], m["seen"]) for m in told["machines"]] == [(ID, "stopped")]
    whole = node.report(known=first["version"])
    assert "since" not in whole
    assert {m["instance_id"]: m for m in whole["machines"]} == held | {ID: told["machines"][0]}
    assert "since" not in node.report(known=first["version"] - 1, deltas=True), "of before it was started"
    assert "since" not in host.boot().report(known=first["version"], deltas=True), "of another start"


def test_a_second_daemon_of_the_same_node_is_refused_by_pid(host: Host) -> None:
    with pytest.raises(EucaError, match=f"already served by process {os.getpid()}"):
        Host(host.root)


@pytest.mark.parametrize("text", ["../../etc", "i-0000000A", "i-1", "", 7, None])
def test_what_is_not_an_instance_id_never_becomes_a_path(host: Host, text: Any) -> None:
    with pytest.raises(EucaError, match="not an instance id"):
        host.node.absent(items=[{"instance_id": text, "generation": 1}])  # type: ignore[union-attr]
    with pytest.raises(EucaError, match="not an instance id"):
        host.node.console(instance_id=text)  # type: ignore[union-attr]


def test_console(host: Host) -> None:
    host.ask("ensure", spec())
    assert b"simulated machine i-0000000a" in host.node.console(instance_id=ID)["text"]  # type: ignore[union-attr]
    with pytest.raises(EucaError, match="is not on node"):
        host.node.console(instance_id="i-ffffffff")  # type: ignore[union-attr]


def test_user_data_survives_the_record(host: Host) -> None:
    host.ask("ensure", spec(), settle=False)
    node = host.boot()
    assert node._machines[ID].spec.user_data == b"\x00\xffsecret"
    assert node._machines[ID].spec.image.format == "raw"


def test_a_domain_of_another_node_is_not_touched(host: Host) -> None:
    other = Mark("cloud-1", "west/two", ID, 1)
    host.ask("ensure", spec(), settle=False)
    line = Line("start", 0, ID, 1, other.cloud_id, other.node_id, [1, 1, 1])
    host.hypervisor._append(line)  # as if the other node shared this hypervisor
    host.carrier.settle()
    machine = host.report()[ID]
    assert machine["seen"] == "failed"
    assert "belongs to node west/two" in machine["detail"]
    host.ask("absent", item())
    assert host.history() == [("start", ID, 1)]


def test_a_look_before_the_stop_of_a_later_generation_does_not_settle_it(host: Host) -> None:
    host.ask("ensure", spec())
    host.boot()
    host.ask("stop", item(2), settle=False)
    host.carrier.jobs.clear()
    host.boot().step()  # looks first: what runs is generation 1, what is to stop is 2
    host.carrier.settle()
    assert host.seen() == ("stopped", 2, End.ASKED)
    assert host.history() == [("start", ID, 1), ("stop", ID, 1)]


def test_a_look_that_began_before_a_start_does_not_end_the_machine(host: Host) -> None:
    host.node.report()  # type: ignore[union-attr]
    look = host.hypervisor.domains

    def domains() -> Any:
        host.hypervisor.domains = look  # type: ignore[method-assign]
        listed = look()
        host.ask("ensure", spec())
        return listed

    host.ask("ensure", spec(instance_id="i-0000000b"))
    host.hypervisor.domains = domains  # type: ignore[method-assign]
    host.report()
    assert host.seen() == ("running", 1, "")


def test_a_look_that_began_before_a_restart_does_not_end_the_new_generation(host: Host) -> None:
    host.ask("ensure", spec())
    host.ask("stop", item())
    look = host.hypervisor.domains

    def domains() -> Any:
        host.hypervisor.domains = look  # type: ignore[method-assign]
        listed = look()
        host.ask("ensure", spec(2))
        return listed

    host.hypervisor.domains = domains  # type: ignore[method-assign]
    assert host.seen() == ("running", 2, "")


def test_a_refused_start_leaves_what_runs_alone(host: Host) -> None:
    host.ask("ensure", spec())
    assert host.ask("ensure", spec(2, fresh=True)) == ["state_conflict"]
    assert host.seen() == ("running", 1, "")


@pytest.mark.parametrize("full", ["pwrite", "fdatasync"])
def test_a_full_disk_leaves_room_for_what_must_be_remembered(
    tmp_path: Path, monkeypatch: Any, full: str
) -> None:
    """Every write fails while the ballast is there; without it, one goes through."""
    import errno

    from euca_rpc.node import record

    records = record.Records(tmp_path)
    real, real_replace, left = getattr(os, full), os.replace, int(full == "pwrite")

    def refuse(handle: int, *more: Any) -> Any:
        nonlocal left
        if records._ballast.exists() or not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        return real(handle, *more)

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def bury(instance_id: str) -> None:
        records.bury(Tombstone(instance_id, 1, 0))
        records.settle()

    with monkeypatch.context() as patched:
        patched.setattr(os, full, refuse)
        if full == "fdatasync":  # then it is written anew, for which there is room without the ballast
            patched.setattr(
                os, "replace", lambda *names: refuse(0) if records._ballast.exists() else real_replace(*names)
            )
        bury("i-0000000b")
        assert set(remembered(tmp_path)[1]) == {"i-0000000b"}
        assert not records._ballast.exists()
        patched.setattr(os, "replace", fails)
        with pytest.raises(EucaError, match=r"cannot write down .* No space left on device. Make room"):
            bury("i-0000000c")
    (records.folder("i-0000000b")).mkdir()
    records.remove(Tombstone("i-0000000b", 1, 0))
    assert (tmp_path / "ballast").stat().st_size == record.BALLAST, "made anew when there is room again"


def test_what_is_done_and_what_is_said_is_durable_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut at any effect or answer: what outlives it tells of what was done."""
    node, home = host.node, host.root / "home"
    assert node is not None

    def durable(where: str) -> tuple[Record | None, Tombstone | None]:
        copy = host.root / where
        copy.mkdir(exist_ok=True)
        (copy / LOG).write_bytes((home / LOG).read_bytes()[: node._records.durable])
        records, tombstones = remembered(copy)
        return records.get(ID), tombstones.get(ID)

    done = []

    def watch(method: str, true: Callable[[Record | None, Tombstone | None], Any]) -> None:
        real = getattr(host.hypervisor, method)

        def watched(*args: Any) -> Any:
            done.append(method)
            assert true(*durable(method)), method
            return real(*args)

        monkeypatch.setattr(host.hypervisor, method, watched)

    watch("start", lambda r, t: r is not None and r.started)
    watch("reboot", lambda r, t: r is not None and r.reboots == 1)
    host.ask("ensure", spec(), settle=False)
    record, _ = durable("answer")
    assert record is not None
    assert record.generation == 1
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    record, _ = durable("report")
    assert record is not None
    assert record.seen == "running"
    with monkeypatch.context() as at_once:  # a thread may take the job before the answer is given
        at_once.setattr(host.carrier, "run", lambda key, job, on_answer: on_answer(Answer(job())))
        host.ask("reboot", item(1, reboots=1))
    watch("stop", lambda r, t: r is not None and r.want == "stopped")
    host.ask("stop", item())
    watch("stop", lambda r, t: t is not None)
    real = shutil.rmtree

    def rmtree(path: Path, **more: Any) -> None:
        assert durable("remove")[1] is not None
        done.append("rmtree")
        real(path, **more)

    monkeypatch.undo()
    monkeypatch.setattr(shutil, "rmtree", rmtree)
    host.ask("absent", item(), settle=False)
    assert durable("buried")[1] is not None
    host.carrier.settle()
    assert host.seen() == ("absent", 1, "")
    assert durable("gone")[0] is None
    assert done == ["start", "reboot", "stop", "rmtree"]


def test_a_machine_whose_folder_a_power_cut_took_is_made_again(host: Host) -> None:
    host.ask("ensure", spec(), settle=False)
    (host.root / "home/instances" / ID).rmdir()
    host.boot().step()
    host.carrier.settle()
    assert host.seen() == ("running", 1, "")
    assert (host.root / "home/instances" / ID / "disk.none").exists()


def test_machines_of_one_request_share_their_syncs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda handle, real=real: syncs.append(handle) or real(handle))
    host.ask("ensure", *(spec(instance_id=f"i-000000{n:02x}", cores=0) for n in range(10)), settle=False)
    assert len(syncs) == 2, "the log and the names of the folders"
    host.carrier.settle()
    assert len(syncs) == 2 + 10, "one before each start, as they are started one after another"


def test_a_home_from_before_the_log_is_read_once(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.ask("ensure", spec())
    host.ask("absent", item(3, "i-0000000b"))
    assert host.node is not None
    host.node.close()
    host.node, home = None, tmp_path / "home"
    for key, value in Log.read(home / LOG).items():
        kind, _, instance_id = key.partition("/")
        names = {
            "machine": f"instances/{instance_id}/machine.json",
            "tombstone": f"tombstones/{instance_id}.json",
        }
        path = home / names[kind]
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value))
    (home / LOG).unlink()
    for _ in range(2):
        host.boot().step()
        host.carrier.settle()
        assert (host.seen(), host.seen("i-0000000b")) == (("running", 1, ""), ("absent", 3, ""))
        assert host.node._machines[ID].spec.user_data == b"\x00\xffsecret"
        assert host.ask("ensure", spec(3, instance_id="i-0000000b")) == ["generation_old"]
        assert not list(home.glob("instances/*/machine.json")) + list(home.glob("tombstones"))
    assert host.history() == [("start", ID, 1)]


def test_what_failed_for_good_is_not_come_back_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment in the past would make whoever drives the node step it without a pause."""

    def refuse(self: object, plan: object) -> None:
        raise EucaError("image_refused", "this will never start")

    monkeypatch.setattr(SimulatedHypervisor, "start", refuse)
    host.ask("ensure", spec())
    host.carrier.settle()
    assert host.seen() == ("failed", 1, "")
    host.clock.advance(10 * SECOND)
    assert host.node.step() is None  # type: ignore[union-attr]
