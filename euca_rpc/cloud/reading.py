"""Nodes' reports, read from the wire.

A report is complete: a node with 500 machines tells of all 500, and of itself, whenever one of them changed.  What it says
in the same words as last time is not read again, so the cost follows the changes.  This happens before the journal is asked, on
the thread that brought the answer: the writer only compares.

A node may be in anybody's hands.  A report that cannot be read, or says what no node can mean, is that node's trouble and
nobody else's: the node counts as silent, with what is wrong as the reason, and the rest of the zone's answer stands.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed
from euca_rpc.images.tickets import LONGEST
from euca_rpc.machines import CaptureReport, MachineReport, NodeReport
from euca_rpc.types import Seen
from euca_rpc.wire.codec import unpack

log = logging.getLogger("euca.cloud")

_SEEN = frozenset(map(str, Seen))
_LARGEST = 2**62  # fits every database's integers

Words = dict[str, tuple[Any, MachineReport]]  # instance id → as it was said last, and what that means


class Reader:
    """Called by one thread at a time for each zone: a zone has one question outstanding."""

    def __init__(self) -> None:
        self._last: dict[str, Words] = {}
        self._itself: dict[
            str, tuple[Any, NodeReport]
        ] = {}  # node → what it said of itself, and what that means

    def read(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """A zone's answer with a `NodeReport`, or None, in the place of each packed report."""
        return {
            **answer,
            "nodes": {n: self._node(n, told) for n, told in (answer.get("nodes") or {}).items()},
        }

    def _node(self, node: str, told: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {**told, "report": self._report(node, told.get("report"))}
        except EucaError as nonsense:
            log.warning("the report of %s is refused: %s", node, nonsense.sentence)
            trouble = f"its report is refused: {nonsense.sentence}"
            return {
                **told,
                "report": None,
                "version": 0,
                "silent_since": told.get("heard_at"),
                "trouble": trouble,
            }

    def _report(self, node: str, wire: Any) -> NodeReport | None:
        if wire is None:
            return None
        said = wire.get("machines") if isinstance(wire, dict) else None
        if not isinstance(said, list):
            return unpack(NodeReport, wire)
        before = self._last.get(node, {})
        now: Words = {}
        machines = []
        for one in said:
            id = one.get("instance_id") if isinstance(one, dict) else None
            known = before.get(id) if isinstance(id, str) else None
            if known is not None and known[0] == one:
                machine = known[1]
            else:
                machine = unpack(MachineReport, one)
                _check_machine(machine)
            now[machine.instance_id] = (one, machine)
            machines.append(machine)
        self._last[node] = now
        head = self._head(node, wire)
        return changed(head, version=wire["version"], now=wire.get("now", 0), machines=tuple(machines))

    def _head(self, node: str, wire: Mapping[str, Any]) -> NodeReport:
        """What a report says of the node itself: whichever version it is of."""
        words = {name: value for name, value in wire.items() if name not in ("machines", "version", "now")}
        known = self._itself.get(node)
        numbers = (wire.get("version"), wire.get("now", 0))
        if (
            known is not None
            and known[0] == words
            and all(type(n) is int and 0 <= n <= _LARGEST for n in numbers)
        ):
            return known[1]
        report = unpack(NodeReport, {**wire, "machines": []})
        _check("version", report.version, 0, _LARGEST)
        _check("now", report.now, 0, _LARGEST)
        for name, value in zip(("cores", "memory_mb", "disk_gb"), report.offer.parts(), strict=True):
            _check(name, value, 0, 1 << 40)
        for name in ("boot_id", "hypervisor", "architecture"):
            _check(f"the length of {name}", len(getattr(report, name)), 0, 200)
        for capture in report.captures:
            _check_capture(capture)
        self._itself[node] = (words, report)
        return report


def _check_machine(m: MachineReport) -> None:
    if m.seen not in _SEEN:
        raise EucaError("parameter_invalid", f"{m.instance_id[:20]} is {m.seen[:20]!r}, which is no state")
    _check("generation", m.generation, 0, _LARGEST)
    _check("since", m.since, 0, _LARGEST)
    _check("reboots", m.reboots, 0, _LARGEST)
    _check("the length of detail", len(m.detail), 0, 4000)
    for name in ("instance_id", "end", "private_address", "public_address"):
        _check(f"the length of {name}", len(getattr(m, name)), 0, 64)


def _check_capture(c: CaptureReport) -> None:
    if c.state not in ("working", "done", "failed"):
        raise EucaError(
            "parameter_invalid", f"a capture of {c.image_id[:20]} is {c.state[:20]!r}, which is no state"
        )
    _check("the length of detail", len(c.detail), 0, 4000)
    _check("the length of image_id", len(c.image_id), 0, 64)
    _check("the length of receipt", len(c.receipt), 0, LONGEST)


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise EucaError("parameter_invalid", f"{name} is {value}, not from {least} to {most}")
