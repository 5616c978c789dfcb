"""How the core's values are shown in the shapes of the API."""

from __future__ import annotations

from euca_rpc import shown, types
from euca_rpc.clock import iso

from . import bodies as b


def zone(it: shown.ZoneStatus) -> b.Zone:
    since = it.reach.silent_since
    room = tuple(b.Room(one.vm_type.name, one.free, one.total) for one in it.rooms)
    return b.Zone(it.name, it.reach.up, None if since is None else iso(since), room)


def vm_type(it: types.VmType) -> b.Type:
    return b.Type(it.name, it.cores, it.memory_mb, it.disk_gb)


def image(it: types.Image) -> b.Image:
    return b.Image(
        it.id,
        it.kind,  # type: ignore[arg-type]
        it.state,  # type: ignore[arg-type]
        b.Reason(it.reason_code or it.state, it.reason) if it.reason else None,
        it.name,
        it.description,
        it.account_id,
        it.architecture,
        it.kernel_id,
        it.ramdisk_id,
        it.public,
        it.virtual_bytes,
        iso(it.created_at),
    )


def permissions(it: types.Image) -> b.Permissions:
    return b.Permissions(it.public, it.launch_accounts)


def tag(it: types.Tag) -> b.Tag:
    return b.Tag(it.resource_id, it.key, it.value)


def access_key(it: shown.CredentialStatus) -> b.AccessKey:
    return b.AccessKey(it.id, it.user_name, it.enabled, iso(it.created_at))


def made_access_key(it: shown.CredentialStatus, secret: str) -> b.MadeAccessKey:
    return b.MadeAccessKey(it.id, it.user_name, it.enabled, iso(it.created_at), secret)


def key(it: types.KeyPair) -> b.Key:
    return b.Key(it.id, it.name, it.key_type, it.fingerprint, it.public_key)


def made_key(it: types.KeyPair, private_key: str | None) -> b.MadeKey:
    return b.MadeKey(it.id, it.name, it.key_type, it.fingerprint, it.public_key, private_key)


def lease(it: types.InstanceLease) -> b.Lease:
    return b.Lease(iso(it.until), it.then, it.policy)  # type: ignore[arg-type]


def instance(status: shown.InstanceStatus) -> b.Instance:
    it = status.instance
    return b.Instance(
        id=it.id,
        reservation_id=it.reservation_id,
        account_id=it.account_id,
        launch_index=it.launch_index,
        state=status.state,  # type: ignore[arg-type]
        reason=b.Reason(it.reason_code or status.state, it.reason) if it.reason else None,
        reachable=status.reachable,
        image_id=it.image_id,
        kernel_id=it.kernel_id,
        ramdisk_id=it.ramdisk_id,
        type=it.vm_type,
        zone=it.zone,
        architecture=it.architecture,
        key_name=it.key_name,
        private_address=it.private_address or None,
        public_address=it.public_address or None,
        mac=it.mac,
        shutdown_behavior=it.shutdown_behavior,  # type: ignore[arg-type]
        service_class=it.service_class,  # type: ignore[arg-type]
        protected=it.protected,
        launched_at=iso(it.launched_at),
        lease=None if status.lease is None else lease(status.lease),
        tags=dict(status.tags),
    )
