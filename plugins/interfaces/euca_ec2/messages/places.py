"""Zones, regions, VM types, and what an account is told about itself."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

from dataclasses import dataclass

from ..fields import FLAG, INTEGER, TEXTS, Items, Named, Numbered, Struct, out, param


@dataclass(frozen=True, slots=True)
class Filter:
    name: str = param("Name")
    values: tuple[str, ...] = param("Value", TEXTS, soap="valueSet/value")


FILTERS = Numbered(Filter)
LOCATION_TYPES = Named(("region", "availability-zone", "availability-zone-id"))


# ------------------------------------------------------------------------------------------------- zones
@dataclass(frozen=True, slots=True)
class DescribeAvailabilityZones:
    zone_names: tuple[str, ...] = param("ZoneName", TEXTS, soap="availabilityZoneSet/zoneName")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    all_zones: bool = param("AllAvailabilityZones", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Message:
    message: str = out("message")


@dataclass(frozen=True, slots=True)
class ZoneItem:
    zone_name: str = out("zoneName")
    old_state: str = out("zoneState", until="2009-08-15")  # the text of 1.0: UP 002/002
    state: str = out("zoneState", since="2009-08-15")
    region_name: str = out("regionName", since="2008-12-01")
    messages: tuple[Message, ...] = out("messageSet", Items(Message), since="2009-08-15")


@dataclass(frozen=True, slots=True)
class DescribeAvailabilityZonesAnswer:
    zones: tuple[ZoneItem, ...] = out("availabilityZoneInfo", Items(ZoneItem))


@dataclass(frozen=True, slots=True)
class DescribeRegions:
    region_names: tuple[str, ...] = param("RegionName", TEXTS, soap="regionSet/regionName")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    all_regions: bool = param("AllRegions", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class RegionItem:
    region_name: str = out("regionName")
    region_endpoint: str = out("regionEndpoint")


@dataclass(frozen=True, slots=True)
class DescribeRegionsAnswer:
    regions: tuple[RegionItem, ...] = out("regionInfo", Items(RegionItem))


# ---------------------------------------------------------------------------------------------- VM types
@dataclass(frozen=True, slots=True)
class DescribeInstanceTypes:
    instance_types: tuple[str, ...] = param("InstanceType", TEXTS)
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Cpus:
    default_vcpus: int = out("defaultVCpus", INTEGER)
    default_cores: int = out("defaultCores", INTEGER)
    threads_per_core: int = out("defaultThreadsPerCore", INTEGER)


@dataclass(frozen=True, slots=True)
class Memory:
    size: int = out("sizeInMiB", INTEGER)


@dataclass(frozen=True, slots=True)
class Storage:
    total: int = out("totalSizeInGB", INTEGER)


@dataclass(frozen=True, slots=True)
class TypeItem:
    instance_type: str = out("instanceType")
    current_generation: bool = out("currentGeneration", FLAG)
    usage_classes: tuple[str, ...] = out("supportedUsageClasses", Items())
    root_device_types: tuple[str, ...] = out("supportedRootDeviceTypes", Items())
    bare_metal: bool = out("bareMetal", FLAG)
    cpus: Cpus = out("vCpuInfo", Struct(Cpus))
    memory: Memory = out("memoryInfo", Struct(Memory))
    storage_supported: bool = out("instanceStorageSupported", FLAG)
    storage: Storage = out("instanceStorageInfo", Struct(Storage))


@dataclass(frozen=True, slots=True)
class DescribeInstanceTypesAnswer:
    types: tuple[TypeItem, ...] = out("instanceTypeSet", Items(TypeItem))
    next_token: str | None = out("nextToken", default=None)


@dataclass(frozen=True, slots=True)
class DescribeInstanceTypeOfferings:
    location_type: str = param("LocationType", LOCATION_TYPES, "region")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class Offering:
    instance_type: str = out("instanceType")
    location_type: str = out("locationType")
    location: str = out("location")


@dataclass(frozen=True, slots=True)
class DescribeInstanceTypeOfferingsAnswer:
    offerings: tuple[Offering, ...] = out("instanceTypeOfferingSet", Items(Offering))
    next_token: str | None = out("nextToken", default=None)


# --------------------------------------------------------------------------------------------- attributes
@dataclass(frozen=True, slots=True)
class DescribeAccountAttributes:
    names: tuple[str, ...] = param("AttributeName", TEXTS, aliases=("attributeName",))
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class AttributeValue:
    value: str = out("attributeValue")


@dataclass(frozen=True, slots=True)
class AttributeItem:
    name: str = out("attributeName")
    values: tuple[AttributeValue, ...] = out("attributeValueSet", Items(AttributeValue))


@dataclass(frozen=True, slots=True)
class DescribeAccountAttributesAnswer:
    attributes: tuple[AttributeItem, ...] = out("accountAttributeSet", Items(AttributeItem))
