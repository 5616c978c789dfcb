"""Images."""

from __future__ import annotations

from euca_rpc.clock import iso
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE
from euca_rpc.types import Caller, Image

from ..filters import matching
from ..messages import images as m
from ..paging import checked
from .asked import Asked, dry, image_id


def describe(asked: Asked, request: m.DescribeImages) -> m.DescribeImagesAnswer:
    ids = [image_id(text, MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE) for text in request.image_ids]
    checked(request.max_results, request.next_token, ids, least=1)
    test = matching(request.filters, _FILTERS)
    dry(request.dry_run)
    found = [
        it
        for it in asked.core.images.describe(asked.caller, list(dict.fromkeys(ids)))
        if _owned(it, request.owners, asked.caller)
        and _executable(it, request.executable_by, asked.caller)
        and test(it)
    ]
    if request.max_results is not None or request.next_token is not None:
        found.sort(key=_place)
    question = ("images", asked.caller.account_id, request.owners, request.executable_by, request.filters)
    rows, token = asked.ground.pager.page(found, _place, question, request.max_results, request.next_token)
    return m.DescribeImagesAnswer(tuple(_item(it) for it in rows), token)


def _place(image: Image) -> tuple[int, str]:
    return image.created_at, image.id


def _owned(image: Image, owners: tuple[str, ...], caller: Caller) -> bool:
    return not owners or any(
        image.account_id == (caller.account_id if owner == "self" else owner) for owner in owners
    )


def _executable(image: Image, users: tuple[str, ...], caller: Caller) -> bool:
    """`all` = public ones; `self` = those the account may launch by name, which are its own."""
    return not users or any(
        image.public if user == "all" else image.account_id == (caller.account_id if user == "self" else user)
        for user in users
    )


def _item(it: Image) -> m.ImageItem:
    return m.ImageItem(
        image_id=it.id,
        location=it.name,
        state="available" if it.removed_at is None else "deregistered",
        owner_id=it.account_id,
        public=it.public,
        product_codes=(),
        architecture=it.architecture,
        image_type=it.kind,
        kernel_id=it.kernel_id,
        ramdisk_id=it.ramdisk_id,
        name=it.name,
        root_device_type="instance-store",
        block_devices=(),
        virtualization_type="hvm",
        tags=(),
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
    "state": lambda it: ("available" if it.removed_at is None else "deregistered",),
    "kernel-id": lambda it: (it.kernel_id,),
    "ramdisk-id": lambda it: (it.ramdisk_id,),
    "root-device-type": lambda it: ("instance-store",),
    "virtualization-type": lambda it: ("hvm",),
    "creation-date": lambda it: (iso(it.created_at),),
}
