"""The one network that there is, in the words of VPCs: SDKs ask for the default VPC and its subnets before they launch."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from ..fields import FLAG, INTEGER, TEXTS, Items, out, param
from .places import FILTERS, Filter
from .tags import TagItem


def vpc_id() -> str:
    """There is one network, so its id is a constant: an instance is rendered without asking anybody for it."""
    return f"vpc-{zlib.crc32(b'default'):08x}"


def subnet_id(zone: str) -> str:
    return f"subnet-{zlib.crc32(zone.encode()):08x}"


@dataclass(frozen=True, slots=True)
class DescribeVpcs:
    ids: tuple[str, ...] = param("VpcId", TEXTS, soap="vpcSet/vpcId")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class VpcItem:
    id: str = out("vpcId")
    state: str = out("state")
    cidr: str = out("cidrBlock")
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since="2010-08-31")
    tenancy: str = out("instanceTenancy", since="2011-01-01")
    default: bool = out("isDefault", FLAG, since="2011-01-01")
    owner_id: str = out("ownerId", since="2016-11-15")


@dataclass(frozen=True, slots=True)
class DescribeVpcsAnswer:
    vpcs: tuple[VpcItem, ...] = out("vpcSet", Items(VpcItem))
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)


@dataclass(frozen=True, slots=True)
class DescribeSubnets:
    ids: tuple[str, ...] = param("SubnetId", TEXTS, soap="subnetSet/subnetId")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class SubnetItem:
    id: str = out("subnetId")
    state: str = out("state")
    vpc_id: str = out("vpcId")
    cidr: str = out("cidrBlock")
    zone: str = out("availabilityZone")
    default: bool = out("defaultForAz", FLAG, since="2011-01-01")
    public: bool = out("mapPublicIpOnLaunch", FLAG, since="2011-01-01")
    tags: tuple[TagItem, ...] = out("tagSet", Items(TagItem), since="2010-08-31")
    owner_id: str = out("ownerId", since="2016-11-15")


@dataclass(frozen=True, slots=True)
class DescribeSubnetsAnswer:
    subnets: tuple[SubnetItem, ...] = out("subnetSet", Items(SubnetItem))
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)
