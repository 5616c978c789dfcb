"""A launch, from request to durable instances.

    check ─► token? ─► quota ─► admit + place (policy, on a snapshot, no lock) ─► commit_launch (a verb) ─► answer
                                      ▲                                             │ conflict: at most
                                      └─────────────────────────────────────────────┘ TRIES times

Everything before the verb is a proposal; the verb checks token, quota and room again by the core's own arithmetic, on
the view that its transaction is based on, and only then draws ids and addresses.  No policy and no remote call runs
inside it.  A refusal claims nothing and remembers nothing but an event for `euca explain`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.cloud import gathering, leases, lifecycle, tags
from euca_rpc.cloud.changes import Insert, Outcome, Put, event
from euca_rpc.cloud.images import may_use
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed, quick
from euca_rpc.ids import INSTANCE, RESERVATION, Ids, mac_address, resource_id
from euca_rpc.policy.hints import meant
from euca_rpc.policy.values import Granted, Launch, LaunchClass
from euca_rpc.types import Caller, Image, Instance, KeyPair, LaunchRequest, Reservation, Size, Token, VmType

TRIES = 3
MAX_COUNT = 1000  # machines in one request; EC2's own ceiling is of this order
USER_DATA_LIMIT = 16 * 1024


Verb = Callable[[View, Micros], Outcome]


class Conflict(Exception):
    """The snapshot that was placed on is out of date; place again."""


@quick
@dataclass(frozen=True, slots=True)
class Plan:
    """A checked request: all that it names was found and may be used by the caller."""

    caller: Caller
    request: LaunchRequest
    image: Image
    kernel: Image | None
    ramdisk: Image | None
    key: KeyPair | None
    vm_type: VmType
    request_hash: str  # "": it has no token that anybody could repeat
    wishes: Mapping[str, Any] = Map()  # fields of the launch that follow from hints

    @property
    def launch(self) -> Launch:
        r = self.request
        return Launch(
            account_id=self.caller.account_id,
            user_id=self.caller.user_id,
            vm_type=self.vm_type.name,
            size=self.vm_type.size,
            architecture=self.image.architecture,
            min_count=r.min_count,
            max_count=r.max_count,
            zone=r.zone,
            service_class=r.service_class,
            hints=Map(dict(r.hints)),  # every policy is given the same one
            **self.wishes,
        )

    @property
    def launch_class(self) -> LaunchClass:
        r = self.request
        return LaunchClass(
            self.vm_type.name, self.vm_type.size, self.image.architecture, r.zone, r.service_class, r.hints
        )


# -------------------------------------------------------------------------------------------------- checking
def check(view: View, caller: Caller, request: LaunchRequest, now: Micros = 0) -> Plan:
    """Find all that the request names; refuse it with a sentence otherwise.  ``now``: what "+60" is counted from."""
    r = request
    if not 1 <= r.min_count <= r.max_count:
        raise EucaError(
            "parameter_invalid",
            f"MinCount {r.min_count} and MaxCount {r.max_count}: need 1 ≤ MinCount ≤ MaxCount",
        )
    if r.max_count > MAX_COUNT:
        raise EucaError("parameter_invalid", f"MaxCount {r.max_count}: at most {MAX_COUNT} in one request")
    if len(r.user_data) > USER_DATA_LIMIT:
        raise EucaError(
            "parameter_invalid", f"user data has {len(r.user_data)} bytes, the limit is {USER_DATA_LIMIT}"
        )
    tags.check(dict(r.tags))
    image = usable_image(view, caller, r.image_id, "machine")
    kernel_id = r.kernel_id or image.kernel_id
    ramdisk_id = r.ramdisk_id or image.ramdisk_id
    vm_type = find_type(view, r.vm_type)
    if image.virtual_bytes > vm_type.disk_gb << 30:
        raise EucaError(
            "parameter_invalid",
            f"image {image.id} needs a disk of {-(-image.virtual_bytes >> 30)} GB, {vm_type.name} has {vm_type.disk_gb}",
        )
    if r.zone is not None and r.zone not in view.zones:
        raise EucaError(
            "zone_not_found",
            f"the zone {r.zone!r} does not exist; there are {', '.join(sorted(view.zones)) or 'none'}",
        )
    key = None
    if r.key_name is not None:
        key_id = view.key_names.get(f"{caller.account_id}/{r.key_name}")
        if key_id is None:
            raise EucaError("key_not_found", f"the key pair {r.key_name!r} does not exist")
        key = view.keys[key_id]
    return Plan(
        caller,
        r,
        image,
        usable_image(view, caller, kernel_id, "kernel") if kernel_id else None,
        usable_image(view, caller, ramdisk_id, "ramdisk") if ramdisk_id else None,
        key,
        vm_type,
        request_hash(r) if r.client_token is not None else "",
        meant(dict(r.hints), now) if r.hints else Map(),
    )


def find_type(view: View, name: str) -> VmType:
    vm_type = view.vm_types.get(name)
    if vm_type is None:
        known = ", ".join(t.name for t in sorted(view.vm_types.values(), key=lambda t: t.position))
        raise EucaError("type_not_found", f"the VM type {name!r} does not exist; there are {known}")
    return vm_type


def usable_image(view: View, caller: Caller, image_id: str, kind: str) -> Image:
    image = view.images.get(image_id)
    usable = image is not None and image.removed_at is None
    if not usable or not may_use(caller, image):  # type: ignore[arg-type]
        raise EucaError("image_not_found", f"the image id {image_id!r} does not exist")
    assert image is not None
    if image.state == "disabled":
        raise EucaError(
            "image_unavailable",
            f"{image_id} is disabled: nobody can launch it until its owner or an administrator enables it again",
        )
    if image.state != "available":
        raise EucaError(
            "image_unavailable",
            f"{image_id} is {image.state}: {image.reason}. Launch it when DescribeImages says that it is available.",
        )
    if image.kind != kind:
        raise EucaError(
            "parameter_invalid", f"{image_id} is a {image.kind} image, a {kind} image is needed here"
        )
    return image


_REQUEST = tuple(f.name for f in fields(LaunchRequest))
_spell = json.JSONEncoder(sort_keys=True).encode


def request_hash(request: LaunchRequest) -> str:
    """Over the typed request after defaults, without the token itself."""
    values = {name: getattr(request, name) for name in _REQUEST}  # every field is plain: no copies are needed
    values["client_token"] = None
    values["user_data"] = hashlib.sha256(request.user_data).hexdigest()
    return hashlib.sha256(_spell(values).encode()).hexdigest()


def remembered(view: View, plan: Plan) -> Reservation | None:
    """The reservation that an earlier request with this ClientToken made."""
    if plan.request.client_token is None:
        return None
    token = view.tokens.get(f"{plan.caller.account_id}/{plan.request.client_token}")
    if token is None:
        return None
    if token.request_hash != plan.request_hash:
        raise EucaError(
            "token_mismatch",
            f"the ClientToken {plan.request.client_token!r} was used before for a different request: use a new one",
        )
    return view.reservations.get(token.reservation_id) or Reservation(
        token.reservation_id, plan.caller.account_id, plan.caller.user_id, (), 0
    )


def quota_left(view: View, plan: Plan) -> int:
    """How many machines of this size both quotas leave; fewer than MinCount is refused, naming the quota."""
    left = plan.request.max_count
    for scope in ("account/" + plan.caller.account_id, "user/" + plan.caller.user_id):
        quota, tally = view.quota(scope), view.tallies.get(scope)
        if quota.unlimited:
            continue
        held = (tally.instances, *tally.size.parts()) if tally else (0, 0, 0, 0)
        limits = (quota.instances, quota.cores, quota.memory_mb, quota.disk_gb)
        each = (1, *plan.vm_type.size.parts())
        for name, limit, have, one in zip(
            ("instances", "cores", "MB of memory", "GB of disk"), limits, held, each, strict=True
        ):
            if limit < 0 or one == 0:
                continue
            fits = max(0, (limit - have) // one)
            if fits < plan.request.min_count:
                who = scope.partition("/")[0]
                raise EucaError(
                    "quota_exceeded",
                    f"{plan.request.min_count} × {plan.vm_type.name} asked for, but the {who} has {have} of {limit} "
                    f"{name}; terminate some, or ask an administrator for more",
                    facts={"scope": scope, "what": name, "limit": limit, "held": have},
                )
            left = min(left, fits)
    return left


# ------------------------------------------------------------------------------------------------ committing
def commit_launch(
    plan: Plan, nodes: Sequence[str], ids: Ids, pool: AddressPool, lease: Granted | None = None
) -> Verb:
    """The verb: ``nodes`` is the proposal, one node id per machine; ``lease``: how long they may run."""

    def verb(view: View, now: Micros) -> Outcome:
        if (found := remembered(view, plan)) is not None:
            return Outcome(result=found)
        if len(nodes) > quota_left(view, plan):
            raise Conflict("quota")
        still_fits(view, nodes, plan.vm_type.size)
        reservation_id = new_id(ids, RESERVATION, view.reservations)
        taken: set[str] = set()
        used = view.last_used
        instances, rows, told = [], {}, gathering.told_at(view, now)
        for index, node_id in enumerate(nodes):
            instance_id = new_id(ids, INSTANCE, view.instances, taken)
            public, private = pool.draw(view, taken, instance_id)
            taken |= {instance_id, public}
            used += 1
            rows[node_id] = changed(view.nodes[node_id], last_used=used)
            instances.append(
                new_instance(plan, instance_id, reservation_id, index, node_id, public, private, now, told)
            )
        reservation, made = new_reservation(plan, reservation_id, instances, now)
        changes: list[Insert | Put] = [*made, *map(Put, rows.values())]
        if lease is not None:
            changes += [Put(leases.granted(i.id, lease)) for i in instances]
        events = tuple(
            event(
                "instance.launched",
                i.id,
                now,
                plan.caller,
                facts=told_of(i),
            )
            for i in instances
        )
        return Outcome(tuple(changes), events, reservation)

    return verb


def new_reservation(
    plan: Plan, reservation_id: str, instances: Sequence[Instance], now: Micros
) -> tuple[Reservation, list[Insert]]:
    """The reservation of ``instances``, and what is written of it: itself, they, their tags, the token."""
    caller, request = plan.caller, plan.request
    ids = tuple(i.id for i in instances)
    hints = Map(dict(request.hints))
    reservation = Reservation(reservation_id, caller.account_id, caller.user_id, ids, now, hints)
    words = dict(request.tags)
    made = [Insert(reservation), *map(Insert, instances)]
    made += [Insert(row) for i in instances for row in tags.rows(i.id, i.account_id, words)]
    if request.client_token is not None:
        key = f"{caller.account_id}/{request.client_token}"
        made.append(Insert(Token(key, plan.request_hash, reservation_id)))
    return reservation, made


def told_of(i: Instance) -> dict[str, Any]:
    """The facts of its launch in the history."""
    return {
        "reservation": i.reservation_id,
        "node": i.node,
        "type": i.vm_type,
        "size": i.size.parts(),
        "image": i.image_id,
    }


def still_fits(view: View, nodes: Sequence[str], size: Size) -> None:
    for node_id in set(nodes):
        target = view.targets.get(node_id)
        need = size.times(sum(1 for n in nodes if n == node_id))
        if target is None or not target.usable or not need.fits(target.room):
            raise Conflict(node_id)


def new_instance(
    plan: Plan,
    instance_id: str,
    reservation_id: str,
    index: int,
    node_id: str,
    public: str,
    private: str,
    now: Micros,
    told: Micros,
) -> Instance:
    r, t = plan.request, plan.vm_type
    return Instance(
        id=instance_id,
        reservation_id=reservation_id,
        account_id=plan.caller.account_id,
        created_by=plan.caller.user_id,
        launch_index=index,
        image_id=plan.image.id,
        kernel_id=plan.kernel.id if plan.kernel else None,
        ramdisk_id=plan.ramdisk.id if plan.ramdisk else None,
        architecture=plan.image.architecture,
        vm_type=t.name,
        cores=t.cores,
        memory_mb=t.memory_mb,
        disk_gb=t.disk_gb,
        zone=node_id.partition("/")[0],
        node=node_id,
        key_name=plan.key.name if plan.key else None,
        public_key=plan.key.public_key if plan.key else "",
        user_data=r.user_data,
        mac=mac_address(instance_id),
        private_address=private,
        public_address=public,
        client_token=r.client_token,
        shutdown_behavior=r.shutdown_behavior,
        protected=r.protected,
        service_class=r.service_class,
        launched_at=now,
        next_try=told,
        deadline=now + lifecycle.START_DEADLINE,
    )


def new_id(ids: Ids, prefix: str, *used: object) -> str:
    """Random and new in the view; the store refuses one that was used by a row which has left it."""
    while True:
        drawn = resource_id(ids, prefix)
        if not any(drawn in known for known in used):  # type: ignore[operator]
            return drawn


@dataclass(frozen=True, slots=True)
class AddressPool:
    """User mode: a public address per instance inside a loopback network, and a private one that follows from it.

    127.x.y.z ↔ 10.x.y.z; z in 16..250, so that the guest's own /24 keeps room for its gateway and name server.
    """

    network: str = "127.31.0.0/16"

    def draw(self, view: View, taken: set[str], instance_id: str) -> tuple[str, str]:
        first, count = _block(self.network)
        start = int(instance_id[2:], 16)
        for step in range(count):
            address = first + (start + step) % count
            if not 16 <= address % 256 <= 250:
                continue
            public = str(ipaddress.IPv4Address(address))
            if public not in view.addresses and public not in taken:
                return public, "10." + public.partition(".")[2]
        raise EucaError(
            "capacity_exhausted", f"all addresses of {self.network} are in use: configure a larger pool"
        )


@cache
def _block(network: str) -> tuple[int, int]:
    """Its first address and how many there are."""
    block = ipaddress.IPv4Network(network)
    return int(block.network_address), block.num_addresses
