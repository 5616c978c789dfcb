"""The one network that there is, in the words of VPCs: SDKs ask for the default VPC and its subnets before they launch."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import FLAG, INTEGER, TEXTS, Items, out, param
from .places import FILTERS, Filter


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
    owner_id: str = out("ownerId")
    state: str = out("state")
    cidr: str = out("cidrBlock")
    tenancy: str = out("instanceTenancy")
    default: bool = out("isDefault", FLAG)


@dataclass(frozen=True, slots=True)
class DescribeVpcsAnswer:
    vpcs: tuple[VpcItem, ...] = out("vpcSet", Items(VpcItem))


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
    owner_id: str = out("ownerId")
    state: str = out("state")
    vpc_id: str = out("vpcId")
    cidr: str = out("cidrBlock")
    zone: str = out("availabilityZone")
    default: bool = out("defaultForAz", FLAG)
    public: bool = out("mapPublicIpOnLaunch", FLAG)


@dataclass(frozen=True, slots=True)
class DescribeSubnetsAnswer:
    subnets: tuple[SubnetItem, ...] = out("subnetSet", Items(SubnetItem))
