"""When the cloud is full, whoever's account used least lately goes first.

    a launch finds room, and nobody waits ─► it passes: as long as there is room for all, nothing is rationed
    there is no room, or others wait      ─► it waits
    tend                                  ─► of those who wait the account with the largest share factor goes first

    share factor  F = 2^(−U / S)     U: the account's part of all usage, S: its part of all weights
    usage         u = ln 2 / H · T + c    T: core-seconds of machines that ended, fading with half-life H
                                          c: cores that its machines hold now

A machine that ran for ever on c cores would leave T = c · H / ln 2, so u is in cores: what it held lately, and what it holds.
Source of F: J. Kay, P. Lauder, "A Fair Share Scheduler", CACM 31(1), 1988, in the form of Slurm's multifactor priority
(its "classic" fair-share factor).  Within an account it is first come, first served.  Places nothing: it is loaded beside
the policy that does.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from euca_rpc.clock import HOUR, MINUTE, SECOND, Micros
from euca_rpc.hookspecs import policy
from euca_rpc.policy.actions import Action, Admit
from euca_rpc.policy.values import Entry, Launch, PolicyView, Tally, Wait, Waiting
from euca_rpc.types import Event
from euca_schedulers.rooms import Rooms

NAME = "fair_share"
HALF_LIFE: Micros = 24 * HOUR
PARAMETERS: dict[str, Any] = {
    "weights": [],  # "ACCOUNT=WEIGHT"; every other account weighs 1
    "again_minutes": 30.0,  # a launch that waits is asked about again after so long at the latest
}


@policy
def admit(launch: Launch, view: PolicyView) -> Wait | None:
    if not _fits(launch, view, free=False):
        return None  # nor would it ever: the core says that there is no room
    if not any(_rival(w, launch) for w in view.waiting.values()) and _fits(launch, view, free=True):
        return None
    again = view.now + int(_said(view, "again_minutes") * MINUTE)
    return Wait("The cloud is full: whoever's account used least of it lately goes first.", again, firm=True)


@policy
def tend(view: PolicyView) -> list[Action]:
    """Lets go who comes next, one after another, as long as there is room; whoever is next and finds none is not passed."""
    line = [w for w in view.waiting.values() if w.policy in ("", NAME)]
    if not any(w.policy == NAME for w in line):
        return []
    rooms = Rooms({t.id: t.room for t in view.targets.values() if t.usable}, view.targets)
    used, weights = _Used(view), _weights(view)
    of_account: dict[str, deque[Waiting]] = {}
    for w in sorted(line, key=lambda w: (w.since, w.reservation_id)):
        of_account.setdefault(w.launch.account_id, deque()).append(w)
    found: list[Action] = []
    while of_account:
        # F falls as u / weight grows, whatever the sums are that make U and S of u and weight
        account = min(
            of_account, key=lambda id: (used.cores(id) / weights.get(id, 1.0), of_account[id][0].since, id)
        )
        w = of_account[account].popleft()
        if not of_account[account]:
            del of_account[account]
        if not _fits(w.launch, view, free=False):
            continue  # its nodes are gone
        if rooms.place(w.launch, w.launch.min_count):
            break
        used.add(account, w.launch.size.cores * w.launch.min_count)
        if w.policy == NAME:
            found.append(Admit(w.reservation_id))
    return found


@policy
def account(event: Event) -> list[Entry] | None:
    """What a machine that ended had used."""
    if event.kind != "instance.seen":
        return None
    seconds = event.facts.get("core_seconds", 0)
    return [Entry(event.account_id, float(seconds), HALF_LIFE)] if seconds > 0 else None


def _rival(w: Waiting, launch: Launch) -> bool:
    """Another launch that waits for the same room, and for nobody else's word."""
    if w.reservation_id == launch.reservation_id or w.policy not in ("", NAME):
        return False
    return w.launch.architecture == launch.architecture and (
        None in (w.launch.zone, launch.zone) or w.launch.zone == launch.zone
    )


class _Used:
    """Of each account that is looked at, once."""

    def __init__(self, view: PolicyView) -> None:
        self._view = view
        self._known: dict[str, float] = {}
        self._waits: dict[str, int] = {}  # cores: the cloud counts them as held, and they are not used
        for w in view.waiting.values():
            cores = w.launch.size.cores * len(w.instance_ids)
            self._waits[w.launch.account_id] = self._waits.get(w.launch.account_id, 0) + cores

    def cores(self, account: str) -> float:
        if account not in self._known:
            past = self._view.totals.get(f"{NAME}.{account}", 0.0) * math.log(2) / (HALF_LIFE / SECOND)
            held = self._view.usage.get(f"account/{account}", Tally()).size.cores
            self._known[account] = past + max(0, held - self._waits.get(account, 0))
        return self._known[account]

    def add(self, account: str, cores: int) -> None:
        self._known[account] = self.cores(account) + cores


def _fits(launch: Launch, view: PolicyView, *, free: bool) -> bool:
    """Whether there is room for it now; or, if not ``free``, would be if it were alone."""
    wanted = launch.min_count
    for target in view.targets.values():
        if launch.zone in (None, target.zone) and target.architecture == launch.architecture:
            if free and not target.usable:
                continue
            wanted -= launch.size.count_in(target.room if free else target.offer)
            if wanted <= 0:
                return True
    return False


def _weights(view: PolicyView) -> dict[str, float]:
    found = {}
    for line in _said(view, "weights"):
        name, _, text = str(line).partition("=")
        try:
            weight = float(text)
        except ValueError:
            continue
        if weight > 0 and math.isfinite(weight):
            found[name] = weight
    return found


def _said(view: PolicyView, name: str) -> Any:
    return view.parameters.get(f"{NAME}.{name}", PARAMETERS[name])
