"""Any history of wishes and reports, also reports that lie, repeat or come late: what no history can bring about."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from euca_rpc.clock import MINUTE, SECOND
from euca_rpc.cloud import lifecycle
from euca_rpc.machines import MachineReport
from euca_rpc.types import End, Instance, Intent, Seen, Size

NOW = 1_700_000_000 * SECOND

NEW = Instance(
    id="i-0000000a", reservation_id="r-1", account_id="1", created_by="u", launch_index=0, image_id="emi-1",
    kernel_id=None, ramdisk_id=None, architecture="x86_64", vm_type="m1.large", cores=2, memory_mb=512, disk_gb=10,
    zone="open", node="open/h1", key_name=None, public_key="", user_data=b"", mac="", private_address="",
    public_address="", client_token=None, shutdown_behavior="terminate", service_class="regular", launched_at=NOW,
    next_try=NOW, deadline=NOW + 10 * MINUTE,
)  # fmt: skip

wishes = st.sampled_from(("terminate", "stop", "start", "reboot", "attempt", "overdue", "overdue-silent"))
reports = st.builds(
    MachineReport,
    instance_id=st.just(NEW.id),
    generation=st.integers(1, 6),
    reboots=st.integers(0, 3),
    seen=st.sampled_from([str(s) for s in Seen]),
    end=st.sampled_from(["", *map(str, End)]),
)
steps = st.tuples(st.one_of(wishes, reports), st.integers(0, 30 * MINUTE))


def wished(row: Instance, what: str, now: int) -> Instance:
    """What the instances noun and the reconciler allow in this state, and nothing else."""
    if what == "terminate":
        return lifecycle.want_terminated(row, now, "code", "asked")
    if what == "stop" and row.intent is Intent.RUNNING:
        return lifecycle.want_stopped(row, now, "code", "asked")
    if what == "start" and lifecycle.state(row) == lifecycle.STOPPED:
        return lifecycle.want_started(row, now)
    if what == "reboot" and lifecycle.state(row) == lifecycle.RUNNING:
        return lifecycle.want_rebooted(row, now)
    if what == "attempt" and row.intent is Intent.RUNNING and not lifecycle.settled(row):
        return replace(row, attempted=True, attempts=row.attempts + 1)
    if what.startswith("overdue") and row.deadline is not None and not lifecycle.settled(row):
        return lifecycle.overdue(row, now, what == "overdue", "silent since then")
    return row


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=30))
def test_no_history_resurrects_goes_back_or_claims_what_ended(history):
    row, now, usage = NEW, NOW, {}
    for what, later in history:
        now += later
        before = row
        if isinstance(what, str):
            row = wished(row, what, now)
        elif (seen := lifecycle.observe(row, what, now)) is not None:
            row = seen.row
            if seen.began:
                assert usage.setdefault(before.generation, "open") in ("open", "closed")
                usage[before.generation] = "open"
            if seen.ended:
                assert usage.get(before.generation) == "open", "an end without a beginning"
                usage[before.generation] = "closed"
        assert row.generation >= before.generation
        assert row.reboots >= before.reboots
        if before.intent is Intent.TERMINATED:
            assert row.intent is Intent.TERMINATED
        if before.ended_at is not None:
            assert row == before, "what ended changes no more"
        if row != before and row.ended_at is None and lifecycle.state(row) != lifecycle.state(before):
            assert row.version > before.version, "clients would be shown the old state"
        assert (lifecycle.claim(row) == Size()) == (row.ended_at is not None)
        assert lifecycle.claim(row).fits(row.size)
        if lifecycle.state(row) == lifecycle.RUNNING:
            assert (row.seen, row.seen_generation) == (Seen.RUNNING, row.generation)
    if row.ended_at is not None:
        assert "open" not in usage.values(), "it is over and still charged"
