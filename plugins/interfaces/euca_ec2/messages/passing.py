"""What clients ask in passing and this cloud does not have yet: the honest answer is an empty list."""

from __future__ import annotations

from dataclasses import dataclass

from ..fields import FLAG, INTEGER, TEXTS, Items, out, param
from .places import FILTERS, Filter


@dataclass(frozen=True, slots=True)
class DescribeAddresses:
    public_ips: tuple[str, ...] = param("PublicIp", TEXTS, soap="publicIpsSet/publicIp")
    ids: tuple[str, ...] = param("AllocationId", TEXTS)
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DescribeAddressesAnswer:
    addresses: tuple[str, ...] = out("addressesSet", Items(), default=())


@dataclass(frozen=True, slots=True)
class DescribeVolumes:
    ids: tuple[str, ...] = param("VolumeId", TEXTS, soap="volumeSet/volumeId")
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DescribeVolumesAnswer:
    volumes: tuple[str, ...] = out("volumeSet", Items(), default=())


@dataclass(frozen=True, slots=True)
class DescribeSnapshots:
    ids: tuple[str, ...] = param("SnapshotId", TEXTS, soap="snapshotSet/snapshotId")
    owners: tuple[str, ...] = param("Owner", TEXTS, soap="ownersSet/owner", ignored=True)
    restorable_by: tuple[str, ...] = param("RestorableBy", TEXTS, soap="restorableBySet/user", ignored=True)
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class DescribeSnapshotsAnswer:
    snapshots: tuple[str, ...] = out("snapshotSet", Items(), default=())


@dataclass(frozen=True, slots=True)
class DescribeSecurityGroups:
    names: tuple[str, ...] = param("GroupName", TEXTS, soap="securityGroupSet/groupName")
    ids: tuple[str, ...] = param("GroupId", TEXTS)
    filters: tuple[Filter, ...] = param("Filter", FILTERS, soap="filterSet")
    max_results: int | None = param("MaxResults", INTEGER, None)
    next_token: str | None = param("NextToken", default=None)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class GroupItem:
    owner_id: str = out("ownerId")
    id: str = out("groupId", since="2011-01-01")
    name: str = out("groupName")
    description: str = out("groupDescription")
    permissions: tuple[str, ...] = out("ipPermissions", Items())
    vpc_id: str = out("vpcId", since="2011-01-01")
    tags: tuple[str, ...] = out("tagSet", Items(), since="2011-01-01", default=())


@dataclass(frozen=True, slots=True)
class DescribeSecurityGroupsAnswer:
    groups: tuple[GroupItem, ...] = out("securityGroupInfo", Items(GroupItem))
    next_token: str | None = out("nextToken", since="2011-01-01", default=None)
