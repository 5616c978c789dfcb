"""The life of an instance: pure functions over the two facts of its row.

    intent  running │ stopped │ terminated     written by the cloud controller, with a generation raised by every start
    seen    nothing │ preparing │ running │ stopped │ failed │ absent     what the node last said, of which generation

The state that a client sees is `state`; what the row claims on its node is `claim`; nothing of either is stored.

`observe` is the one place where a report changes a row.  It answers what the row becomes and what else happened, as
data.  Silence is not an observation: an unreachable node changes no row but for the sentence of its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from euca_rpc.clock import HOUR, MINUTE, Micros
from euca_rpc.frozen import changed, quick
from euca_rpc.machines import MachineReport
from euca_rpc.types import End, Instance, Intent, Seen, Size

PENDING, RUNNING, SHUTTING_DOWN = "pending", "running", "shutting-down"
TERMINATED, STOPPING, STOPPED = "terminated", "stopping", "stopped"

START_DEADLINE: Micros = (
    10 * MINUTE
)  # from launch or start to running: image copy + boot, far above the slowest seen
END_DEADLINE: Micros = 5 * MINUTE  # from the wish to stop or terminate to its confirmation
RESTARTS_AN_HOUR = 3
VISIBLE_AFTER_END: Micros = HOUR
TOKEN_AFTER_END: Micros = 24 * HOUR

NOTHING = Size()
_ENDS = {
    End.HOST: "its host lost power or was restarted",
    End.CRASHED: "its virtual machine process died",
    End.UNKNOWN: "its virtual machine was found off, cause unknown",
}


def state(i: Instance) -> str:
    """What a client sees: a function of intent and observation alone."""
    current = i.seen_generation == i.generation
    if i.intent is Intent.TERMINATED:
        return TERMINATED if i.ended_at is not None else SHUTTING_DOWN
    if i.intent is Intent.STOPPED:
        return STOPPED if is_off(i) else STOPPING
    return RUNNING if current and i.seen is Seen.RUNNING else PENDING


def is_off(i: Instance) -> bool:
    """Nothing of it runs: seen so at this generation, or this generation never left the cloud controller."""
    return not i.attempted or (i.seen_generation == i.generation and i.seen in (Seen.STOPPED, Seen.ABSENT))


def waits(i: Instance) -> bool:
    """It has no node yet (`cloud.waiting`): it holds nothing, and nobody is told of it."""
    return not i.node and i.ended_at is None


def claim(i: Instance) -> Size:
    """What it holds on its node.  A stopped instance keeps its disk and gives back cores and memory; terminating it
    does not take them again."""
    if i.ended_at is not None or not i.node:
        return NOTHING
    if i.intent is not Intent.RUNNING and is_off(i):
        return Size(0, 0, i.disk_gb)
    return i.size


def counted(i: Instance) -> Size:
    """What counts against quotas: what it claims, and what it waits for."""
    return i.size if waits(i) else claim(i)


def launched(i: Instance) -> bool:
    """It is to run for the first time, on a node that was not told of it yet."""
    return (
        i.intent is Intent.RUNNING
        and not i.attempted
        and i.generation == 1
        and i.ended_at is None
        and bool(i.node)
    )


def settled(i: Instance) -> bool:
    """Nothing is left to do with its node: what is wanted is what was seen, or it has none."""
    if i.ended_at is not None or not i.node:
        return True
    if i.intent is Intent.STOPPED:
        return is_off(i)
    if i.intent is Intent.RUNNING:
        return i.seen is Seen.RUNNING and i.seen_generation == i.generation and i.seen_reboots >= i.reboots
    return False


# ------------------------------------------------------------------------------------------ what is wanted
def want_terminated(i: Instance, now: Micros, code: str, reason: str) -> Instance:
    """Wish its end.  One that never left the cloud controller ends here and now."""
    if i.intent is Intent.TERMINATED:
        return i
    ended = now if not i.attempted and i.generation == 1 else None
    return changed(
        i,
        intent=Intent.TERMINATED,
        attempts=0,
        next_try=now,
        deadline=None if ended else now + END_DEADLINE,
        reason_code=code,
        reason=reason,
        ended_at=ended,
        version=i.version + 1,
    )


def want_stopped(i: Instance, now: Micros, code: str, reason: str) -> Instance:
    if i.intent is not Intent.RUNNING:
        return i
    return changed(
        i,
        intent=Intent.STOPPED,
        attempts=0,
        next_try=now,
        deadline=now + END_DEADLINE,
        reason_code=code,
        reason=reason,
        version=i.version + 1,
    )


def want_started(i: Instance, now: Micros, reason: str = "") -> Instance:
    """A new generation of the same machine on the same disk."""
    return changed(
        i,
        intent=Intent.RUNNING,
        generation=i.generation + 1,
        attempts=0,
        attempted=False,
        next_try=now,
        deadline=now + START_DEADLINE,
        reason_code="",
        reason=reason,
        running_since=None,
        version=i.version + 1,
    )


def want_rebooted(i: Instance, now: Micros) -> Instance:
    return changed(i, reboots=i.reboots + 1, attempts=0, next_try=now, version=i.version + 1)


# --------------------------------------------------------------------------------------------- what is seen
@quick
@dataclass(frozen=True, slots=True)
class Observation:
    """What a report made of a row.  `began` and `ended` open and close the usage row of its generation, at the moment `at`."""

    row: Instance
    began: bool = False
    ended: bool = False
    at: Micros = 0


def charged(i: Instance) -> bool:
    """Whether the usage row of its generation is open: `running_since` is set when it is seen running and taken back
    when the node says anything else of it.  A node that does not mention it at all has not said that it ended."""
    return i.seen_generation == i.generation and i.running_since is not None


def observe(i: Instance, m: MachineReport, now: Micros, since: Micros | None = None) -> Observation | None:
    """What the node's word ``m`` makes of row ``i``; None if nothing.  The caller has checked that the report comes
    from the instance's own node.  Another generation than the current one tells nothing about the current one.
    ``since``: the moment from which it is so, if the node knows; for what is charged, and never outside of what can be."""
    if m.generation != i.generation or i.ended_at is not None:
        return None
    seen = Seen(m.seen)
    same = (i.seen, i.seen_generation, i.seen_reboots, i.seen_end, i.seen_detail)
    if same == (seen, m.generation, m.reboots, m.end, m.detail):
        return None
    ran = charged(i)
    runs = seen is Seen.RUNNING
    began, ended = runs and not ran, ran and not runs
    earliest = i.running_since if ran else i.launched_at if i.generation == 1 else i.seen_at
    at = now if since is None else min(now, max(since, earliest or 0))
    row = changed(
        i,
        seen=seen,
        seen_generation=m.generation,
        seen_reboots=m.reboots,
        seen_end=m.end,
        seen_detail=m.detail,
        seen_at=now,
        private_address=i.private_address
        or m.private_address,  # an assigned address is never a node's to change
        public_address=i.public_address or m.public_address,
        attempted=True,
        running_since=at if began else i.running_since if runs else None,
        version=i.version + 1,
    )
    if seen is Seen.ABSENT:
        row = _gone(row, now)
    elif row.intent is Intent.STOPPED and seen is Seen.STOPPED:
        row = changed(row, deadline=None)
    elif row.intent is Intent.RUNNING:
        row = _wanted(row, m, seen, now)
    return Observation(row, began, ended, at)


def _wanted(row: Instance, m: MachineReport, seen: Seen, now: Micros) -> Instance:
    """It should run: what its node said of it makes it so, or decides what follows."""
    if seen is Seen.RUNNING:
        return changed(row, deadline=None, reason_code="", reason="")
    if seen is Seen.FAILED:
        code = "Server.InternalError"
        return want_terminated(row, now, code, m.detail or "the node could not start it")
    if seen is Seen.STOPPED:
        return _fell(row, m, now)
    return row


def _gone(i: Instance, now: Micros) -> Instance:
    """The node holds a tombstone: nothing of it is left, and nothing older will be started."""
    if i.intent is not Intent.TERMINATED:
        i = want_terminated(
            i, now, "Server.InternalError", f"{i.node} says that it holds nothing of this instance"
        )
    return changed(i, ended_at=now, deadline=None, version=i.version + 1)


def _fell(i: Instance, m: MachineReport, now: Micros) -> Instance:
    """It ran, it should run, and it is off: what follows depends on why."""
    if m.end == End.GUEST:
        if i.shutdown_behavior == "stop":
            return want_stopped(i, now, "Client.InstanceInitiatedShutdown", "powered off from inside")
        return want_terminated(i, now, "Client.InstanceInitiatedShutdown", "powered off from inside")
    cause = _ENDS.get(End(m.end) if m.end in set(End) else End.UNKNOWN, _ENDS[End.UNKNOWN])
    recent = tuple(at for at in i.restarts if at > now - HOUR)
    if len(recent) >= RESTARTS_AN_HOUR:
        sentence = (
            f"{cause}; already started again {len(recent)} times within an hour; start it again by hand"
        )
        return want_stopped(i, now, "Server.InternalError", sentence)
    again = want_started(i, now, f"starting again because {cause}")
    return changed(again, restarts=(*recent, now))


def overdue(i: Instance, now: Micros, reachable: bool, silence: str) -> Instance:
    """Its deadline passed.  A node that answers: the launch failed, say so and end it.  A silent one: only the
    reason changes, and the deadline starts again; nothing is concluded from silence."""
    if not reachable:
        return changed(
            i,
            deadline=now + (START_DEADLINE if i.intent is Intent.RUNNING else END_DEADLINE),
            reason_code="Server.NodeUnreachable",
            reason=f"waiting for {i.node}, {silence}",
            version=i.version + 1,
        )
    if i.intent is Intent.RUNNING:
        told = f": {i.seen_detail}" if i.seen_detail else ""
        sentence = f"not running {START_DEADLINE // MINUTE} minutes after it was asked for; {i.node} says {i.seen}{told}"
        return want_terminated(i, now, "Server.InternalError", sentence)
    sentence = (
        f"{i.node} answers but has not confirmed within {END_DEADLINE // MINUTE} minutes; it is asked again"
    )
    return changed(
        i, deadline=now + END_DEADLINE, reason_code=i.reason_code, reason=sentence, version=i.version + 1
    )
