"""Every remote call there is, one row each.

cloud ──► cluster ──► node      calls go down
cloud ◄·· cluster ◄·· node      `poke` says "ask me now"; news is the answer to a report

A row says which object offers the method, which roles (of the *caller's* certificate) may call it, how long the
caller waits, and whether a lost answer may be followed by the same call again (all of them are idempotent; `retry`
says whether the wire may do it by itself or the caller decides).  Arguments and results are plain values: str keys,
lists, ints, bytes, bools, None (`wire.codec` packs the dataclasses of `types`).  Contracts only grow: unknown fields
are ignored and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTRACT = 1  # what this code speaks
OLDEST = 1  # what it still understands

CLOUD, CLUSTER, NODE, IMAGES, NAMESERVER, ADMIN = "cloud", "cluster", "node", "images", "nameserver", "admin"
ROLES = (CLOUD, CLUSTER, NODE, IMAGES, NAMESERVER, ADMIN)


@dataclass(frozen=True, slots=True)
class Call:
    offered_by: str  # role of the object
    method: str
    callers: tuple[str, ...]  # roles that may call it
    timeout: float  # seconds
    retry: bool = False


CALLS: tuple[Call, ...] = (
    # a hello tells role, contract range and boot id; every daemon answers it to every role
    Call(CLOUD, "hello", ROLES, 3.0, True),
    Call(CLUSTER, "hello", ROLES, 3.0, True),
    Call(NODE, "hello", ROLES, 3.0, True),
    # cloud → cluster
    Call(CLUSTER, "report", (CLOUD,), 5.0, True),  # args: known {node: version}, deltas → see cluster.service
    Call(CLUSTER, "ensure", (CLOUD,), 5.0),  # args: node, specs [MachineSpec]
    Call(CLUSTER, "absent", (CLOUD,), 5.0),  # args: node, items [{instance_id, generation}]
    Call(CLUSTER, "stop", (CLOUD,), 5.0),  # args: node, items [{instance_id, generation}]
    Call(CLUSTER, "reboot", (CLOUD,), 5.0),  # args: node, items [{instance_id, generation, reboots}]
    Call(CLUSTER, "capture", (CLOUD,), 5.0),  # args: node, orders [CaptureOrder]
    Call(CLUSTER, "forget_captures", (CLOUD,), 5.0),  # args: node, images [image id]
    Call(CLUSTER, "sleep", (CLOUD,), 8.0),  # args: node, until: the node may obey so long → relayed
    Call(CLUSTER, "rouse", (CLOUD,), 30.0),  # args: node, mac: by the cluster's own means → they were used
    Call(CLUSTER, "console", (CLOUD,), 8.0, True),  # args: node, instance_id → {text: bytes, at}
    Call(CLUSTER, "roster", (CLOUD,), 5.0, True),  # args: nodes [node id]: whom this cluster asks
    # cluster → node
    # args: known version, deltas → NodeReport, or what changed of it since (see `deltas`), or {"same": version}
    Call(NODE, "report", (CLUSTER,), 5.0, True),
    Call(NODE, "ensure", (CLUSTER,), 5.0),  # args: specs
    Call(NODE, "absent", (CLUSTER,), 5.0),  # args: items
    Call(NODE, "stop", (CLUSTER,), 5.0),
    Call(NODE, "reboot", (CLUSTER,), 5.0),
    Call(NODE, "capture", (CLUSTER,), 5.0),  # args: orders
    Call(NODE, "forget_captures", (CLUSTER,), 5.0),  # args: images
    Call(NODE, "sleep", (CLUSTER,), 5.0),  # args: until; refused while there are machines
    Call(NODE, "console", (CLUSTER,), 5.0, True),  # args: instance_id
    # news: "ask me now"; loses nothing when lost
    Call(CLUSTER, "poke", (NODE,), 2.0),
    Call(CLOUD, "poke", (CLUSTER,), 2.0),
    # certificates: a daemon (and the command line) asks for a fresh one for its own name before the old one ends
    Call(
        CLOUD, "renew", (CLUSTER, NODE, IMAGES, NAMESERVER, CLOUD, ADMIN), 10.0, True
    ),  # args: csr → {certificate}
    # the name server: anybody may ask, everybody may register the name in the own certificate
    Call(NAMESERVER, "hello", ROLES, 3.0, True),
    Call(NAMESERVER, "lookup", ROLES, 3.0, True),  # args: name → {address: [host, port] or None}
    Call(NAMESERVER, "register", ROLES, 3.0, True),  # args: name, host, port
    Call(NAMESERVER, "names", ROLES, 3.0, True),  # → {names: {name: [host, port]}}
    # the administrator's command line; one verb table in cloud.admin
    Call(CLOUD, "admin", (ADMIN,), 30.0),  # args: verb, args {…}
    # serial numbers of revoked certificates: every daemon keeps the list on disk and asks again now and then
    Call(CLOUD, "revoked", ROLES, 5.0, True),  # → {serials: [decimal text]}
)

BY_OBJECT: dict[tuple[str, str], Call] = {(call.offered_by, call.method): call for call in CALLS}


def object_name(role: str, zone: str = "", host: str = "") -> str:
    """``euca.cloud``, ``euca.images``, ``euca.cluster.<zone>``, ``euca.node.<zone>.<host>``."""
    return ".".join(part for part in ("euca", role, zone, host) if part)


def role_of(name: str) -> str:
    """The role that must offer the object ``name``."""
    return name.split(".")[1]
