"""Nodes' reports, read from the wire.

A report is complete: a node with 500 machines tells of all 500 whenever one of them changed.  What it says in the same
words as last time is not read again, so the cost follows the changes.  This happens before the journal is asked, on
the thread that brought the answer: the writer only compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from euca_rpc.types import MachineReport, NodeReport
from euca_rpc.wire.codec import unpack

Words = dict[str, tuple[Any, MachineReport]]  # instance id → as it was said last, and what that means


class Reader:
    """Called by one thread at a time for each zone: a zone has one question outstanding."""

    def __init__(self) -> None:
        self._last: dict[str, Words] = {}

    def read(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """A zone's answer with a `NodeReport`, or None, in the place of each packed report."""
        nodes = answer.get("nodes") or {}
        read = {
            node: {**told, "report": self._report(node, told.get("report"))} for node, told in nodes.items()
        }
        return {**answer, "nodes": read}

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
            machine = known[1] if known is not None and known[0] == one else unpack(MachineReport, one)
            now[machine.instance_id] = (one, machine)
            machines.append(machine)
        self._last[node] = now
        return replace(unpack(NodeReport, {**wire, "machines": []}), machines=tuple(machines))
