"""Nodes' reports, read from the wire.

What is read is complete: all machines of the node, and itself.  On the wire there is often only what changed since the
version known here (`deltas`), and what a whole report says in the same words as last time is not read again, so the cost
follows the changes.  This happens before the journal is asked, on the thread that brought the answer: the writer only
compares.  A delta to something else than what was read last is not taken, and the whole is asked for.

A node may be in anybody's hands.  A report that cannot be read, or says what no node can mean, is that node's trouble and
nobody else's: the node counts as silent, with what is wrong as the reason, and the rest of the zone's answer stands.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from euca_rpc.deltas import gone_of
from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed
from euca_rpc.images.tickets import LONGEST
from euca_rpc.machines import CaptureReport, MachineReport, NodeReport
from euca_rpc.types import Seen
from euca_rpc.wire.codec import unpack

log = logging.getLogger("euca.cloud")

_SEEN = frozenset(map(str, Seen))
_OFTEN = ("machines", "version", "now", "since", "gone")  # other words in each report of a node
_LARGEST = 2**62  # fits every database's integers

Words = dict[str, tuple[Any, MachineReport]]  # instance id → as it was said last, and what that means
Held = tuple[int, Words]  # as of which version


class Reader:
    """Called by one thread at a time for each zone: a zone has one question outstanding."""

    def __init__(self) -> None:
        self._last: dict[str, Held] = {}  # by node
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
        wire = told.get("report")
        try:
            if (
                isinstance(wire, Mapping)
                and "since" in wire
                and wire["since"] != self._last.get(node, (None,))[0]
            ):
                return {**told, "report": None, "version": 0}
            return {**told, "report": self._report(node, wire)}
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
        head = self._head(node, wire)
        before = self._last[node][1] if node in self._last else {}
        now: Words = {}
        if "since" in wire:  # to what is held here
            gone = gone_of(wire)
            if gone is None:
                raise EucaError("parameter_invalid", "what it says is gone are no ids")
            now = {id: words for id, words in before.items() if id not in gone} if gone else dict(before)
        for one in said:
            id = one.get("instance_id") if isinstance(one, dict) else None
            known = before.get(id) if isinstance(id, str) else None
            if known is not None and known[0] == one:
                machine = known[1]
            else:
                machine = unpack(MachineReport, one)
                _check_machine(machine)
            now[machine.instance_id] = (one, machine)
        self._last[node] = wire["version"], now
        machines = tuple([machine for _, machine in now.values()])
        return changed(head, version=wire["version"], now=wire.get("now", 0), machines=machines)

    def _head(self, node: str, wire: Mapping[str, Any]) -> NodeReport:
        """What a report says of the node itself: whichever version it is of."""
        words = {name: value for name, value in wire.items() if name not in _OFTEN}
        known = self._itself.get(node)
        numbers = (wire.get("version"), wire.get("now", 0))
        if (
            known is not None
            and known[0] == words
            and all(type(n) is int and 0 <= n <= _LARGEST for n in numbers)
        ):
            return known[1]
        report = unpack(NodeReport, {**words, "version": numbers[0], "now": numbers[1]})
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
