"""People who make images of their machines in a simulated cloud, and what must hold of these.

    Photographer: create an image now and then, of whatever there is; deregister one; terminate a machine that is copied;
                  and nodes that say "done" with the receipt of another image
    checks:       pending ⟷ a capture under way, with a deadline ahead; available ⟷ stored whole; final is final;
                  what was answered is there; a node keeps nothing of a capture that is over

A campaign has them only when asked (`Campaign(captures=True)`): what they do shifts everybody's chances, and so would
make other stories of known seeds.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from euca_rpc.clock import SECOND, Micros
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.testing.history import History
from euca_rpc.testing.network import SLOWEST_JOB
from euca_rpc.testing.world import World
from euca_rpc.types import Caller, Image
from euca_rpc.wire.contracts import CLOUD

EVERY = 8.0  # seconds on average
LIES = 0.05  # of the reports with a capture under way
TROUBLE = 0.15  # of the image store


class Photographer:
    def __init__(self, world: World, seed: int | str) -> None:
        self._world = world
        self._random = Random(f"captures/{seed}")  # noqa: S311  repeatable on purpose
        self.asked: dict[str, Micros] = {}  # image id → when the answer came
        self._final: dict[str, Image] = {}
        self._busy = True
        world.store.trouble = TROUBLE
        self._truth, world.network.falsify = world.network.falsify, self._lie
        self._next()

    def stop(self) -> None:
        self._busy = False
        self._world.store.trouble = 0.0

    def _lie(self, peer: str, method: str, value: Any) -> Any:
        value = self._truth(peer, method, value)
        working = (
            [c for c in value.get("captures", ()) if c["state"] == "working"]
            if isinstance(value, dict)
            else []
        )
        receipts = self._world.store.receipts
        if not working or not receipts or not self._busy or self._random.random() > LIES:
            return value
        lie = {**working[0], "state": "done", "receipt": self._random.choice(receipts)}
        return {**value, "captures": [lie if c is working[0] else c for c in value["captures"]]}

    def _next(self) -> None:
        self._world.timeline.after(self._random.expovariate(1 / EVERY), self._act)

    def _act(self) -> None:
        if self._busy:
            self._world.process(CLOUD).guard(self._something)
            self._next()

    def _something(self) -> None:
        caller = self._random.choice(self._world.clients.callers)
        core, view = self._world.cloud.core, self._world.view
        mine = sorted(i.id for i in view.instances.values() if i.account_id == caller.account_id)
        pending = sorted(c for c in view.captures if view.images[c].account_id == caller.account_id)
        with suppress(EucaError):
            if pending and self._random.random() < 0.1:
                core.images.deregister(caller, self._random.choice(pending))
            elif mine:
                self._create(caller, self._random.choice(mine))

    def _create(self, caller: Caller, instance_id: str) -> None:
        core, world = self._world.cloud.core, self._world
        image = core.images.create(caller, instance_id, f"picture {len(self.asked)} {world.clock.at}")
        self.asked[image.id] = world.clock.at
        world.history.note(f"client: image {image.id} of {instance_id}")
        if self._random.random() < 0.2:
            seconds = self._random.choice((0.01, 0.3, 2, 8))
            end = lambda: world.clients.ask(world.cloud.core, caller, "terminate", (instance_id,))
            world.timeline.after(seconds, lambda: world.process(CLOUD).guard(end))

    # ------------------------------------------------------------------------------------------------- judging
    def check(self) -> None:
        """What holds at any moment."""
        world = self._world
        if not world.process(CLOUD).alive:
            return
        view, history, now = world.view, world.history, world.clock.at
        for image_id in self.asked:
            if image_id not in view.images:
                raise history.broken(f"the image {image_id} was answered and is gone")
        _pending_is_under_way(history, view, now)
        for image in view.images.values():
            before = self._final.get(image.id)
            if before is not None and (image.state, image.sha256) != (before.state, before.sha256):
                raise history.broken(f"{image.id} was {before.state} and is {image.state}")
            if image.state == "available" and image.id in self.asked:
                if image.sha256 not in world.store.stored.get(image.id, ()):
                    raise history.broken(f"{image.id} is available, and was never stored")
            elif image.state == "failed" and not image.reason:
                raise history.broken(f"{image.id} failed without a reason")
            if image.state != "pending":
                self._final[image.id] = image

    def check_settled(self) -> None:
        """All is quiet: no image is pending, and no node keeps anything of one."""
        world = self._world
        self.check()
        for image_id in world.view.captures:
            raise world.history.broken(f"{image_id} is still pending")
        world.run(
            SLOWEST_JOB, lambda: not self._kept()
        )  # one that was given up may still be on its way to the store
        if kept := self._kept():
            raise world.history.broken(f"still kept: {', '.join(kept)}")

    def _kept(self) -> list[str]:
        return [
            f"{node} {path.relative_to(home)}"
            for node, home in self._world.homes.items()
            for path in sorted(home.glob("captures/*/*"))
            if path.name != "capture.json" or not _is_forgotten(path)
        ]

    def outcomes(self) -> dict[str, int]:
        """state → how many, of those that were answered."""
        found: dict[str, int] = {}
        for image_id in self.asked:
            image = self._world.view.images[image_id]
            state = "deregistered" if image.removed_at is not None else image.state
            found[state] = found.get(state, 0) + 1
        return found


def _pending_is_under_way(history: History, view: View, now: Micros) -> None:
    pending = {i.id for i in view.images.values() if i.state == "pending" and i.removed_at is None}
    if pending != set(view.captures):
        odd = sorted(pending ^ set(view.captures))
        raise history.broken(f"pending images and captures under way differ: {odd}")
    for row in view.captures.values():
        if row.deadline + 60 * SECOND < now:
            raise history.broken(f"the deadline of {row.id} passed and nothing happened")


def _is_forgotten(path: Path) -> bool:
    return bool(json.loads(path.read_text())["state"] == "forgotten")
