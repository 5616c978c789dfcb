"""The administrator's verbs: one table, called by the command line (and later the portal) through `euca.cloud`.

A verb is a function of (controller context, caller, arguments) to plain wire values.  Unknown verbs and arguments are
refused by name.  The caller is the administrator whom the certificate names, never a field of the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from euca_rpc.clock import HOUR, iso
from euca_rpc.cloud import (
    accounts,
    credentials,
    explain,
    images,
    leases,
    lifecycle,
    nodes,
    operations,
    policies,
    power,
    published,
    switching,
    totals,
)
from euca_rpc.cloud import zones as zones_
from euca_rpc.cloud.changes import Outcome, event
from euca_rpc.cloud.controller import CloudController
from euca_rpc.cloud.nodes import Trust
from euca_rpc.cloud.policies import NoPolicies, Policies
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.view import rest, silence
from euca_rpc.cloud.zones import types_in_order
from euca_rpc.errors import EucaError
from euca_rpc.images import tickets
from euca_rpc.shown import CredentialStatus
from euca_rpc.types import Caller, NewImage, Node, Quota, UserStatus

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Context:
    cloud: CloudController
    trust: Trust
    seal: Seal
    policies: Policies = field(default_factory=NoPolicies)


def administrator(cloud: CloudController, name: str) -> Caller:
    """The caller behind an administrator's certificate."""
    view = cloud.journal.view
    user_id = view.user_names.get(name)
    user = view.users.get(user_id) if user_id else None
    if user is None or not user.is_admin or not user.enabled:
        raise EucaError("denied", f"the certificate names {name!r}, who is no administrator of this cloud")
    return accounts.caller_for(user, origin="cli")


def call(context: Context, caller: Caller, verb: str, args: Mapping[str, Any]) -> Any:
    if not caller.is_admin:
        raise EucaError("denied", f"{caller.user_name} is no administrator")
    function = VERBS.get(verb)
    if function is None:
        near = get_close_matches(verb, VERBS, 1)
        raise EucaError(
            "action_unknown", f"no verb {verb!r}" + (f": did you mean {near[0]!r}?" if near else "")
        )
    try:
        inspect.signature(function).bind(context, caller, **args)
    except TypeError as error:
        raise EucaError("parameter_unknown", f"{verb}: {error}") from None
    return function(context, caller, **args)


# -------------------------------------------------------------------------------------------------- looking
def status(c: Context, caller: Caller) -> dict[str, Any]:
    view = c.cloud.journal.view
    alive = [i for i in view.instances.values() if i.ended_at is None]
    states: dict[str, int] = {}
    for row in alive:
        states[lifecycle.state(row)] = states.get(lifecycle.state(row), 0) + 1
    return {
        "cloud_id": c.cloud.settings.cloud_id,
        "now": iso(c.cloud.clock.now()),
        "zones": zones(c, caller),
        "nodes": {
            "total": len(_listed(c)),
            "silent": [
                n.id
                for n in _listed(c)
                if n.admin_state != "fenced" and _silence(c, n) and n.power == power.ON
            ],
            "resting": {n.id: rest(n) for n in _listed(c) if _rests(n)},
            "not_waking": {n.id: rest(n) for n in _listed(c) if power.overdue(n)},
            "warnings": {n.id: said for n in _listed(c) if (said := _warnings(c, n))},
        },
        "instances": states,
        "unsettled": len(view.unsettled),
        "waiting": len(view.waiting),  # launches
        "clock": c.cloud.clock_trouble,
        "policies": c.policies.status(),
    }


def zones(c: Context, caller: Caller) -> Rows:
    return [
        {
            "name": z.name,
            "up": z.reach.up,
            "trouble": silence(c.cloud.journal.view.contacts.get(z.name)),
            "types": [{"name": r.vm_type.name, "free": r.free, "total": r.total} for r in z.rooms],
        }
        for z in c.cloud.core.zones.describe(caller)
    ]


def _listed(c: Context) -> list[Node]:
    return sorted(
        (n for n in c.cloud.journal.view.nodes.values() if n.admin_state != "removed"), key=lambda n: n.id
    )


def _silence(c: Context, n: Node) -> str:
    view = c.cloud.journal.view
    if n.admin_state == "fenced":  # what it said before counts no more
        return "fenced by an administrator: it is asked nothing, until it is added again"
    return silence(view.contacts.get(n.zone)) or silence(view.contacts.get(n.id))


def _rests(n: Node) -> bool:
    """Its silence is as it should be."""
    return n.power != power.ON and not power.overdue(n)


def _warnings(c: Context, n: Node) -> list[str]:
    """As it last said; what was said before it fell silent may no longer be so."""
    contact = c.cloud.journal.view.contacts.get(n.id)
    return list(contact.warnings) if contact is not None and not _silence(c, n) else []


def node_list(c: Context, caller: Caller) -> Rows:
    view = c.cloud.journal.view
    rows = []
    for n in _listed(c):
        target = view.targets[n.id]
        rows.append(
            {
                "id": n.id,
                "zone": n.zone,
                "host": n.host,
                "state": n.admin_state,
                "up": not _silence(c, n),
                "power": n.power,
                "trouble": rest(n) or _silence(c, n),
                "warnings": _warnings(c, n),
                "hypervisor": n.hypervisor,
                "architecture": n.architecture,
                "offer": _size(n.offer.parts()),
                "free": _size(target.room.parts()),
                "instances": len(view.on_node.get(n.id, ())),
            }
        )
    return rows


def _size(parts: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("cores", "memory_mb", "disk_gb"), parts, strict=True))


def instances(c: Context, caller: Caller) -> Rows:
    view = c.cloud.journal.view
    rows = sorted(view.instances.values(), key=lambda i: (i.launched_at, i.id))
    return [
        {
            "id": i.id,
            "state": lifecycle.state(i),
            "node": i.node,
            "type": i.vm_type,
            "image": i.image_id,
            "account": i.account_id,
            "user": view.users[i.created_by].name if i.created_by in view.users else i.created_by,
            "public_address": i.public_address,
            "private_address": i.private_address,
            "launched": iso(i.launched_at),
            "lease": iso(lease.until) if (lease := leases.of(view, i)) is not None else "",
            "reason": i.reason,
        }
        for i in rows
    ]


def users(c: Context, caller: Caller) -> Rows:
    view = c.cloud.journal.view
    return [
        {
            "name": u.name,
            "account": u.account_id,
            "admin": u.is_admin,
            "enabled": u.enabled,
            "status": str(u.status),
            "email": u.email,
        }
        for u in sorted(view.users.values(), key=lambda u: u.name)
        if u.status is not UserStatus.DELETED
    ]


def types(c: Context, caller: Caller) -> Rows:
    return [
        {"name": t.name, "cores": t.cores, "memory_mb": t.memory_mb, "disk_gb": t.disk_gb}
        for t in types_in_order(c.cloud.journal.view)
    ]


def policy_list(c: Context, caller: Caller) -> Rows:
    return policies.rows(c.cloud.journal.view, c.policies)


def explain_(c: Context, caller: Caller, id: str) -> dict[str, Any]:
    return explain.explain(c.cloud.journal.view, c.cloud.store, id)


def events(c: Context, caller: Caller, subject: str | None = None, limit: int = 100) -> Rows:
    return [explain.line(e) for e in c.cloud.store.events(subject, limit=min(max(limit, 1), 1000))]


def ledger(c: Context, caller: Caller, since: int = 0, until: int | None = None) -> dict[str, Any]:
    """What was used, by account and user, in hours: from ``since``, not before the first use, to ``until``, at most now."""
    now = c.cloud.clock.now()
    until = now if until is None else min(until, now)
    first = min((a.created_at for a in c.cloud.journal.view.accounts.values()), default=0)
    since = max(since, first)
    return {
        "since": iso(since),
        "until": iso(until),
        "rows": [
            {
                "account": line.account_id,
                "account_name": line.account,
                "user": line.user,
                "instance_hours": line.instance_seconds / 3600,
                "core_hours": line.core_seconds / 3600,
                "memory_gb_hours": line.memory_mb_seconds / 3600 / 1024,
                "disk_gb_hours": line.disk_gb_seconds / 3600,
            }
            for line in c.cloud.core.history.ledger(caller, since, until)
        ],
    }


# --------------------------------------------------------------------------------------------------- images
TRACED = ("instance.launched", "instance.moved", "instance.seen", "instance.terminate")


def history(c: Context, caller: Caller, after: int = 0, limit: int = 1000) -> Rows:
    """What became of every instance, oldest first: the events that a trace is made of, beyond the one numbered
    ``after``."""
    return [
        {
            "id": e.id,
            "at": e.at,
            "kind": e.kind,
            "subject": e.subject,
            "user": e.actor,
            "account": e.account_id,
            "facts": explain.in_order(e.facts),
        }
        for e in c.cloud.store.events_after(after, TRACED, min(max(limit, 1), 1000))
    ]


def image_list(c: Context, caller: Caller) -> Rows:
    return [
        {
            "id": i.id,
            "kind": i.kind,
            "state": i.state,
            "reason": i.reason,
            "name": i.name,
            "format": i.format,
            "architecture": i.architecture,
            "bytes": i.bytes,
            "sha256": i.sha256,
            "kernel": i.kernel_id,
            "ramdisk": i.ramdisk_id,
            "account": i.account_id,
            "public": i.public,
        }
        for i in c.cloud.core.images.describe(caller)
    ]


def image_add(
    c: Context,
    caller: Caller,
    receipt: str,
    name: str,
    kernel: str | None = None,
    ramdisk: str | None = None,
    public: bool = True,
) -> dict[str, Any]:
    """``receipt``: what the image process signed after it had inspected the upload."""
    wanted = NewImage(name, "", "", "", kernel, ramdisk, public)  # the rest is what the receipt says
    image = c.cloud.images.take(caller, receipt, wanted)
    return {"id": image.id, "kind": image.kind, "name": image.name, "sha256": image.sha256}


def upload_add(c: Context, caller: Caller, receipt: str, location: str) -> dict[str, Any]:
    """An upload that RegisterImage may name."""
    facts = tickets.check(c.cloud.settings.blobs.ticket_key, receipt, tickets.RECEIPT, c.cloud.clock.wall())
    return {"location": c.cloud.journal.do(images.add_upload(caller, location, facts)).id}


def image_remove(c: Context, caller: Caller, id: str) -> dict[str, Any]:
    """With a ticket to delete the blob where nothing needs it any more."""
    free = c.cloud.journal.do(images.remove(caller, id.lower()))
    if free is None:
        return {"id": id, "forget": None}
    ticket = c.cloud.settings.blobs.forget_ticket(free, c.cloud.clock.wall())
    return {"id": id, "sha256": free, "forget": ticket}


def image_enable(c: Context, caller: Caller, id: str, enabled: bool = True) -> dict[str, Any]:
    image = c.cloud.images.enable(caller, id.lower(), enabled)
    return {"id": image.id, "state": image.state}


# ---------------------------------------------------------------------------------------------------- nodes
def node_add(c: Context, caller: Caller, zone: str, host: str) -> dict[str, Any]:
    node = c.cloud.journal.do(nodes.add(caller, zone, host))
    c.cloud.wake()
    return {"id": node.id, "token": c.trust.token("node", zone, host)}


def node_token(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    """Another token for a node that is known and has yet to enrol, or lost its key."""
    node = c.cloud.journal.do(nodes.may_enrol(caller, name))
    return {"id": node.id, "token": c.trust.token("node", node.zone, node.host)}


def zone_add(c: Context, caller: Caller, zone: str) -> dict[str, Any]:
    """With a token for its cluster controller."""
    c.cloud.journal.do(zones_.add(caller, zone))
    c.cloud.wake()
    return {"zone": zone, "token": c.trust.token("cluster", zone, "")}


def zone_remove(c: Context, caller: Caller, zone: str) -> dict[str, Any]:
    c.cloud.journal.do(zones_.remove(caller, zone))
    c.trust.revoke("cluster", zone, "")
    return {"zone": zone, "state": "removed"}


def zone_token(c: Context, caller: Caller, zone: str) -> dict[str, Any]:
    """Another token for a zone's cluster controller."""
    zones_.find_zone(c.cloud.journal.view, zone)
    return {"zone": zone, "token": c.trust.token("cluster", zone, "")}


def node_drain(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    return {"id": c.cloud.journal.do(nodes.set_state(caller, name, "drained")), "state": "drained"}


def node_undrain(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    return {"id": c.cloud.journal.do(nodes.set_state(caller, name, "active")), "state": "active"}


def node_sleep(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    """Only an empty node; it takes no machine from now on, and is woken by `node_wake` or by a policy."""
    wish = power.sleep(caller, name, "an administrator wished it")
    node = c.cloud.journal.do(wish)
    c.cloud.wake()
    return {"id": node.id, "power": node.power}


def node_wake(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    node = c.cloud.journal.do(power.wake(caller, name, "an administrator wished it"))
    c.cloud.wake()
    return {"id": node.id, "power": node.power}


def node_remove(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    node = c.cloud.journal.do(nodes.remove(caller, name))
    c.trust.revoke("node", node.zone, node.host)
    c.cloud.wake()
    return {"id": node.id, "state": "removed"}


def node_fence(c: Context, caller: Caller, name: str) -> dict[str, Any]:
    node = operations.fence(c.cloud.journal, c.trust, caller, name)
    c.cloud.wake()
    return {"id": node.id, "state": "fenced"}


# ------------------------------------------------------------------------------------------------- policies
def policy_set(
    c: Context, caller: Caller, policy: str | None = None, zone: str | None = None
) -> dict[str, Any]:
    """For ``zone`` or the cloud; without ``policy`` back to the cloud's, or to that of the settings file."""
    switching.use(c.cloud.journal, c.policies, c.cloud.clock, caller, policy, zone)
    view = c.cloud.journal.view
    cloud = policies.of_cloud(view.settings) or c.policies.cloud_policy
    chosen = policies.of_zones(view.zones, view.settings)
    return {"zone": zone, "policy": chosen.get(zone, cloud) if zone else cloud}


def policy_reset(c: Context, caller: Caller, policy: str) -> dict[str, Any]:
    """Call a tripped policy again."""
    c.policies.reset(policy)
    c.cloud.journal.do(lambda view, now: Outcome((), (event("policy.reset", policy, now, caller),)))
    return next(row for row in policy_list(c, caller) if row["name"] == policy)


def policy_totals(c: Context, caller: Caller) -> Rows:
    """The counters of all policies, as they are now."""
    now = totals.Totals(c.cloud.journal.view.counters, c.cloud.clock.now())
    return [{"name": name, "amount": now[name]} for name in sorted(now)]


def policy_trace(c: Context, caller: Caller, policy: str, on: bool) -> dict[str, Any]:
    """Tell in the log of the cloud controller what the policy is asked and says, until that process ends."""
    c.policies.trace(policy, on)
    return {"policy": policy, "traced": on}


def policy_feed(c: Context, caller: Caller, key: str, value: Any = None) -> dict[str, Any]:
    """Let policies see ``value`` (what JSON can say) as ``view.published[key]``; None: take it back."""
    return {"name": key, "changed": c.cloud.journal.do(published.publish(caller, key, value))}


def policy_published(c: Context, caller: Caller) -> Rows:
    """What policies see of the world outside, and tell each other."""
    return published.rows(c.cloud.journal.view)


def policy_parameters(c: Context, caller: Caller) -> Rows:
    return policies.parameters(c.cloud.journal.view, c.policies.parameters())


def policy_parameter(c: Context, caller: Caller, name: str, value: Any = None) -> dict[str, Any]:
    """``value`` None: back to the usual one."""
    c.cloud.journal.do(policies.set_parameter(caller, c.policies.parameters(), name, value))
    return next((row for row in policy_parameters(c, caller) if row["name"] == name), {"name": name})


# ------------------------------------------------------------------------------------------------- instances
def instance_extend(
    c: Context, caller: Caller, id: str, until: int | None = None, hours: float | None = None
) -> dict[str, Any]:
    """``until`` a moment, or so many hours beyond the present end."""
    if (until is None) == (hours is None):
        raise EucaError("parameter_conflict", "say until when, or how many hours more: one of the two")
    lease = c.cloud.journal.view.leases.get(id.lower())
    if until is None:
        until = (lease.until if lease is not None else c.cloud.clock.now()) + int((hours or 0) * HOUR)
    new = c.cloud.core.instances.extend(caller, id.lower(), until).lease
    assert new is not None
    return {"id": new.id, "until": iso(new.until), "then": new.then}


# ---------------------------------------------------------------------------------------------------- users
def user_add(
    c: Context, caller: Caller, name: str, admin: bool = False, email: str = "", account: str | None = None
) -> dict[str, Any]:
    """In an account of the user's own, unless one is named."""
    made = accounts.add_user(caller, c.cloud.ids, name, is_admin=admin, email=email, account_id=account)
    user = c.cloud.journal.do(made)
    return {"name": user.name, "account": user.account_id}


def user_delete(c: Context, caller: Caller, name: str, instances: str) -> dict[str, Any]:
    """``instances``: "terminate" or "keep"."""
    gone = c.cloud.core.people.delete(caller, name, instances)
    return {"name": gone.name, "status": gone.status, "instances": instances}


def user_enable(c: Context, caller: Caller, name: str, enabled: bool = True) -> dict[str, Any]:
    user = c.cloud.journal.do(accounts.enable_user(caller, name, enabled))
    return {"name": user.name, "enabled": user.enabled}


def credentials_create(c: Context, caller: Caller, user: str) -> dict[str, Any]:
    """A new access key and a new certificate, both or neither; the secrets are shown this once."""
    accounts.find_user(c.cloud.journal.view, user)
    der, certificate, private = credentials.make_certificate(user, c.cloud.clock.wall())
    made = credentials.both(
        credentials.add_access_key(caller, c.cloud.ids, c.seal, user),
        credentials.add_certificate(caller, user, der),
    )
    (key, secret), _ = c.cloud.journal.do(made)
    return {
        "user": user,
        "access_key": key.id,
        "secret_key": secret,
        "certificate_pem": certificate,
        "private_key_pem": private,
    }


def access_keys(c: Context, caller: Caller, user: str | None = None) -> Rows:
    return [_credential(it) for it in c.cloud.core.credentials.keys(caller, user)]


def key_create(c: Context, caller: Caller, user: str) -> dict[str, Any]:
    made, secret = c.cloud.core.credentials.create_key(caller, user)
    return {"id": made.id, "user": user, "secret_key": secret}


def key_enable(c: Context, caller: Caller, id: str, enabled: bool = True) -> dict[str, Any]:
    return _credential(c.cloud.core.credentials.enable_key(caller, id, enabled))


def key_delete(c: Context, caller: Caller, id: str) -> dict[str, Any]:
    c.cloud.core.credentials.delete_key(caller, id)
    return {"id": id, "state": "deleted"}


def certificates(c: Context, caller: Caller, user: str | None = None) -> Rows:
    return [
        _credential(it) | {"expires": iso(it.expires_at or 0)}
        for it in c.cloud.core.credentials.certificates(caller, user)
    ]


def certificate_create(c: Context, caller: Caller, user: str) -> dict[str, Any]:
    made, certificate, private = c.cloud.core.credentials.create_certificate(caller, user)
    return {"id": made.id, "user": user, "certificate_pem": certificate, "private_key_pem": private}


def certificate_enable(c: Context, caller: Caller, id: str, enabled: bool = True) -> dict[str, Any]:
    return _credential(c.cloud.core.credentials.enable_certificate(caller, id, enabled))


def certificate_revoke(c: Context, caller: Caller, id: str) -> dict[str, Any]:
    c.cloud.core.credentials.revoke_certificate(caller, id)
    return {"id": id, "state": "revoked"}


def _credential(it: CredentialStatus) -> dict[str, Any]:
    return {"id": it.id, "user": it.user_name, "enabled": it.enabled, "created": iso(it.created_at)}


def quota_set(
    c: Context,
    caller: Caller,
    scope: str,
    instances: int = -1,
    cores: int = -1,
    memory_mb: int = -1,
    disk_gb: int = -1,
) -> dict[str, Any]:
    """``scope``: account/NUMBER, user/NAME, default/account or default/user."""
    kind, _, name = scope.partition("/")
    view = c.cloud.journal.view
    if kind == "user":
        name = accounts.find_user(view, name).id
    elif kind == "account" and name not in view.accounts:
        raise EucaError("account_not_found", f"the account {name!r} does not exist")
    elif kind not in ("account", "default") or (kind == "default" and name not in ("account", "user")):
        raise EucaError(
            "parameter_invalid",
            f"the scope {scope!r}: account/NUMBER, user/NAME, default/account or default/user",
        )
    c.cloud.journal.do(
        accounts.set_quota(caller, Quota(f"{kind}/{name}", instances, cores, memory_mb, disk_gb))
    )
    return {
        "scope": scope,
        "instances": instances,
        "cores": cores,
        "memory_mb": memory_mb,
        "disk_gb": disk_gb,
    }


VERBS: dict[str, Callable[..., Any]] = {
    "status": status,
    "zones": zones,
    "nodes": node_list,
    "instances": instances,
    "users": users,
    "types": types,
    "images": image_list,
    "explain": explain_,
    "events": events,
    "ledger": ledger,
    "history": history,
    "image_add": image_add,
    "image_remove": image_remove,
    "image_enable": image_enable,
    "upload_add": upload_add,
    "node_add": node_add,
    "node_token": node_token,
    "zone_add": zone_add,
    "zone_remove": zone_remove,
    "zone_token": zone_token,
    "node_drain": node_drain,
    "node_undrain": node_undrain,
    "node_sleep": node_sleep,
    "node_wake": node_wake,
    "node_remove": node_remove,
    "node_fence": node_fence,
    "policies": policy_list,
    "policy_set": policy_set,
    "policy_reset": policy_reset,
    "policy_trace": policy_trace,
    "policy_totals": policy_totals,
    "policy_feed": policy_feed,
    "policy_published": policy_published,
    "policy_parameters": policy_parameters,
    "policy_parameter": policy_parameter,
    "instance_extend": instance_extend,
    "user_add": user_add,
    "user_enable": user_enable,
    "user_delete": user_delete,
    "credentials_create": credentials_create,
    "access_keys": access_keys,
    "key_create": key_create,
    "key_enable": key_enable,
    "key_delete": key_delete,
    "certificates": certificates,
    "certificate_create": certificate_create,
    "certificate_enable": certificate_enable,
    "certificate_revoke": certificate_revoke,
    "quota_set": quota_set,
}
