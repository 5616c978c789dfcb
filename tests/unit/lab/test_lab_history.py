"""A cloud's events as a workload."""

from __future__ import annotations

from typing import Any

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.lab import history
from euca_rpc.lab.workload import Request
from euca_rpc.types import Size


def event(at: int, what: str, subject: str, user: str = "ann", **facts: Any) -> dict[str, Any]:
    kind = f"instance.{what}"
    return {"at": at * SECOND, "kind": kind, "subject": subject, "user": user, "account": "7", "facts": facts}


def launched(at: int, id: str, reservation: str, node: str, user: str = "ann") -> dict[str, Any]:
    return event(at, "launched", id, user, reservation=reservation, node=node, type="t", size=[2, 64, 1])


EVENTS = (
    launched(100, "i-1", "r-1", "z/a"),
    launched(100, "i-2", "r-1", "z/b"),
    event(101, "seen", "i-1", state="running"),
    event(103, "moved", "i-2", **{"from": "z/b", "to": "z/c"}),
    launched(104, "i-3", "r-2", "z/a", "bob"),
    event(105, "terminate", "i-3", state="terminated"),
    event(110, "terminate", "i-1", state="shutting-down"),
    event(112, "seen", "i-1", state="terminated"),
    event(113, "seen", "i-9", state="terminated"),
)


def test_requests_are_reservations_and_last_as_long_as_they_held_room() -> None:
    found = history.read(EVENTS)
    size, s = Size(2, 64, 1), SECOND
    assert found.requests == (
        Request("r-1", 0, size, None, 2, "ann", "7", recorded="z/a z/c", apart=(12 * s, None)),
        Request("r-2", 4 * s, size, 1 * s, 1, "bob", "7", recorded="z/a"),
    )
    assert found.undefined == {"asked"}


def test_an_older_cloud_wrote_no_sizes() -> None:
    old = event(1, "launched", "i-0", reservation="r-0", node="z/a", type="t")
    notes = history.read((old, *EVENTS)).notes
    assert notes == ("1 launches of an older version, without their size: left out",)
    with pytest.raises(EucaError, match="no launch in this cloud's history yet"):
        history.read([old])


def test_anonymised_it_names_nobody_and_tells_people_apart() -> None:
    plain, hidden = history.read(EVENTS), history.anonymise(history.read(EVENTS), seed=1)
    text = repr(hidden)
    assert not [word for word in ("ann", "bob", "r-1", "'7'") if word in text]
    assert len({r.user for r in hidden.requests}) == 2
    same = [(r.at, r.size, r.duration, r.apart, r.recorded) for r in hidden.requests]
    assert same == [(r.at, r.size, r.duration, r.apart, r.recorded) for r in plain.requests]
