"""A live cloud's history as a workload: read from the events that it writes, nothing else.

A request is a reservation; its machines are as long there as they held room: from their launch until the node confirmed
their end.  A launch that was refused is not in it: how long it would have run is not known.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from euca_rpc.clock import Micros
from euca_rpc.errors import EucaError
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size


@dataclass(slots=True)
class _Launch:
    at: Micros
    size: Size
    user: str
    account: str
    nodes: dict[str, str] = field(default_factory=dict)  # instance → node
    ended: dict[str, Micros] = field(default_factory=dict)


def read(events: Iterable[Mapping[str, Any]], name: str = "history") -> Workload:
    """``events``: as `euca.cloud` answers the verb ``history``, oldest first.  parameter_invalid: no launch in them."""
    launches: dict[str, _Launch] = {}
    of: dict[str, str] = {}  # instance → reservation
    old = 0
    for e in events:
        id, facts = e["subject"], e["facts"]
        if e["kind"] == "instance.launched":
            if "size" not in facts:
                old += 1  # written before sizes were
                continue
            launch = launches.setdefault(
                facts["reservation"], _Launch(e["at"], Size(*facts["size"]), e["user"], e["account"])
            )
            launch.nodes[id] = facts["node"]
            of[id] = facts["reservation"]
        elif id in of and e["kind"] == "instance.moved":
            launches[of[id]].nodes[id] = facts["to"]
        elif id in of and facts.get("state") == "terminated":
            launches[of[id]].ended.setdefault(id, e["at"])
    if not launches:
        raise EucaError("parameter_invalid", "there is no launch in this cloud's history yet")
    begin = min(launch.at for launch in launches.values())
    requests = tuple(
        Request(
            key,
            launch.at - begin,
            launch.size,
            None if None in ran else max(filter(None, ran), default=0),
            len(launch.nodes),
            launch.user,
            launch.account,
            recorded=" ".join(launch.nodes.values()),
            apart=ran if len(set(ran)) > 1 else (),
        )
        for key, launch in launches.items()
        for ran in (_durations(launch),)
    )
    notes = (f"{old} launches of an older version, without their size: left out",) if old else ()
    return Workload(name, requests, frozenset({"asked"}), notes)


def _durations(launch: _Launch) -> tuple[Micros | None, ...]:
    return tuple(launch.ended[id] - launch.at if id in launch.ended else None for id in launch.nodes)


def anonymise(workload: Workload, seed: int | None = None) -> Workload:
    """Users, accounts and reservations under new names; nodes, moments and sizes stay.  Names are drawn, so that their
    order says nothing; ``seed`` is for tests."""
    draw = random.Random(seed) if seed is not None else random.SystemRandom()  # noqa: S311
    users, accounts = {r.user for r in workload.requests}, {r.account for r in workload.requests}
    user, account = _names(users, "user", draw), _names(accounts, "account", draw)
    requests = tuple(
        replace(r, key=f"r{n}", user=user[r.user], account=account[r.account], hints=())
        for n, r in enumerate(workload.requests, 1)
    )
    return Workload("history", requests, workload.undefined, workload.notes)


def _names(old: Iterable[str], prefix: str, draw: random.Random) -> dict[str, str]:
    shuffled = sorted(old)
    draw.shuffle(shuffled)
    return {name: f"{prefix}{n}" for n, name in enumerate(shuffled, 1)}
