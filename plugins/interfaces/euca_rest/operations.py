"""What each request does: the core's nouns asked, their values shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from euca_rpc.clock import from_iso, iso
from euca_rpc.errors import EucaError
from euca_rpc.ids import INSTANCE, KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE, parse_resource_id
from euca_rpc.limits import Limits
from euca_rpc.nouns import Core
from euca_rpc.shown import InstanceStatus
from euca_rpc.types import Caller, LaunchRequest

from . import bodies as b
from . import showing as show
from .paging import page
from .settings import RestSettings
from .tokens import Bearers, Signer

_IMAGES = (MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE)


@dataclass(frozen=True, slots=True)
class Ground:
    """What all requests share."""

    core: Core
    settings: RestSettings
    bearers: Bearers
    pages: Signer
    limits: Limits

    def count(self, caller: Caller) -> None:
        """One request more of this caller; throttled."""
        self.limits.take(caller.user_id, self.core.clock.monotonic())


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked."""

    ground: Ground
    caller: Caller | None  # None: the request needs no token
    path: Mapping[str, str]
    query: Any = None
    body: Any = None
    idempotency_key: str | None = None

    @property
    def core(self) -> Core:
        return self.ground.core

    @property
    def by(self) -> Caller:
        if self.caller is None:
            raise EucaError("auth_failure", "This request needs a token.")
        return self.caller


# ----------------------------------------------------------------------------------------------------- tokens
def new_token(asked: Asked) -> b.Token:
    body: b.NewToken = asked.body
    token, until, caller = asked.ground.bearers.issue(body.access_key_id, body.secret)
    asked.ground.count(caller)
    return b.Token(token, "Bearer", iso(until))


# ---------------------------------------------------------------------------------------- zones, types, images
def zones(asked: Asked) -> b.Zones:
    rows = sorted(asked.core.zones.describe(asked.by), key=lambda it: it.name)
    found, after = _page(asked, "zones", rows, lambda it: (it.name,))
    return b.Zones(tuple(map(show.zone, found)), after)


def zone(asked: Asked) -> b.Zone:
    (found,) = asked.core.zones.describe(asked.by, [asked.path["name"]])
    return show.zone(found)


def vm_types(asked: Asked) -> b.Types:
    rows = sorted(asked.core.types.describe(asked.by), key=lambda it: (it.position, it.name))
    found, after = _page(asked, "types", rows, lambda it: (it.position, it.name))
    return b.Types(tuple(map(show.vm_type, found)), after)


def vm_type(asked: Asked) -> b.Type:
    (found,) = asked.core.types.describe(asked.by, [asked.path["name"]])
    return show.vm_type(found)


def images(asked: Asked) -> b.Images:
    query: b.ImageFilter = asked.query
    rows = sorted(
        (
            it
            for it in asked.core.images.describe(asked.by)
            if _among(it.kind, query.kind)
            and _among(it.architecture, query.architecture)
            and _among(it.state, query.state)
        ),
        key=lambda it: it.id,
    )
    found, after = _page(asked, "images", rows, lambda it: (it.id,))
    return b.Images(tuple(map(show.image, found)), after)


def image(asked: Asked) -> b.Image:
    (found,) = asked.core.images.describe(asked.by, [_id(asked.path["id"], *_IMAGES)])
    return show.image(found)


def register_image(asked: Asked) -> b.Image:
    body: b.NewImage = asked.body
    return show.image(
        asked.core.images.register(
            asked.by,
            body.location,
            body.name,
            _id(body.kernel_id, KERNEL_IMAGE) if body.kernel_id else None,
            _id(body.ramdisk_id, RAMDISK_IMAGE) if body.ramdisk_id else None,
            body.architecture,
        )
    )


def image_of_instance(asked: Asked) -> b.Image:
    body: b.ImageOfInstance = asked.body
    id = _id(asked.path["id"], INSTANCE)
    return show.image(asked.core.images.create(asked.by, id, body.name, body.description))


def change_image(asked: Asked) -> b.Image:
    body: b.ImageChange = asked.body
    return show.image(asked.core.images.enable(asked.by, _id(asked.path["id"], *_IMAGES), body.enabled))


def deregister_image(asked: Asked) -> None:
    asked.core.images.deregister(asked.by, _id(asked.path["id"], *_IMAGES))


def permissions(asked: Asked) -> b.Permissions:
    """Whom else an owner lets in is nobody else's business."""
    (found,) = asked.core.images.describe(asked.by, [_id(asked.path["id"], *_IMAGES)])
    if not asked.by.is_admin and found.account_id != asked.by.account_id:
        raise EucaError("denied", f"Only its owner or an administrator sees who may launch {found.id}.")
    return show.permissions(found)


def set_permissions(asked: Asked) -> b.Permissions:
    body: b.Permissions = asked.body
    who = (*body.accounts, *(["all"] if body.public else []))
    id = _id(asked.path["id"], *_IMAGES)
    return show.permissions(asked.core.images.permit(asked.by, id, add=who, reset=True))


# ------------------------------------------------------------------------------------------------------- tags
def tags(asked: Asked) -> b.Tags:
    query: b.TagFilter = asked.query
    rows = (
        it
        for it in asked.core.tags.describe(asked.by)
        if _among(it.resource_id, query.resource_id) and _among(it.key, query.key)
    )
    found, after = _page(asked, "tags", rows, lambda it: (it.resource_id, it.key))
    return b.Tags(tuple(map(show.tag, found)), after)


def set_tag(asked: Asked) -> b.Tag:
    body: b.TagValue = asked.body
    id, key = asked.path["id"].lower(), asked.path["key"]
    asked.core.tags.create(asked.by, [id], {key: body.value})
    return b.Tag(id, key, body.value)


def delete_tag(asked: Asked) -> None:
    asked.core.tags.delete(asked.by, [asked.path["id"].lower()], {asked.path["key"]: None})


# ------------------------------------------------------------------------------------------------ access keys
def access_keys(asked: Asked) -> b.AccessKeys:
    rows = asked.core.credentials.keys(asked.by)
    found, after = _page(asked, "access keys", rows, lambda it: (it.created_at, it.id))
    return b.AccessKeys(tuple(map(show.access_key, found)), after)


def new_access_key(asked: Asked) -> b.MadeAccessKey:
    return show.made_access_key(*asked.core.credentials.create_key(asked.by, asked.by.user_name))


def change_access_key(asked: Asked) -> b.AccessKey:
    body: b.AccessKeyChange = asked.body
    return show.access_key(asked.core.credentials.enable_key(asked.by, asked.path["id"], body.enabled))


def delete_access_key(asked: Asked) -> None:
    asked.core.credentials.delete_key(asked.by, asked.path["id"])


# -------------------------------------------------------------------------------------------------- key pairs
def keys(asked: Asked) -> b.Keys:
    rows = sorted(asked.core.keys.describe(asked.by), key=lambda it: (it.name, it.id))
    found, after = _page(asked, "keys", rows, lambda it: (it.name, it.id))
    return b.Keys(tuple(map(show.key, found)), after)


def key(asked: Asked) -> b.Key:
    found = asked.core.keys.describe(asked.by, [asked.path["name"]])
    return show.key(found[0])


def new_key(asked: Asked) -> b.MadeKey:
    body: b.NewKey = asked.body
    if body.public_key is not None:
        return show.made_key(asked.core.keys.import_(asked.by, body.name, body.public_key.encode()), None)
    return show.made_key(*asked.core.keys.create(asked.by, body.name, body.type))


def delete_key(asked: Asked) -> None:
    name = asked.path["name"]
    if not asked.core.keys.delete(asked.by, name):
        raise EucaError("key_not_found", f"The key pair {name[:100]!r} does not exist.")


# -------------------------------------------------------------------------------------------------- instances
def launch(asked: Asked) -> b.Launched:
    body: b.NewInstances = asked.body
    least = body.count if body.min_count is None else body.min_count
    if least > body.count:
        raise EucaError(
            "parameter_conflict", f"body.min_count is {least} and body.count {body.count}; it cannot be more."
        )
    made = asked.core.instances.launch(
        asked.by,
        LaunchRequest(
            image_id=_id(body.image_id, MACHINE_IMAGE),
            min_count=least,
            max_count=body.count,
            vm_type=body.type,
            key_name=body.key_name,
            zone=body.zone,
            kernel_id=_id(body.kernel_id, KERNEL_IMAGE) if body.kernel_id else None,
            ramdisk_id=_id(body.ramdisk_id, RAMDISK_IMAGE) if body.ramdisk_id else None,
            user_data=body.user_data,
            client_token=asked.idempotency_key,
            shutdown_behavior=body.shutdown_behavior,
            protected=body.protected,
            service_class=body.service_class,
            # in one order: the same JSON object may be written in many
            hints=tuple(sorted(body.hints.items())),
            tags=tuple(sorted(body.tags.items())),
        ),
    )
    return b.Launched(made.reservation.id, tuple(map(show.instance, made.instances)))


def instances(asked: Asked) -> b.Instances:
    query: b.InstanceFilter = asked.query
    rows = (
        (reservation, status)
        for reservation, statuses in asked.core.instances.describe(asked.by)
        for status in statuses
        if _fits(status, query)
    )
    found, after = _page(
        asked, "instances", rows, lambda row: (row[0].created_at, row[0].id, row[1].instance.launch_index)
    )
    return b.Instances(tuple(show.instance(status) for _, status in found), after)


def instance(asked: Asked) -> b.Instance:
    return _instance(asked, _id(asked.path["id"], INSTANCE))


def change_instance(asked: Asked) -> b.Instance:
    """One at a time, so that a refusal leaves nothing half done."""
    body: b.InstanceChange = asked.body
    given = {name: value for name, value in body.values() if value is not None}
    if len(given) != 1:
        raise EucaError(
            "parameter_conflict" if given else "parameter_missing",
            f"body must have exactly one field of {', '.join(name for name, _ in body.values())}, not {len(given)}.",
        )
    ((name, value),) = given.items()
    if name in ("kernel_id", "ramdisk_id"):
        value = _id(str(value), KERNEL_IMAGE if name == "kernel_id" else RAMDISK_IMAGE)
    id = _id(asked.path["id"], INSTANCE)
    asked.core.instances.modify(asked.by, id, "vm_type" if name == "type" else name, value)
    return _instance(asked, id)


def terminate(asked: Asked) -> b.Instance:
    return _after(asked, asked.core.instances.terminate)


def stop(asked: Asked) -> b.Instance:
    return _after(asked, asked.core.instances.stop)


def start(asked: Asked) -> b.Instance:
    return _after(asked, asked.core.instances.start)


def reboot(asked: Asked) -> b.Instance:
    return _after(asked, asked.core.instances.reboot)


def extend(asked: Asked) -> b.Instance:
    body: b.LeaseChange = asked.body
    try:
        until = from_iso(body.until)
    except ValueError:
        raise EucaError(
            "parameter_invalid", f"body.until must be a date and time, not {body.until!a}."
        ) from None
    return show.instance(asked.core.instances.extend(asked.by, _id(asked.path["id"], INSTANCE), until))


def console(asked: Asked) -> b.Console:
    """The only request that waits for a node; the core bounds how long, and how many may at a time."""
    shown = asked.core.instances.console(asked.by, _id(asked.path["id"], INSTANCE)).result()
    return b.Console(shown.instance_id, iso(shown.at), shown.text.decode("utf-8", "replace"))


def _instance(asked: Asked, id: str) -> b.Instance:
    ((_, (status,)),) = asked.core.instances.describe(asked.by, [id])
    return show.instance(status)


def _after(asked: Asked, verb: Callable[[Caller, list[str]], object]) -> b.Instance:
    id = _id(asked.path["id"], INSTANCE)
    verb(asked.by, [id])
    return _instance(asked, id)


def _fits(status: InstanceStatus, query: b.InstanceFilter) -> bool:
    it = status.instance
    return (
        _among(status.state, query.state)
        and _among(it.vm_type, query.type)
        and _among(it.zone, query.zone)
        and _among(it.image_id, query.image_id)
        and _among(it.key_name, query.key_name)
        and _among(it.reservation_id, query.reservation_id)
        and (
            not query.tag
            or any(tag in (name, f"{name}={value}") for name, value in status.tags for tag in query.tag)
        )
    )


def _among(value: str | None, wanted: tuple[str, ...]) -> bool:
    return not wanted or value in wanted


def _page(
    asked: Asked, what: str, rows: Any, place_of: Callable[[Any], tuple[Any, ...]]
) -> tuple[list[Any], str | None]:
    return page(rows, place_of, asked.ground.pages, [what, asked.by.user_id], asked.query)


def _id(text: str, *prefixes: str) -> str:
    found = parse_resource_id(text, *prefixes)
    if found is None:
        raise EucaError(
            "id_malformed",
            f"{text[:60]!a} is no id of this kind: {' or '.join(prefixes)} and eight hexadecimal digits are needed.",
        )
    return found
