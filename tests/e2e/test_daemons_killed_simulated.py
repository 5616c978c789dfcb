"""Each daemon killed in turn, without warning, while clients launch and terminate: nothing lost, nothing twice.

What a client was told is compared with what the cloud says afterwards and with the history of each node's simulated
hypervisor, which no daemon's death touches: a line for every start there ever was.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from cloud_process import eventually

pytestmark = [pytest.mark.real]

SEED = 7
ZONES = ("zone-a", "zone-b")
GONE = {"RequestLimitExceeded", "InsufficientInstanceCapacity", "Unavailable", "InternalError"}


class Load:
    """One client after another way of using the cloud: launch, look, terminate; remembers what it was promised."""

    def __init__(self, cloud: Any, seed: int) -> None:
        self._cloud, self._dice = cloud, random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"load-{seed}", daemon=True)
        self._image = cloud.add_image()
        self._client = cloud.client()
        self.alive: set[str] = set()  # promised, and never asked to end
        self.ended: set[str] = set()  # asked to end, and that was promised
        self.doubtful: set[str] = set()  # asked to end, and the answer was lost
        self.tokens: dict[str, list[str]] = {}  # client token → what it gave
        self.unanswered = 0
        self.failure = ""

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)
        if self._thread.is_alive():
            self.failure = self.failure or "never got an answer to a launch"

    def _work(self) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            try:
                if len(self.alive) < 5 or self._dice.random() < 0.4:
                    self._launch(f"{self._thread.name}-{turn}")
                else:
                    self._terminate()
                self._look()
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
                return
            self._over.wait(0.02)

    def _launch(self, token: str) -> None:
        """Asked again with the same token until there is an answer, as a careful client does."""
        zone = self._dice.choice(ZONES)
        while True:
            try:
                answer = self._client.run_instances(
                    ImageId=self._image,
                    InstanceType="m1.small",
                    MinCount=1,
                    MaxCount=2,
                    ClientToken=token,
                    Placement={"AvailabilityZone": zone},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in GONE:
                    raise
                if error.response["Error"]["Code"] == "InsufficientInstanceCapacity":
                    return
            except BotoCoreError:  # the connection was refused, or broke: done or not, who knows
                self.unanswered += 1
            else:
                ids = [row["InstanceId"] for row in answer["Instances"]]
                self.tokens[token] = ids
                self.alive.update(ids)
                return
            time.sleep(0.05)

    def _terminate(self) -> None:
        id = self._dice.choice(sorted(self.alive))
        self.alive.discard(id)
        try:
            self._client.terminate_instances(InstanceIds=[id])
        except (BotoCoreError, ClientError):
            self.unanswered += 1
            self.doubtful.add(id)
        else:
            self.ended.add(id)

    def _look(self) -> None:
        """What was promised is there, and does not end by itself."""
        mine = sorted(self.alive)
        if not mine:
            return
        try:
            states = self._cloud.states(*mine)
        except (BotoCoreError, ClientError) as error:
            if "NotFound" in str(error):
                raise
            self.unanswered += 1
            return
        wrong = {id: state for id, state in states.items() if state not in ("pending", "running")}
        assert not wrong, f"ended though nobody asked for it: {wrong}"


@contextmanager
def judged(cloud: Any, *loads: Load) -> Iterator[None]:
    """Under load inside; afterwards all books must agree."""
    before = cloud.rooms()
    entered = [load.__enter__() for load in loads]
    try:
        yield
    finally:
        for load in entered:
            load.__exit__()
    assert not [load.failure for load in loads if load.failure]
    eventually("all daemons answer", cloud.all_up, 30.0)
    alive = {id for load in loads for id in load.alive}
    ended = {id for load in loads for id in load.ended}
    doubtful = {id for load in loads for id in load.doubtful}

    cloud.until("running", sorted(alive), 30.0)
    cloud.until("terminated", sorted(ended), 30.0)
    everything = cloud.states()
    settled = eventually(
        "what was in doubt is one or the other",
        lambda: (s := cloud.states()) and {s[id] for id in doubtful} <= {"running", "terminated"} and s,
        30.0,
    )
    promised = alive | ended | doubtful
    running = {id for id, state in settled.items() if state == "running"}
    assert promised <= everything.keys(), "nothing that was promised is unknown"
    assert running <= promised, "nothing runs that nobody was told of"
    eventually("on the nodes runs what is said to run", lambda: cloud.alive_on_nodes() == running)

    twice = {key: nodes for key, nodes in cloud.starts().items() if len(nodes) != 1}
    assert not twice, f"started more than once: {twice}"
    generations: dict[str, int] = {}
    for id, _ in cloud.starts():
        generations[id] = generations.get(id, 0) + 1
    assert all(generations.get(id) == 1 for id in running), "no host was lost, so nothing was started anew"
    for load in loads:
        token, ids = next(iter(load.tokens.items()))
        again = cloud.client().describe_instances(Filters=[{"Name": "client-token", "Values": [token]}])[
            "Reservations"
        ]
        assert [sorted(row["InstanceId"] for row in group["Instances"]) for group in again] == [sorted(ids)]

    held = sum(row["instances"] for row in cloud.nodes().values())
    assert held == len(running), "what is claimed is what runs"
    cloud.clear(30.0)
    eventually("all room is back", lambda: cloud.rooms() == before)
    assert not cloud.alive_on_nodes()


def test_each_daemon_killed_in_turn_under_load(cloud: Any) -> None:
    dice = random.Random(SEED)
    loads = [Load(cloud, SEED + n) for n in range(2)]
    with judged(cloud, *loads):
        names = sorted(cloud.daemons)
        assert len(names) == 11
        dice.shuffle(names)
        for name in names:
            time.sleep(dice.uniform(0.1, 0.4))
            pid = cloud.kill(name)
            if name in ("cloud", "images", "nameserver") or name.startswith("cluster"):
                cloud.restarted(name, pid)
        for name in names:
            eventually(f"{name} runs again", lambda name=name: name in cloud.daemons, 15.0)
        eventually("all answer", cloud.all_up, 20.0)
        time.sleep(0.5)
    launched = sum(len(ids) for load in loads for ids in load.tokens.values())
    print(
        f"{launched} machines launched, {sum(load.unanswered for load in loads)} requests without an answer"
    )
    assert launched > 20, f"only {launched} machines: that was no load"
    assert any(load.unanswered for load in loads), "nobody noticed: the kills missed the load"


def test_the_cloud_controller_killed_again_and_then_a_whole_zone_at_once(cloud: Any) -> None:
    dice = random.Random(SEED + 1)
    with judged(cloud, *(Load(cloud, SEED + 100 + n) for n in range(2))):
        for _ in range(2):
            time.sleep(dice.uniform(0.1, 1.0))
            cloud.restarted("cloud", cloud.kill("cloud"))
            eventually("it answers", cloud.all_up, 15.0)
        for name in [name for name in cloud.daemons if "zone-a" in name]:
            cloud.kill(name)
        eventually("the zone is back", cloud.all_up, 20.0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_random_daemons_killed_at_random_moments(cloud: Any, seed: int) -> None:
    dice = random.Random(seed)
    loads = [Load(cloud, 1000 * (seed + 1) + n) for n in range(3)]
    with judged(cloud, *loads):
        for _ in range(25):
            time.sleep(dice.expovariate(3.0))
            there = sorted(cloud.daemons)
            for name in dice.sample(there, min(len(there), dice.choice((1, 1, 1, 2, 5)))):
                if name in cloud.daemons:
                    cloud.kill(name)
        eventually("all answer", cloud.all_up, 40.0)
