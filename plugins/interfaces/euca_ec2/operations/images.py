"""Images."""

from __future__ import annotations

from euca_rpc.clock import iso
from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE
from euca_rpc.types import Caller, Image

from ..errors import WireError
from ..filters import matching
from ..messages import images as m
from ..messages.keys import Done
from ..messages.shown import Reason
from ..paging import checked
from .asked import Asked, dry, image_id, instance_ids, refuse
from .tags import own_image, shown, specified

KINDS = (MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE)


def describe(asked: Asked, request: m.DescribeImages) -> m.DescribeImagesAnswer:
    ids = [image_id(text, *KINDS) for text in request.image_ids]
    checked(request.max_results, request.next_token, ids, least=1)
    test = matching(request.filters, _FILTERS, lambda it: asked.core.tags.of(it.id))
    found = [
        it
        for it in asked.core.images.describe(asked.caller, list(dict.fromkeys(ids)))
        if _owned(it, request.owners, asked.caller)
        and _executable(it, request.executable_by, asked.caller)
        and test(it)
    ]
    dry(request.dry_run)
    if request.max_results is not None or request.next_token is not None:
        found.sort(key=_place)
    question = ("images", asked.caller.account_id, request.owners, request.executable_by, request.filters)
    rows, token = asked.ground.pager.page(found, _place, question, request.max_results, request.next_token)
    return m.DescribeImagesAnswer(tuple(_item(asked, it) for it in rows), token)


def _place(image: Image) -> tuple[int, str]:
    return image.created_at, image.id


def _owned(image: Image, owners: tuple[str, ...], caller: Caller) -> bool:
    return not owners or any(
        image.account_id == (caller.account_id if owner == "self" else owner) for owner in owners
    )


def _executable(image: Image, users: tuple[str, ...], caller: Caller) -> bool:
    """`all` = public ones; `self` or a number = those with a launch permission for that account by name, or its own."""
    return not users or any(
        image.public if user == "all" else _named(image, caller.account_id if user == "self" else user)
        for user in users
    )


def _named(image: Image, account: str) -> bool:
    return account == image.account_id or account in image.launch_accounts


def _state(image: Image) -> str:
    return image.state if image.removed_at is None else "deregistered"


def _item(asked: Asked, it: Image) -> m.ImageItem:
    return m.ImageItem(
        image_id=it.id,
        location=it.name,
        state=_state(it),
        owner_id=it.account_id,
        public=it.public,
        product_codes=(),
        architecture=it.architecture,
        image_type=it.kind,
        kernel_id=it.kernel_id,
        ramdisk_id=it.ramdisk_id,
        state_reason=Reason(it.reason_code, it.reason) if it.reason_code else None,
        name=it.name,
        description=it.description or None,
        root_device_type="instance-store",
        block_devices=(),
        virtualization_type="hvm",
        tags=shown(asked, it.id),
        creation_date=iso(it.created_at),
    )


_FILTERS = {
    "image-id": lambda it: (it.id,),
    "image-type": lambda it: (it.kind,),
    "architecture": lambda it: (it.architecture,),
    "name": lambda it: (it.name,),
    "manifest-location": lambda it: (it.name,),
    "owner-id": lambda it: (it.account_id,),
    "is-public": lambda it: ("true" if it.public else "false",),
    "description": lambda it: (it.description or None,),
    "state": lambda it: (_state(it),),
    "state-reason-code": lambda it: (it.reason_code or None,),
    "state-reason-message": lambda it: (it.reason or None,),
    "kernel-id": lambda it: (it.kernel_id,),
    "ramdisk-id": lambda it: (it.ramdisk_id,),
    "root-device-type": lambda it: ("instance-store",),
    "virtualization-type": lambda it: ("hvm",),
    "creation-date": lambda it: (iso(it.created_at),),
}


def register(asked: Asked, request: m.RegisterImage) -> m.RegisterImageAnswer:
    """The location names an upload in the cloud's own store.  Versions before 2009 had no names: the location is one."""
    refuse(
        request.virtualization_type != "hvm",
        f"VirtualizationType is {request.virtualization_type[:40]!r}; machines here are 'hvm'.",
    )
    tags = specified(request.tag_specifications, "image")
    kernel = image_id(request.kernel_id, KERNEL_IMAGE) if request.kernel_id else None
    ramdisk = image_id(request.ramdisk_id, RAMDISK_IMAGE) if request.ramdisk_id else None
    if request.dry_run:
        asked.core.images.describe(asked.caller, [id for id in (kernel, ramdisk) if id is not None])
        dry(True)
    image = asked.core.images.register(
        asked.caller,
        request.location,
        request.location[:128] if request.name is None else request.name,
        kernel,
        ramdisk,
        request.architecture or None,
    )
    _tag(asked, image, tags)
    return m.RegisterImageAnswer(image.id)


def create(asked: Asked, request: m.CreateImage) -> m.CreateImageAnswer:
    """Of a running machine as well: without a reboot, so it holds what a power cut would have left on the disk."""
    tags = specified(request.tag_specifications, "image")
    (id,) = instance_ids((request.instance_id,))
    if request.dry_run:
        list(asked.core.instances.describe(asked.caller, [id]))  # refuses what is not there
        dry(True)
    try:
        image = asked.core.images.create(asked.caller, id, request.name, request.description)
    except EucaError as error:
        if error.symbol != "name_duplicate":
            raise
        raise WireError("InvalidAMIName.Duplicate", error.sentence, symbol="name_duplicate") from None
    _tag(asked, image, tags)
    return m.CreateImageAnswer(image.id)


def _tag(asked: Asked, image: Image, tags: dict[str, str]) -> None:
    if not tags:
        return
    try:
        asked.core.tags.create(asked.caller, [image.id], tags)
    except EucaError:  # one whose tags are refused is not left behind
        asked.core.images.deregister(asked.caller, image.id)
        raise


def deregister(asked: Asked, request: m.DeregisterImage) -> Done:
    id = image_id(request.image_id, *KINDS)
    if request.dry_run:
        own_image(asked, id)
        dry(True)
    try:
        asked.core.images.deregister(asked.caller, id)
    except EucaError as error:
        if error.symbol != "state_conflict":
            raise
        raise WireError("DependencyViolation", error.sentence, symbol="state_conflict") from None
    return Done()


def enable(asked: Asked, request: m.SwitchImage) -> Done:
    return _switch(asked, request, True)


def disable(asked: Asked, request: m.SwitchImage) -> Done:
    return _switch(asked, request, False)


def _switch(asked: Asked, request: m.SwitchImage, enabled: bool) -> Done:
    id = image_id(request.image_id, *KINDS)
    if request.dry_run:
        own_image(asked, id)
        dry(True)
    try:
        asked.core.images.enable(asked.caller, id, enabled)
    except EucaError as error:
        if error.symbol != "state_conflict":
            raise
        raise WireError("InvalidAMIID.Unavailable", error.sentence, symbol="state_conflict") from None
    return Done()
