"""Attributes of images and of instances.  One at a time is described, changed or set back, as in EC2."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.ids import KERNEL_IMAGE, MACHINE_IMAGE, RAMDISK_IMAGE
from euca_rpc.types import Image, Instance

from ..messages import attributes as m
from ..messages.keys import Done
from ..messages.shown import default_group
from .asked import Asked, default_groups, dry, image_id, instance_ids, refuse
from .tags import own_image

IMAGES = (MACHINE_IMAGE, KERNEL_IMAGE, RAMDISK_IMAGE)


# ------------------------------------------------------------------------------------------------- images
def describe_image(asked: Asked, request: m.DescribeImageAttribute) -> m.DescribeImageAttributeAnswer:
    """Who may launch an image is told to its owner only."""
    id = image_id(request.image_id, *IMAGES)
    if asked.version < _SINCE.get(request.attribute, ""):
        raise EucaError(
            "parameter_invalid", f"Version {asked.version} has no attribute {request.attribute!r} of images."
        )
    (image,) = asked.core.images.describe(asked.caller, [id])
    if request.attribute == "launchPermission":
        own_image(asked, id)
    dry(request.dry_run)
    name, read = _IMAGE[request.attribute]
    return m.DescribeImageAttributeAnswer(id, **{name: read(image)})


def _permissions(image: Image) -> tuple[m.PermissionItem, ...]:
    everybody = (m.PermissionItem(group="all"),) if image.public else ()
    return everybody + tuple(m.PermissionItem(account) for account in image.launch_accounts)


_IMAGE: dict[str, tuple[str, Callable[[Image], Any]]] = {
    "launchPermission": ("permissions", _permissions),
    "productCodes": ("product_codes", lambda it: ()),
    "kernel": ("kernel", lambda it: m.Text(it.kernel_id)),
    "ramdisk": ("ramdisk", lambda it: m.Text(it.ramdisk_id)),
    "description": ("description", lambda it: m.Text()),
    "blockDeviceMapping": ("block_devices", lambda it: ()),
}
_SINCE = {"kernel": "2008-02-01", "ramdisk": "2008-02-01", "description": "2009-10-31"}


def modify_image(asked: Asked, request: m.ModifyImageAttribute) -> Done:
    id = image_id(request.image_id, *IMAGES)
    refuse(
        bool(request.product_codes) or request.attribute == "productCodes",
        "Product codes are not kept here: nothing is sold.",
    )
    refuse(
        request.description is not None or request.value is not None or request.attribute == "description",
        "Descriptions of images are not kept here; put it into a tag.",
    )
    if request.attribute not in (None, "launchPermission"):
        raise EucaError(
            "parameter_invalid", f"The attribute {request.attribute[:40]!r} of an image cannot be changed."
        )
    add, remove = _accounts(request.add), _accounts(request.remove)
    listed = [*request.user_ids, *(_group(it) for it in request.groups)]
    if request.operation not in (None, "add", "remove"):
        raise EucaError(
            "parameter_invalid", f"OperationType is {request.operation[:40]!r}; it must be 'add' or 'remove'."
        )
    if (request.operation is None) != (not listed):
        raise EucaError(
            "parameter_missing", "OperationType and UserId.1 or UserGroup.1 must be given together."
        )
    (remove if request.operation == "remove" else add).extend(listed)
    if not add and not remove:
        raise EucaError("parameter_missing", "The request must contain a launch permission to add or remove.")
    if request.dry_run:
        own_image(asked, id)
        dry(True)
    asked.core.images.permit(asked.caller, id, add, remove)
    return Done()


def _accounts(permissions: Sequence[m.Permission]) -> list[str]:
    named = []
    for it in permissions:
        if (it.user_id is None) == (it.group is None):
            raise EucaError(
                "parameter_conflict",
                "A launch permission is for either a UserId or a Group; name one of them.",
            )
        named.append(_group(it.group) if it.group is not None else it.user_id or "")
    return named


def _group(name: str) -> str:
    if name != "all":
        raise EucaError("parameter_invalid", f"The group {name[:40]!r} does not exist; there is only 'all'.")
    return name


def reset_image(asked: Asked, request: m.ResetImageAttribute) -> Done:
    id = image_id(request.image_id, *IMAGES)
    if request.dry_run:
        own_image(asked, id)
        dry(True)
    asked.core.images.permit(asked.caller, id, reset=True)
    return Done()


# ---------------------------------------------------------------------------------------------- instances
def _instance(asked: Asked, spelt: str) -> Instance:
    ((_, (status,)),) = asked.core.instances.describe(asked.caller, instance_ids((spelt,)))
    return status.instance


def describe_instance(
    asked: Asked, request: m.DescribeInstanceAttribute
) -> m.DescribeInstanceAttributeAnswer:
    instance = _instance(asked, request.instance_id)
    dry(request.dry_run)
    name, read = _INSTANCE[request.attribute]
    return m.DescribeInstanceAttributeAnswer(instance.id, **{name: read(instance)})


_INSTANCE: dict[str, tuple[str, Callable[[Instance], Any]]] = {
    "instanceType": ("instance_type", lambda it: m.Text(it.vm_type)),
    "kernel": ("kernel", lambda it: m.Text(it.kernel_id)),
    "ramdisk": ("ramdisk", lambda it: m.Text(it.ramdisk_id)),
    "userData": ("user_data", lambda it: m.Bytes(it.user_data or None)),
    "disableApiTermination": ("protected", lambda it: m.Truth(it.protected)),
    "instanceInitiatedShutdownBehavior": ("shutdown_behavior", lambda it: m.Text(it.shutdown_behavior)),
    "rootDeviceName": ("root_device_name", lambda it: m.Text()),
    "blockDeviceMapping": ("block_devices", lambda it: ()),
    "productCodes": ("product_codes", lambda it: ()),
    "groupSet": ("groups", lambda it: (default_group(it.account_id),)),
    "sourceDestCheck": ("source_dest_check", lambda it: m.Truth(True)),
    "ebsOptimized": ("ebs_optimized", lambda it: m.Truth(False)),
}

Change = tuple[str, str | bytes | bool]  # the core's attribute, its value


def modify_instance(asked: Asked, request: m.ModifyInstanceAttribute) -> Done:
    instance = _instance(asked, request.instance_id)
    given: list[tuple[str, Any]] = [
        (name, value) for name, field in _STRUCTURES.items() if (value := getattr(request, field)) is not None
    ]
    if request.groups:
        given.append(("groupSet", request.groups))
    if request.attribute is not None and not (request.attribute == "groupSet" and request.groups):
        given.append((request.attribute, request.value))
    if not given:
        raise EucaError("parameter_missing", "The request must contain an attribute to change.")
    if len(given) > 1:
        names = ", ".join(name[:40] for name, _ in given)
        raise EucaError("parameter_conflict", f"One attribute can be changed at a time; there are: {names}.")
    change = _change(asked, *given[0])
    dry(request.dry_run)
    if change is not None:
        asked.core.instances.modify(asked.caller, instance.id, *change)
    return Done()


_STRUCTURES = {
    "instanceType": "instance_type",
    "kernel": "kernel",
    "ramdisk": "ramdisk",
    "userData": "user_data",
    "disableApiTermination": "protected",
    "instanceInitiatedShutdownBehavior": "shutdown_behavior",
    "sourceDestCheck": "source_dest_check",
    "ebsOptimized": "ebs_optimized",
}


def _change(asked: Asked, name: str, value: Any) -> Change | None:
    """What it means to the core; None for what is so already."""
    if value is None:
        raise EucaError(
            "parameter_missing", f"The request must contain the parameter Value, for {name[:40]}."
        )
    match name:
        case "instanceType":
            return "vm_type", value
        case "kernel":
            return "kernel_id", image_id(value, KERNEL_IMAGE)
        case "ramdisk":
            return "ramdisk_id", image_id(value, RAMDISK_IMAGE)
        case "userData":
            return "user_data", value if isinstance(value, bytes) else _decoded(value)
        case "disableApiTermination":
            return "protected", _truth(name, value)
        case "instanceInitiatedShutdownBehavior":
            return "shutdown_behavior", value
        case "sourceDestCheck":
            refuse(
                not _truth(name, value), "SourceDestCheck cannot be false here: addresses are always checked."
            )
            return None
        case "ebsOptimized":
            refuse(_truth(name, value), "EbsOptimized cannot be true here: there are no volumes.")
            return None
        case "groupSet":
            default_groups(asked, value if isinstance(value, tuple) else (value,))
            return None
    known = ", ".join([*_STRUCTURES, "groupSet"])
    raise EucaError(
        "parameter_invalid", f"The attribute {name[:40]!r} cannot be changed; these can: {known}."
    )


def _truth(name: str, value: str | bool) -> bool:
    if isinstance(value, bool):
        return value
    if value.lower() not in ("true", "false"):
        raise EucaError("parameter_invalid", f"Value ({value[:40]}) for {name} is neither true nor false.")
    return value.lower() == "true"


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise EucaError("parameter_invalid", "The value of userData is not base64.") from None


def reset_instance(asked: Asked, request: m.ResetInstanceAttribute) -> Done:
    """Kernel and ramdisk become those of the image again."""
    instance = _instance(asked, request.instance_id)
    if request.attribute == "sourceDestCheck":
        dry(request.dry_run)
        return Done()
    (image,) = asked.core.images.describe(asked.caller, [instance.image_id])
    own = image.kernel_id if request.attribute == "kernel" else image.ramdisk_id
    if own is None:
        raise EucaError("unsupported", f"The image {image.id} names no {request.attribute} to go back to.")
    dry(request.dry_run)
    asked.core.instances.modify(asked.caller, instance.id, f"{request.attribute}_id", own)
    return Done()
