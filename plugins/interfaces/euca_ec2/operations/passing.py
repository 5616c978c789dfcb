"""What clients ask in passing.  Lists are empty; a resource asked for by name or id is refused, since it is not there."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import WireError
from ..filters import matching
from ..messages import passing as m
from ..messages.shown import group_id
from .asked import Asked, dry


def none_of(code: str, what: str, named: Iterable[str]) -> None:
    for name in named:
        raise WireError(code, f"The {what} {name[:100]!r} does not exist.")


def addresses(asked: Asked, request: m.DescribeAddresses) -> m.DescribeAddressesAnswer:
    none_of("InvalidAddress.NotFound", "address", request.public_ips)
    none_of("InvalidAllocationID.NotFound", "allocation", request.ids)
    dry(request.dry_run)
    return m.DescribeAddressesAnswer()


def volumes(asked: Asked, request: m.DescribeVolumes) -> m.DescribeVolumesAnswer:
    none_of("InvalidVolume.NotFound", "volume", request.ids)
    dry(request.dry_run)
    return m.DescribeVolumesAnswer()


def snapshots(asked: Asked, request: m.DescribeSnapshots) -> m.DescribeSnapshotsAnswer:
    none_of("InvalidSnapshot.NotFound", "snapshot", request.ids)
    dry(request.dry_run)
    return m.DescribeSnapshotsAnswer()


def tags(asked: Asked, request: m.DescribeTags) -> m.DescribeTagsAnswer:
    dry(request.dry_run)
    return m.DescribeTagsAnswer()


def groups(asked: Asked, request: m.DescribeSecurityGroups) -> m.DescribeSecurityGroupsAnswer:
    """Each account has one group, `default`, without rules of its own."""
    owner = asked.caller.account_id
    group = m.GroupItem(owner, group_id(owner), "default", "default group", ())
    none_of("InvalidGroup.NotFound", "security group", (name for name in request.names if name != group.name))
    none_of(
        "InvalidGroup.NotFound",
        "security group",
        (id for id in request.ids if id not in (group.id, group.name)),
    )
    test = matching(
        request.filters,
        {
            "group-name": lambda it: (it.name,),
            "group-id": lambda it: (it.id,),
            "owner-id": lambda it: (it.owner_id,),
            "description": lambda it: (it.description,),
        },
    )
    dry(request.dry_run)
    return m.DescribeSecurityGroupsAnswer((group,) if test(group) else ())
