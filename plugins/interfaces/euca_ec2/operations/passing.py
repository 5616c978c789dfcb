"""What clients ask in passing.  Lists are empty; a resource asked for by name or id is refused, since it is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import WireError
from ..filters import matching
from ..messages import passing as m
from ..messages.networks import vpc_id
from ..messages.shown import group_id
from ..paging import checked
from .asked import Asked, dry


def none_of(code: str, what: str, named: Iterable[str]) -> None:
    for name in named:
        raise WireError(code, f"The {what} {name[:100]!r} does not exist.")


def _filters(names: str) -> Mapping[str, Callable[[Any], tuple[str, ...]]]:
    """Known by name, matched by nothing."""
    return {name: lambda it: () for name in names.split()}


_ADDRESSES = _filters(
    "allocation-id association-id domain instance-id network-border-group network-interface-id"
    " network-interface-owner-id private-ip-address public-ip"
)
_VOLUMES = _filters(
    "attachment.attach-time attachment.delete-on-termination attachment.device attachment.instance-id"
    " attachment.status availability-zone create-time encrypted fast-restored multi-attach-enabled size"
    " snapshot-id status volume-id volume-type"
)
_SNAPSHOTS = _filters(
    "description encrypted owner-alias owner-id progress snapshot-id start-time status storage-tier volume-id"
    " volume-size"
)


def addresses(asked: Asked, request: m.DescribeAddresses) -> m.DescribeAddressesAnswer:
    none_of("InvalidAddress.NotFound", "address", request.public_ips)
    none_of("InvalidAllocationID.NotFound", "allocation", request.ids)
    matching(request.filters, _ADDRESSES, lambda it: ())
    dry(request.dry_run)
    return m.DescribeAddressesAnswer()


def volumes(asked: Asked, request: m.DescribeVolumes) -> m.DescribeVolumesAnswer:
    none_of("InvalidVolume.NotFound", "volume", request.ids)
    _no_page(asked, request, "volumes")
    matching(request.filters, _VOLUMES, lambda it: ())
    dry(request.dry_run)
    return m.DescribeVolumesAnswer()


def snapshots(asked: Asked, request: m.DescribeSnapshots) -> m.DescribeSnapshotsAnswer:
    none_of("InvalidSnapshot.NotFound", "snapshot", request.ids)
    _no_page(asked, request, "snapshots")
    matching(request.filters, _SNAPSHOTS, lambda it: ())
    dry(request.dry_run)
    return m.DescribeSnapshotsAnswer()


def _no_page(asked: Asked, request: m.DescribeVolumes | m.DescribeSnapshots, what: str) -> None:
    """An empty list has one page, so no token can be good."""
    checked(request.max_results, request.next_token, request.ids)
    asked.ground.pager.page((), lambda it: (), (what,), request.max_results, request.next_token)


def groups(asked: Asked, request: m.DescribeSecurityGroups) -> m.DescribeSecurityGroupsAnswer:
    """Each account has one group, `default`, without rules of its own."""
    owner = asked.caller.account_id
    group = m.GroupItem(owner, group_id(owner), "default", "default group", (), vpc_id())
    checked(request.max_results, request.next_token, (*request.names, *request.ids))
    none_of("InvalidGroup.NotFound", "security group", (name for name in request.names if name != group.name))
    none_of(
        "InvalidGroup.NotFound",
        "security group",
        (id for id in request.ids if id not in (group.id, group.name)),
    )
    test = matching(request.filters, _GROUP_FILTERS, lambda it: ())
    dry(request.dry_run)
    question = ("groups", owner, request.filters)
    rows, token = asked.ground.pager.page(
        [group] if test(group) else [],
        lambda it: (it.id,),
        question,
        request.max_results,
        request.next_token,
    )
    return m.DescribeSecurityGroupsAnswer(tuple(rows), token)


_GROUP_FILTERS: dict[str, Callable[[m.GroupItem], tuple[str, ...]]] = {
    "group-name": lambda it: (it.name,),
    "group-id": lambda it: (it.id,),
    "owner-id": lambda it: (it.owner_id,),
    "description": lambda it: (it.description,),
    "vpc-id": lambda it: (it.vpc_id,),
}
