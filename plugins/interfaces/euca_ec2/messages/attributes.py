"""Attributes of images and of instances: read, changed and set back one at a time."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

from dataclasses import dataclass

from ..fields import BASE64, FLAG, TEXTS, Items, Named, Numbered, Struct, out, param
from .shown import Group

OF_IMAGES = Named(
    ("launchPermission", "productCodes", "kernel", "ramdisk", "description", "blockDeviceMapping")
)
OF_INSTANCES = Named(
    (
        "instanceType",
        "kernel",
        "ramdisk",
        "userData",
        "disableApiTermination",
        "instanceInitiatedShutdownBehavior",
        "rootDeviceName",
        "blockDeviceMapping",
        "productCodes",
        "groupSet",
        "sourceDestCheck",
        "ebsOptimized",
    )
)


@dataclass(frozen=True, slots=True)
class Text:
    value: str | None = out("value", default=None)


@dataclass(frozen=True, slots=True)
class Bytes:
    value: bytes | None = out("value", BASE64, default=None)


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool = out("value", FLAG)


# ------------------------------------------------------------------------------------------------- images
@dataclass(frozen=True, slots=True)
class Permission:
    """Of one account, or of the group `all`."""

    user_id: str | None = param("UserId", default=None)
    group: str | None = param("Group", default=None)


@dataclass(frozen=True, slots=True)
class DescribeImageAttribute:
    image_id: str = param("ImageId")
    attribute: str = param("Attribute", OF_IMAGES)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class PermissionItem:
    user_id: str | None = out("userId", default=None)
    group: str | None = out("group", default=None)


@dataclass(frozen=True, slots=True)
class DescribeImageAttributeAnswer:
    image_id: str = out("imageId")
    permissions: tuple[PermissionItem, ...] | None = out(
        "launchPermission", Items(PermissionItem), default=None
    )
    product_codes: tuple[str, ...] | None = out("productCodes", Items(), default=None)
    kernel: Text | None = out("kernel", Struct(Text), default=None)
    ramdisk: Text | None = out("ramdisk", Struct(Text), default=None)
    description: Text | None = out("description", Struct(Text), default=None)
    block_devices: tuple[str, ...] | None = out("blockDeviceMapping", Items(), default=None)


@dataclass(frozen=True, slots=True)
class ModifyImageAttribute:
    """Launch permissions are spelt in two ways: as structures, and as an operation on lists of users and groups."""

    image_id: str = param("ImageId")
    attribute: str | None = param("Attribute", default=None)
    operation: str | None = param("OperationType", default=None)
    user_ids: tuple[str, ...] = param("UserId", TEXTS)
    groups: tuple[str, ...] = param("UserGroup", TEXTS)
    add: tuple[Permission, ...] = param(
        "LaunchPermission.Add", Numbered(Permission), soap="launchPermission/add"
    )
    remove: tuple[Permission, ...] = param(
        "LaunchPermission.Remove", Numbered(Permission), soap="launchPermission/remove"
    )
    product_codes: tuple[str, ...] = param("ProductCode", TEXTS, soap="productCodes/productCode")
    description: str | None = param("Description.Value", default=None)
    value: str | None = param("Value", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class ResetImageAttribute:
    image_id: str = param("ImageId")
    attribute: str = param("Attribute", Named(("launchPermission",)))
    dry_run: bool = param("DryRun", FLAG, False)


# ---------------------------------------------------------------------------------------------- instances
@dataclass(frozen=True, slots=True)
class DescribeInstanceAttribute:
    instance_id: str = param("InstanceId")
    attribute: str = param("Attribute", OF_INSTANCES)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DescribeInstanceAttributeAnswer:
    instance_id: str = out("instanceId")
    instance_type: Text | None = out("instanceType", Struct(Text), default=None)
    kernel: Text | None = out("kernel", Struct(Text), default=None)
    ramdisk: Text | None = out("ramdisk", Struct(Text), default=None)
    user_data: Bytes | None = out("userData", Struct(Bytes), default=None)
    protected: Truth | None = out("disableApiTermination", Struct(Truth), default=None)
    shutdown_behavior: Text | None = out("instanceInitiatedShutdownBehavior", Struct(Text), default=None)
    root_device_name: Text | None = out("rootDeviceName", Struct(Text), default=None)
    block_devices: tuple[str, ...] | None = out("blockDeviceMapping", Items(), default=None)
    product_codes: tuple[str, ...] | None = out("productCodes", Items(), default=None)
    groups: tuple[Group, ...] | None = out("groupSet", Items(Group), default=None)
    source_dest_check: Truth | None = out("sourceDestCheck", Struct(Truth), default=None)
    ebs_optimized: Truth | None = out("ebsOptimized", Struct(Truth), default=None)


@dataclass(frozen=True, slots=True)
class ModifyInstanceAttribute:
    """One attribute, as a structure of its own or as a name with a value."""

    instance_id: str = param("InstanceId")
    attribute: str | None = param("Attribute", default=None)
    value: str | None = param("Value", default=None, repr=False)
    instance_type: str | None = param("InstanceType.Value", default=None)
    kernel: str | None = param("Kernel.Value", default=None)
    ramdisk: str | None = param("Ramdisk.Value", default=None)
    user_data: bytes | None = param("UserData.Value", BASE64, None, repr=False)
    protected: bool | None = param(
        "DisableApiTermination.Value", FLAG, None, aliases=("DisableApiTermination",)
    )
    shutdown_behavior: str | None = param("InstanceInitiatedShutdownBehavior.Value", default=None)
    groups: tuple[str, ...] = param("GroupId", TEXTS, soap="groupSet/groupId")
    source_dest_check: bool | None = param("SourceDestCheck.Value", FLAG, None)
    ebs_optimized: bool | None = param("EbsOptimized.Value", FLAG, None, aliases=("EbsOptimized",))
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class ResetInstanceAttribute:
    instance_id: str = param("InstanceId")
    attribute: str = param("Attribute", Named(("kernel", "ramdisk", "sourceDestCheck")))
    dry_run: bool = param("DryRun", FLAG, False)
