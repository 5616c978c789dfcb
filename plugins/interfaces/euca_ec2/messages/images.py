"""Images."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

from dataclasses import dataclass

from ..fields import FLAG, INTEGER, TEXTS, Items, Numbered, Struct, out, param
from .places import FILTERS, Filter
from .shown import Reason
from .tags import SPECIFICATIONS, TagItem, TagSpecification


@dataclass(frozen=True, slots=True)
class DescribeImages:
    executable_by: tuple[str, ...] = param("ExecutableBy", TEXTS, soap="executableBySet/user")
    image_ids: tuple[str, ...] = param("ImageId", TEXTS, soap="imagesSet/imageId")
    owners: tuple[str, ...] = param("Owner", TEXTS, soap="ownersSet/owner")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    include_deprecated: bool = param("IncludeDeprecated", FLAG, False, ignored=True)
    include_disabled: bool = param("IncludeDisabled", FLAG, False, ignored=True)
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class ImageItem:
    image_id: str = out("imageId")
    location: str = out("imageLocation")
    state: str = out("imageState")
    owner_id: str = out("imageOwnerId")
    public: bool = out("isPublic", FLAG)
    product_codes: tuple[str, ...] = out("productCodes", Items())
    architecture: str = out("architecture", since="2008-02-01")
    image_type: str = out("imageType", since="2008-02-01")
    kernel_id: str | None = out("kernelId", since="2008-02-01")
    ramdisk_id: str | None = out("ramdiskId", since="2008-02-01")
    state_reason: Reason | None = out("stateReason", Struct(Reason), since="2009-10-31")
    name: str = out("name", since="2009-10-31")
    description: str | None = out("description", since="2009-10-31")
    root_device_type: str = out("rootDeviceType", since="2009-10-31")
    block_devices: tuple[str, ...] = out("blockDeviceMapping", Items(), since="2009-10-31")
    virtualization_type: str = out("virtualizationType", since="2010-06-15")
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since="2010-08-31")
    creation_date: str = out("creationDate", since="2011-01-01")


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    """Of volumes, which there are none of: the image holds the root disk, whatever is said of others."""

    device_name: str | None = param("DeviceName", default=None)
    virtual_name: str | None = param("VirtualName", default=None)
    no_device: str | None = param("NoDevice", default=None)
    delete: bool = param("Ebs.DeleteOnTermination", FLAG, False)
    snapshot_id: str | None = param("Ebs.SnapshotId", default=None)
    size: int | None = param("Ebs.VolumeSize", INTEGER, None)
    type: str | None = param("Ebs.VolumeType", default=None)
    iops: int | None = param("Ebs.Iops", INTEGER, None)
    encrypted: bool = param("Ebs.Encrypted", FLAG, False)


DEVICES = Numbered(DeviceMapping)


@dataclass(frozen=True, slots=True)
class CreateImage:
    instance_id: str = param("InstanceId")
    name: str = param("Name")
    description: str = param("Description", default="")
    no_reboot: bool = param("NoReboot", FLAG, False, ignored=True)  # it never reboots
    block_devices: tuple[DeviceMapping, ...] = param("BlockDeviceMapping", DEVICES, ignored=True)
    tag_specifications: tuple[TagSpecification, ...] = param("TagSpecification", SPECIFICATIONS)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class CreateImageAnswer:
    image_id: str = out("imageId")


@dataclass(frozen=True, slots=True)
class DescribeImagesAnswer:
    images: tuple[ImageItem, ...] = out("imagesSet", Items(ImageItem))
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)


@dataclass(frozen=True, slots=True)
class RegisterImage:
    location: str = param("ImageLocation")
    name: str | None = param("Name", default=None)
    description: str | None = param("Description", default=None, ignored=True)
    architecture: str | None = param("Architecture", default=None)
    kernel_id: str | None = param("KernelId", default=None)
    ramdisk_id: str | None = param("RamdiskId", default=None)
    root_device_name: str | None = param("RootDeviceName", default=None, ignored=True)
    virtualization_type: str = param("VirtualizationType", default="hvm")
    ena_support: bool = param("EnaSupport", FLAG, False, ignored=True)
    tag_specifications: tuple[TagSpecification, ...] = param("TagSpecification", SPECIFICATIONS)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class RegisterImageAnswer:
    image_id: str = out("imageId")


@dataclass(frozen=True, slots=True)
class DeregisterImage:
    image_id: str = param("ImageId")
    delete_snapshots: bool = param("DeleteAssociatedSnapshots", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class SwitchImage:
    """EnableImage, DisableImage."""

    image_id: str = param("ImageId")
    dry_run: bool = param("DryRun", FLAG, False)
