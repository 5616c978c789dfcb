"""Why a launch found no place: data for `euca explain`, a sentence for the user.  Made only when refusing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from euca_rpc.clock import iso
from euca_rpc.errors import EucaError
from euca_rpc.policy.values import Held, Launch, LaunchClass, No, RuledOut, Target
from euca_rpc.types import Size

LISTED = 200  # targets named in the facts of a refusal; the counts cover all

_SAID = {
    "zone": "in another zone",
    "architecture": "of another architecture",
    "unusable": "not usable",
    "room": "without room for one more",
    "policy_failed": "not judged because the policy failed",
}


def ruled_out(cls: LaunchClass, zone: str | None, target: Target, kind: str | No, policy: str) -> RuledOut:
    if isinstance(kind, No):
        return RuledOut(target.id, kind.kind, kind.reason)
    if kind == "zone":
        reason = f"It is in zone {target.zone}; zone {zone} was asked for."
    elif kind == "architecture":
        reason = (
            f"Its architecture is {target.architecture or 'not known'}, the image's is {cls.architecture}."
        )
    elif kind == "unusable":
        reason = f"It is {target.why or 'not usable'}."
    elif kind == "room":
        reason = f"It has {_size(target.room)} free; {cls.vm_type} needs {_size(cls.size)}."
    else:
        kind, reason = "policy_failed", f"Policy {policy} failed to say whether it may be used."
    return RuledOut(target.id, kind, reason)


def no_room(
    launch: Launch,
    cls: LaunchClass,
    zone: str | None,
    room: int,
    out: Iterable[RuledOut],
    policies: Iterable[str],
) -> EucaError:
    """``policies``: those in force where it was looked for room, named when one of them failed."""
    wanted = launch.max_count
    out = sorted(out, key=lambda one: one.target)
    kinds = Counter(one.kind for one in out)
    failed = kinds["policy_failed"] > 0
    asked = f"{wanted}" if launch.min_count == wanted else f"{launch.min_count} to {wanted}"
    where = f"zone {zone}" if zone else "any zone"
    there = f"there is room for {room}" if room else "there is no room"
    why = ", ".join(f"{n} {_SAID.get(kind, f'ruled out ({kind})')}" for kind, n in sorted(kinds.items()))
    advice = (
        f"The administrator can look at policy {', '.join(sorted(policies))}, mend it or choose another."
        if failed
        else "Ask for fewer or smaller machines"
        + (" or another zone" if zone else "")
        + ", terminate some, or try again later."
    )
    return EucaError(
        "policy_failed" if failed else "capacity_exhausted",
        f"Asked for {asked} × {cls.vm_type} ({_size(cls.size)} each, {cls.architecture}) in {where}: {there}."
        f" Nodes: {why or 'none'}. {advice}",
        facts={
            "asked": wanted,
            "at_least": launch.min_count,
            "room": room,
            "vm_type": cls.vm_type,
            "zone": zone or "",
            "ruled_out": [asdict(one) for one in out[:LISTED]],
            "kinds": dict(sorted(kinds.items())),
        },
    )


def refused(policy: str, reason: str, **facts: Any) -> EucaError:
    return EucaError("policy_refused", reason, facts={"policy": policy} | facts)


def held(by: Held) -> EucaError:
    """For whoever does not wait."""
    until = by.wait.until
    sentence = f"{by.wait.reason} Try again after {iso(until)}."
    return refused(by.policy, sentence, kind="wait", until=until)


def not_now(policy: str, launch: Launch) -> EucaError:
    """It places whole batches, and has no place for this one yet."""
    return EucaError(
        "capacity_exhausted",
        f"Asked for {launch.min_count} × {launch.vm_type} ({_size(launch.size)} each): policy {policy} gives them no place "
        "now. Try again later, or say with the hint `wait` how many seconds the launch may wait.",
        facts={"policy": policy, "asked": launch.max_count, "at_least": launch.min_count},
    )


def failed(policy: str, hook: str, trouble: str, facts: Mapping[str, Any] | None = None) -> EucaError:
    """Fails closed: nobody knows what the policy would have refused."""
    return EucaError(
        "policy_failed",
        f"Policy {policy} cannot answer {hook}: {trouble}. Nothing is launched that it might have refused;"
        " the administrator can mend it or take it out of the settings.",
        facts={"policy": policy, "hook": hook, **(facts or {})},
    )


def _size(size: Size) -> str:
    return f"{size.cores} cores, {size.memory_mb} MiB, {size.disk_gb} GiB"
