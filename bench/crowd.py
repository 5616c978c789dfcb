"""Other people's machines in a store: as many rows as a busy site has, put there through the cloud's own journal.

    with the cloud controller off:  verbs of 2,000 launches ─► Journal ─► Store

Each machine has what a launch and its first report leave behind: a reservation, an instance that was seen running, an
open usage row and two events.  Their nodes never enrolled: silent, so every row stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from euca_rpc.clock import Micros, SystemClock
from euca_rpc.cloud import accounts
from euca_rpc.cloud.changes import Change, Insert, Outcome, event
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.reports import usage_row
from euca_rpc.cloud.store import Store
from euca_rpc.ids import SystemIds, mac_address, node_id
from euca_rpc.types import Event, Image, Instance, Node, Reservation, Seen, User

PEOPLE, NODES = 100, 100
EACH = 2000  # launches written together


def settle_crowd(database: Path, machines: int) -> None:
    """``machines`` of one each per reservation, of `PEOPLE` users, on `NODES` nodes."""
    clock = SystemClock()
    store = Store(database)
    try:
        journal = Journal(store, open_view(store, clock.now()), clock)
        users = [journal.do(accounts.add_user("bench", SystemIds(), f"crowd-{n}")) for n in range(PEOPLE)]
        zone = min(journal.view.zones)
        hosts = [node_id(zone, f"crowd-{n}") for n in range(NODES)]
        journal.do(lambda view, now: Outcome(tuple(Insert(host(id, now)) for id in hosts)))
        image = next(i for i in journal.view.images.values() if i.kind == "machine")
        numbers = iter(random.sample(range(1 << 32), machines))
        for start in range(0, machines, EACH):
            batch = [next(numbers) for _ in range(min(EACH, machines - start))]
            journal.do(lambda view, now, batch=batch: launches(batch, users, hosts, image, now))
    finally:
        store.close()


def host(id: str, now: Micros) -> Node:
    zone, _, name = id.partition("/")
    return Node(
        id=id,
        zone=zone,
        host=name,
        cores=1 << 12,
        memory_mb=1 << 20,
        disk_gb=1 << 16,
        architecture="x86_64",
        hypervisor="kvm",
        added_at=now,
    )


def launches(numbers: list[int], users: list[User], hosts: list[str], image: Image, now: Micros) -> Outcome:
    changes: list[Change] = []
    events: list[Event] = []
    for number in numbers:
        user = users[number % PEOPLE]
        pending = machine(number, user, hosts[number % NODES], image, now)
        running = replace(
            pending,
            attempted=True,
            attempts=1,
            seen=Seen.RUNNING,
            seen_generation=1,
            seen_at=now,
            running_since=now,
            version=1,
        )
        facts = {"reservation": running.reservation_id, "node": running.node, "type": running.vm_type}
        changes += [
            Insert(Reservation(running.reservation_id, user.account_id, user.id, (running.id,), now)),
            Insert(running),
            Insert(usage_row(running, now)),
        ]
        events += [
            event("instance.launched", running.id, now, user.name, user.account_id, facts),
            event("instance.seen", running.id, now, running.node, user.account_id, {"state": "running"}),
        ]
    return Outcome(tuple(changes), tuple(events))


def machine(number: int, user: User, node: str, image: Image, now: Micros) -> Instance:
    id = f"i-{number:08x}"
    address = ".".join(str(part) for part in octets(number % (1 << 22)))
    return Instance(
        id=id,
        reservation_id=f"r-{number:08x}",
        account_id=user.account_id,
        created_by=user.id,
        launch_index=0,
        image_id=image.id,
        kernel_id=image.kernel_id,
        ramdisk_id=image.ramdisk_id,
        architecture=image.architecture,
        vm_type="m1.small",
        cores=1,
        memory_mb=128,
        disk_gb=10,
        zone=node.partition("/")[0],
        node=node,
        key_name=None,
        public_key="",
        user_data=b"",
        mac=mac_address(id),
        private_address=f"10.{address}",
        public_address=f"100.{address}",
        client_token=None,
        shutdown_behavior="terminate",
        service_class="regular",
        launched_at=now,
    )


def octets(number: int) -> Iterator[int]:
    for shift in (16, 8, 0):
        yield number >> shift & 255
