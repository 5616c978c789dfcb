"""Every action there is.  Anything else is InvalidAction, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..messages import images as image_messages
from ..messages import instances as instance_messages
from ..messages import keys as key_messages
from ..messages import networks as network_messages
from ..messages import passing as passing_messages
from ..messages import places as place_messages
from ..messages import shown as shown_messages
from . import images, instances, keys, networks, passing, places, shown
from .asked import Asked


@dataclass(frozen=True, slots=True)
class Action:
    request: type[Any]
    perform: Callable[[Asked, Any], Any]
    since: str = ""


ACTIONS: dict[str, Action] = {
    "DescribeAvailabilityZones": Action(
        place_messages.DescribeAvailabilityZones, places.describe_zones, since="2008-02-01"
    ),
    "DescribeRegions": Action(place_messages.DescribeRegions, places.describe_regions, since="2008-12-01"),
    "DescribeInstanceTypes": Action(place_messages.DescribeInstanceTypes, places.describe_types),
    "DescribeAccountAttributes": Action(place_messages.DescribeAccountAttributes, places.describe_attributes),
    "DescribeImages": Action(image_messages.DescribeImages, images.describe),
    "CreateKeyPair": Action(key_messages.CreateKeyPair, keys.create),
    "ImportKeyPair": Action(key_messages.ImportKeyPair, keys.import_),
    "DescribeKeyPairs": Action(key_messages.DescribeKeyPairs, keys.describe),
    "DeleteKeyPair": Action(key_messages.DeleteKeyPair, keys.delete),
    "RunInstances": Action(instance_messages.RunInstances, instances.run),
    "TerminateInstances": Action(instance_messages.TerminateInstances, instances.terminate),
    "RebootInstances": Action(instance_messages.RebootInstances, instances.reboot),
    "StopInstances": Action(instance_messages.StopInstances, instances.stop),
    "StartInstances": Action(instance_messages.StartInstances, instances.start),
    "GetConsoleOutput": Action(instance_messages.GetConsoleOutput, instances.console),
    "DescribeInstances": Action(shown_messages.DescribeInstances, shown.describe),
    "DescribeInstanceStatus": Action(shown_messages.DescribeInstanceStatus, shown.describe_status),
    "DescribeAddresses": Action(passing_messages.DescribeAddresses, passing.addresses),
    "DescribeVolumes": Action(passing_messages.DescribeVolumes, passing.volumes),
    "DescribeSnapshots": Action(passing_messages.DescribeSnapshots, passing.snapshots),
    "DescribeTags": Action(passing_messages.DescribeTags, passing.tags),
    "DescribeVpcs": Action(network_messages.DescribeVpcs, networks.vpcs),
    "DescribeSubnets": Action(network_messages.DescribeSubnets, networks.subnets),
    "DescribeSecurityGroups": Action(passing_messages.DescribeSecurityGroups, passing.groups),
}
