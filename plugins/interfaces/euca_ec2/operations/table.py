"""Every action there is, and every one that is refused with its reason.  Anything else is InvalidAction, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..messages import attributes as a
from ..messages import images as i
from ..messages import instances as n
from ..messages import keys as k
from ..messages import networks as w
from ..messages import passing as p
from ..messages import places as z
from ..messages import shown as s
from ..messages import tags as t
from . import attributes, images, instances, keys, networks, passing, places, shown, tags
from .asked import Asked


@dataclass(frozen=True, slots=True)
class Action:
    request: type[Any]
    perform: Callable[[Asked, Any], Any]  # an answer message, or the steps to it
    since: str = ""  # the first version that has it


@dataclass(frozen=True, slots=True)
class Refused:
    """A known action that is not done here, whatever it says."""

    why: str
    since: str = ""


ACTIONS: dict[str, Action] = {
    # places
    "DescribeAvailabilityZones": Action(
        z.DescribeAvailabilityZones, places.describe_zones, since="2008-02-01"
    ),
    "DescribeRegions": Action(z.DescribeRegions, places.describe_regions, since="2008-12-01"),
    "DescribeInstanceTypes": Action(z.DescribeInstanceTypes, places.describe_types, since="2016-11-15"),
    "DescribeInstanceTypeOfferings": Action(
        z.DescribeInstanceTypeOfferings, places.describe_offerings, since="2016-11-15"
    ),
    "DescribeAccountAttributes": Action(
        z.DescribeAccountAttributes, places.describe_attributes, since="2013-02-01"
    ),
    # images
    "DescribeImages": Action(i.DescribeImages, images.describe),
    "RegisterImage": Action(i.RegisterImage, images.register),
    "CreateImage": Action(i.CreateImage, images.create, since="2009-10-31"),
    "DeregisterImage": Action(i.DeregisterImage, images.deregister),
    "DisableImage": Action(i.SwitchImage, images.disable, since="2016-11-15"),
    "EnableImage": Action(i.SwitchImage, images.enable, since="2016-11-15"),
    "DescribeImageAttribute": Action(a.DescribeImageAttribute, attributes.describe_image),
    "ModifyImageAttribute": Action(a.ModifyImageAttribute, attributes.modify_image),
    "ResetImageAttribute": Action(a.ResetImageAttribute, attributes.reset_image),
    # keys
    "CreateKeyPair": Action(k.CreateKeyPair, keys.create),
    "ImportKeyPair": Action(k.ImportKeyPair, keys.import_, since="2010-08-31"),
    "DescribeKeyPairs": Action(k.DescribeKeyPairs, keys.describe),
    "DeleteKeyPair": Action(k.DeleteKeyPair, keys.delete),
    # instances
    "RunInstances": Action(n.RunInstances, instances.run),
    "DescribeInstances": Action(s.DescribeInstances, shown.describe),
    "DescribeInstanceStatus": Action(s.DescribeInstanceStatus, shown.describe_status, since="2011-11-01"),
    "TerminateInstances": Action(n.TerminateInstances, instances.terminate),
    "RebootInstances": Action(n.RebootInstances, instances.reboot),
    "StopInstances": Action(n.StopInstances, instances.stop, since="2009-10-31"),
    "StartInstances": Action(n.StartInstances, instances.start, since="2009-10-31"),
    "GetConsoleOutput": Action(n.GetConsoleOutput, instances.console),
    "DescribeInstanceAttribute": Action(
        a.DescribeInstanceAttribute, attributes.describe_instance, since="2009-10-31"
    ),
    "ModifyInstanceAttribute": Action(
        a.ModifyInstanceAttribute, attributes.modify_instance, since="2009-10-31"
    ),
    "ResetInstanceAttribute": Action(a.ResetInstanceAttribute, attributes.reset_instance, since="2009-10-31"),
    # tags
    "CreateTags": Action(t.CreateTags, tags.create, since="2010-08-31"),
    "DeleteTags": Action(t.DeleteTags, tags.delete, since="2010-08-31"),
    "DescribeTags": Action(t.DescribeTags, tags.describe, since="2010-08-31"),
    # networks, and what clients ask in passing
    "DescribeVpcs": Action(w.DescribeVpcs, networks.vpcs, since="2009-07-15"),
    "DescribeSubnets": Action(w.DescribeSubnets, networks.subnets, since="2009-07-15"),
    "DescribeSecurityGroups": Action(p.DescribeSecurityGroups, passing.groups),
    "DescribeAddresses": Action(p.DescribeAddresses, passing.addresses, since="2008-02-01"),
    "DescribeVolumes": Action(p.DescribeVolumes, passing.volumes, since="2008-05-05"),
    "DescribeSnapshots": Action(p.DescribeSnapshots, passing.snapshots, since="2008-05-05"),
}

_GROUPS = "each account has the one group 'default', and the network does not filter by groups."
_ADDRESSES = "addresses are given at launch and cannot be moved."
_VOLUMES = "there are no volumes and no snapshots of them."
_NETWORKS = "there is the default VPC with one subnet per zone, and no other."
_SPOT = "give InstanceMarketOptions to RunInstances instead."

REFUSED: dict[str, Refused] = {
    "CreateSecurityGroup": Refused(_GROUPS),
    "DeleteSecurityGroup": Refused(_GROUPS),
    "AuthorizeSecurityGroupIngress": Refused(_GROUPS),
    "AuthorizeSecurityGroupEgress": Refused(_GROUPS, "2011-01-01"),
    "RevokeSecurityGroupIngress": Refused(_GROUPS),
    "RevokeSecurityGroupEgress": Refused(_GROUPS, "2011-01-01"),
    "AllocateAddress": Refused(_ADDRESSES, "2008-02-01"),
    "AssociateAddress": Refused(_ADDRESSES, "2008-02-01"),
    "DisassociateAddress": Refused(_ADDRESSES, "2008-02-01"),
    "ReleaseAddress": Refused(_ADDRESSES, "2008-02-01"),
    "CreateVolume": Refused(_VOLUMES, "2008-05-05"),
    "DeleteVolume": Refused(_VOLUMES, "2008-05-05"),
    "AttachVolume": Refused(_VOLUMES, "2008-05-05"),
    "DetachVolume": Refused(_VOLUMES, "2008-05-05"),
    "CreateSnapshot": Refused(_VOLUMES, "2008-05-05"),
    "DeleteSnapshot": Refused(_VOLUMES, "2008-05-05"),
    "CreateVpc": Refused(_NETWORKS, "2009-07-15"),
    "DeleteVpc": Refused(_NETWORKS, "2009-07-15"),
    "CreateSubnet": Refused(_NETWORKS, "2009-07-15"),
    "DeleteSubnet": Refused(_NETWORKS, "2009-07-15"),
    "RequestSpotInstances": Refused(_SPOT, "2009-10-31"),
    "MonitorInstances": Refused("there is no detailed monitoring.", "2009-04-04"),
    "UnmonitorInstances": Refused("there is no detailed monitoring.", "2009-04-04"),
    "GetPasswordData": Refused("machines are entered with a key pair.", "2008-12-01"),
}
