"""Clients of the simulated cloud: seeded, forgetful of nothing, and sent away with a lost answer now and then.

A request is written down before it is made, with the outcome "lost"; if the cloud controller is killed in the middle,
that is what it stays, and from then on it may have been done or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Any

from euca_rpc.clock import Micros
from euca_rpc.errors import EucaError
from euca_rpc.nouns import Core
from euca_rpc.policy.hints import WAIT
from euca_rpc.testing.history import Asked, History
from euca_rpc.testing.timeline import Killed
from euca_rpc.types import Caller, LaunchRequest

TYPES = ("m1.small", "m1.small", "c1.medium", "m1.large", "m1.xlarge")
WEIGHTS = {"launch": 7, "terminate": 5, "stop": 4, "start": 6, "reboot": 4, "describe": 2, "again": 2}


class Clients:
    def __init__(
        self, seed: int | str, history: History, now: Callable[[], Micros], image: str, zones: Iterable[str]
    ) -> None:
        self.random = Random(f"clients/{seed}")  # noqa: S311  repeatable on purpose
        self.history = history
        self.callers: list[Caller] = []
        self.mine: dict[str, list[str]] = {}  # account → ids it was told
        self._now, self._image, self._zones = now, image, list(zones)
        self._tokens = 0
        self.patient = 0.0  # the share of launches that would rather wait for room than be refused

    def act(self, core: Core, rival: str = "") -> None:
        """One request by one client; in the middle of a launch of account ``rival`` often one that it competes with."""
        r = self.random
        caller = r.choice(self.callers)
        what = r.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if rival and r.random() < 0.6:
            caller = next((c for c in self.callers if c.account_id == rival), caller)
            what = r.choice(("launch", "again"))
        known = self.mine.setdefault(caller.account_id, [])
        if what == "launch":
            self.launch(core, caller, self._request())
        elif what == "again":
            before = [  # the last may be under way: a client that repeats it on another connection
                a.request
                for a in self.history.asked
                if a.request is not None and a.account == caller.account_id and a.request.client_token
            ]
            if before:
                self.launch(core, caller, r.choice(before[-2:]))
        elif what == "describe":
            self.describe(core, caller)
        elif known:
            recent = known[-7:]
            self.ask(core, caller, what, tuple(sorted(set(r.choices(recent, k=r.choice((1, 1, 2)))))))

    def _request(self) -> LaunchRequest:
        r = self.random
        most = r.choice((1, 1, 2, 3))
        token = None
        if r.random() < 0.5:
            self._tokens += 1
            token = f"token-{self._tokens}"
        return LaunchRequest(
            self._image,
            min_count=r.randint(1, most),
            max_count=most,
            vm_type=r.choice(TYPES),
            zone=r.choice(self._zones) if r.random() < 0.3 else None,
            client_token=token,
            shutdown_behavior=r.choice(("terminate", "stop")),
            hints=((WAIT, "240"),) if self.patient and r.random() < self.patient else (),
        )

    # --------------------------------------------------------------------------------------------- requests
    def launch(self, core: Core, caller: Caller, request: LaunchRequest) -> tuple[str, ...]:
        asked = Asked(self._now(), "launch", (), request, "lost", caller.account_id)
        made = self._answered(asked, lambda: core.instances.launch(caller, request))
        if made is None:
            return ()
        ids: tuple[str, ...] = made.reservation.instance_ids
        known = self.mine.setdefault(caller.account_id, [])
        known += [i for i in ids if i not in known]
        return ids

    def ask(self, core: Core, caller: Caller, what: str, ids: tuple[str, ...]) -> None:
        asked = Asked(self._now(), what, ids, None, "lost", caller.account_id)
        self._answered(asked, lambda: getattr(core.instances, what)(caller, ids))

    def describe(self, core: Core, caller: Caller) -> None:
        asked = Asked(self._now(), "describe", (), None, "lost", caller.account_id)
        told = self._answered(asked, lambda: list(core.instances.describe(caller)))
        if told is None:
            return
        shown = {s.instance.id: s for _, machines in told for s in machines}
        for id_ in self.mine.get(caller.account_id, ()):
            row = self.history.row(id_)
            if id_ not in shown and (row is None or row.ended_at is None):
                raise self.history.broken(f"{id_} was launched, is not over, and is not described", id_)
        for id_, status in shown.items():
            if status.instance.account_id != caller.account_id and not caller.is_admin:
                raise self.history.broken(f"{id_} was shown to another account", id_)
            row = self.history.row(id_)
            if row != status.instance:
                raise self.history.broken(f"{id_} was described as it is not: {status.instance}", id_)

    def _answered(self, asked: Asked, request: Callable[[], Any]) -> Any:
        place = len(self.history.asked)
        self.history.asked.append(asked)
        try:
            answer = request()
        except EucaError as refusal:
            if refusal.symbol == "internal":
                raise self.history.broken(f"{asked.what}: {refusal.sentence}", *asked.ids) from refusal
            self.history.asked[place] = replace(asked, outcome="refused", symbol=refusal.symbol)
            return None
        except Killed:
            raise
        if asked.what == "launch":
            made = answer.reservation
            asked = replace(asked, ids=made.instance_ids, reservation=made.id)
        self.history.asked[place] = replace(asked, outcome="answered")
        return answer
