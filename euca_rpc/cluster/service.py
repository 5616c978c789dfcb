"""The cluster controller: one per zone, between the cloud controller and the zone's nodes.

    cloud ── roster ─────────► whom to ask            (told at each connect and on every change)
    cloud ── report ─────────► what was last heard of every node; never waits for one
    cloud ── ensure, absent,
             stop, reboot,
             capture, forget_captures ► passed on at once; the outcome is told by the node's next report
    cloud ── console, sleep ─► passed on; the answer is relayed
    cloud ── rouse ──────────► this host's own means are used (`[cluster] wake_command`): the node cannot hear
    node  ── poke ───────────► "ask me now"
             step() ─────────► asks every node whose turn it is, all in parallel (`roster.decide`)

Soft state only: a cluster controller that starts knows no nodes and says so (``"roster": false``); the
cloud controller then tells it the roster, and one round of reports later it knows everything again.
Nothing is queued for a node that is silent: orders are idempotent, the cloud controller repeats them until
the report shows the effect.

Methods are called from any thread and never wait: calls to nodes go to the carrier, whose answers come back
as calls of `_answered` and `passed`.  `console` returns a Future; who serves the object to the network
waits for it, no longer than the contract's timeout.  `wake` and `poke`, given from outside, must not block
either.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from euca_rpc.carrier import Answer, Carrier
from euca_rpc.clock import Clock, Micros
from euca_rpc.cluster import roster
from euca_rpc.cluster.roster import ClusterSettings, Line
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids, is_name, node_id
from euca_rpc.wire.contracts import CLUSTER, CONTRACT, NODE, OLDEST, object_name

log = logging.getLogger(__name__)

ACCEPTED = {"accepted": True}


class Peer(Protocol):
    """Who calls, as its certificate says."""

    @property
    def zone(self) -> str: ...

    @property
    def host(self) -> str: ...


class ClusterService:
    def __init__(
        self,
        zone: str,
        carrier: Carrier,
        clock: Clock,
        ids: Ids,
        *,
        poke: Callable[[], None] = lambda: None,
        revoked: Callable[[Sequence[str]], None] = lambda serials: None,
        settings: ClusterSettings | None = None,
        wake_node: Callable[[str, str], object] | None = None,
    ) -> None:
        """``wake_node``: wake a node (id, MAC address), by a job of the carrier; None: this zone has no means to."""
        self.zone = zone
        self.wake: Callable[[], None] = lambda: None
        self.start_id = f"{ids.bits(64):016x}"  # by it the cloud sees a restart
        self._carrier = carrier
        self._clock = clock
        self._poke_cloud = poke
        self._revoked = revoked
        self._wake_node = wake_node
        self._settings = settings or ClusterSettings()
        self._lock = threading.Lock()  # never held while the carrier, wake or poke is called
        self._lines: dict[str, Line] | None = None  # None: not told yet
        self._asks = 0
        self._news = False

    # ------------------------------------------------------------------------------------ asked by the cloud
    def hello(self) -> dict[str, Any]:
        return {"role": CLUSTER, "contract": [OLDEST, CONTRACT], "boot_id": self.start_id}

    def roster(self, nodes: Sequence[str], revoked: Sequence[str] | None = None) -> dict[str, Any]:
        """Whom to ask from now on.  What is known of those who stay is kept.  ``revoked``: serial numbers of
        certificates that count no more, handed to whoever checks peers."""
        wrong = [node for node in nodes if not self._is_ours(node)]
        if wrong:
            raise EucaError(
                "parameter_invalid",
                f"The roster for zone {self.zone} names {', '.join(map(repr, wrong))}; every entry must be"
                f" {self.zone}/HOST. The roster was not taken over.",
                facts={"zone": self.zone, "wrong": [str(node) for node in wrong]},
            )
        if revoked is not None:
            self._revoked(revoked)
        now, mono = self._clock.now(), self._clock.monotonic()
        with self._lock:
            old = self._lines or {}
            self._lines = {node: old.get(node) or roster.add(node, now, mono) for node in nodes}
        self.wake()
        return ACCEPTED | {"nodes": len(nodes)}

    def report(self, known: Mapping[str, int] | None = None, deltas: bool = False) -> dict[str, Any]:
        """What was last heard.  A report whose version is in ``known`` is left out; with ``deltas``, of another one that
        follows it only what changed is told (`deltas`)."""
        known = known or {}
        with self._lock:
            lines = self._lines
            told = lines is not None
            copy = list(lines.values()) if lines is not None else []
        return {
            "zone": self.zone,
            "start_id": self.start_id,
            "now": self._clock.now(),
            "roster": told,
            "nodes": {line.node: _told(line, known.get(line.node), deltas) for line in copy},
        }

    def ensure(self, node: str, specs: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "ensure", {"specs": specs})

    def absent(self, node: str, items: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "absent", {"items": items})

    def stop(self, node: str, items: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "stop", {"items": items})

    def reboot(self, node: str, items: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "reboot", {"items": items})

    def capture(self, node: str, orders: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "capture", {"orders": orders})

    def forget_captures(self, node: str, images: list[Any]) -> dict[str, Any]:
        return self._pass_on(node, "forget_captures", {"images": images})

    def console(self, node: str, instance_id: str) -> Future[Any]:
        """Relayed: resolves to the node's answer or error."""
        peer = self._object_of(node)
        future, answered = _relay()
        self._carrier.call(peer, "console", {"instance_id": instance_id}, answered)
        return future

    def sleep(self, node: str, until: int) -> Future[Any]:
        """Relayed: a node that may not or cannot sleep says why.  A zone that could not wake it lets none sleep."""
        peer = self._object_of(node)
        if self._wake_node is None:
            raise self._no_means(node)
        future, answered = _relay()
        self._carrier.call(peer, "sleep", {"until": until}, answered)
        return future

    def rouse(self, node: str, mac: str) -> Future[Any]:
        """Resolves when the means were used; whether it wakes, its next report tells."""
        self._object_of(node)
        if (wake_node := self._wake_node) is None:
            raise self._no_means(node)
        future, answered = _relay()

        def used(answer: Answer) -> None:
            self._hurry(node)
            answered(Answer(ACCEPTED, answer.error))

        self._carrier.run(f"wake {node}", lambda: wake_node(node, mac), used)
        return future

    def _no_means(self, node: str) -> EucaError:
        return EucaError(
            "unsupported",
            f"The cluster controller of zone {self.zone} has no [cluster] wake_command in its settings, so nobody could"
            f" wake {node}.",
        )

    # ---------------------------------------------------------------------------------------- told by a node
    def poke(self, peer: Peer) -> dict[str, Any]:
        """Anyone not on the roster is not asked, whatever its certificate says."""
        self._hurry(node_id(peer.zone, peer.host))
        return ACCEPTED

    # ------------------------------------------------------------------------------------------------ driven
    def step(self) -> Micros | None:
        """Ask whose turn it is; the next moment (cloud time) when somebody's turn comes."""
        now, mono = self._clock.now(), self._clock.monotonic()
        with self._lock:
            lines = self._lines if self._lines is not None else {}
            decision = roster.decide(lines.values(), mono, self._settings)
            for node in decision.lost:
                lines[node] = roster.failed(lines[node], "No answer came.", mono, self._settings)
            for node in decision.silent:
                lines[node] = roster.silence(lines[node])
                log.warning(
                    "%s is silent: %s", node, lines[node].trouble or "it was asked and did not answer"
                )
            asks: list[tuple[str, int, int | None]] = []
            for node in decision.asks:
                self._asks += 1
                lines[node] = roster.asked(lines[node], self._asks, mono)
                asks.append((node, self._asks, lines[node].version))
            news, self._news = self._news or bool(decision.silent), False
        for node, number, version in asks:
            self._ask(node, number, version)
        if news:
            self._poke_cloud()
        return None if decision.next_due is None else now + max(0, decision.next_due - mono)

    # ----------------------------------------------------------------------------------------------- details
    def _ask(self, node: str, number: int, version: int | None) -> None:
        self._carrier.call(
            self._object_of_host(node),
            "report",
            {"known": version, "deltas": True},
            lambda answer: self._answered(node, number, answer),
        )

    def _answered(self, node: str, number: int, answer: Answer) -> None:
        now, mono = self._clock.now(), self._clock.monotonic()
        with self._lock:
            lines = self._lines or {}
            before = lines.get(node)
            if before is None or before.ask != number:
                return  # off the roster by now, or too late, or delivered twice
            trouble = (
                answer.error.sentence if answer.error is not None else roster.nonsense(before, answer.value)
            )
            if trouble:
                after = roster.failed(before, trouble, mono, self._settings)
                if before.trouble != trouble:
                    log.info("%s: %s", node, trouble)
            else:
                after = roster.heard(before, answer.value, now, mono, self._settings)
            lines[node] = after
            came_back = before.silent_since is not None and after.silent_since is None
            if came_back:
                log.info("%s answers again", node)
            if came_back or (after.version is not None and after.version != before.version):
                self._news = True
        self.wake()

    def _pass_on(self, node: str, method: str, args: dict[str, Any]) -> dict[str, Any]:
        def passed(answer: Answer) -> None:
            if answer.error is not None:
                log.info("%s of %s: %s", method, node, answer.error.sentence)
            self._hurry(node)

        self._carrier.call(self._object_of(node), method, args, passed)
        return dict(ACCEPTED)

    def _hurry(self, node: str) -> None:
        mono = self._clock.monotonic()
        with self._lock:
            lines = self._lines or {}
            line = lines.get(node)
            if line is None:
                return
            lines[node] = roster.hurry(line, mono, self._settings)
        self.wake()

    def _object_of(self, node: str) -> str:
        with self._lock:
            lines = self._lines
            known = lines is not None and node in lines
            others = sorted(lines) if lines is not None else None
        if not known:
            there = (
                "has not been told its roster yet; the cloud controller sends it when it connects"
                if others is None
                else f"has on its roster: {', '.join(others[:20]) or 'nobody'}"
            )
            raise EucaError(
                "node_not_found",
                f"Node {node} was asked for; the cluster controller of zone {self.zone} {there}.",
                facts={"node": node, "zone": self.zone, "roster": others or []},
            )
        return self._object_of_host(node)

    def _object_of_host(self, node: str) -> str:
        return object_name(NODE, self.zone, node.partition("/")[2])

    def _is_ours(self, node: object) -> bool:
        if not isinstance(node, str):
            return False
        zone, _, host = node.partition("/")
        return zone == self.zone and is_name(host)


def _relay() -> tuple[Future[Any], Callable[[Answer], None]]:
    """A future, and who takes the answer for it."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # a waiter that gives up cannot cancel it

    def answered(answer: Answer) -> None:
        if future.done():  # an answer delivered twice
            return
        if answer.error is not None:
            future.set_exception(answer.error)
        else:
            future.set_result(answer.value)

    return future, answered


def _told(line: Line, known: int | None, deltas: bool) -> dict[str, Any]:
    report = None
    if line.report is not None and line.told is not None and known != line.version:
        report = {**line.report, **line.told.words(known, deltas)}
    return {
        "heard_at": line.heard_at,
        "silent_since": line.silent_since,
        "trouble": line.trouble,
        "version": line.version,
        "told_at": line.told_at,
        "report": report,
    }
