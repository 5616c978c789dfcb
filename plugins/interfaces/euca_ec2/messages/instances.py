"""Instances and their reservations: what changes them.  What shows them is in `shown`."""

# ruff: noqa: RUF009 -- fields are declared by calls
from __future__ import annotations

from dataclasses import dataclass

from euca_rpc.clock import Micros
from euca_rpc.frozen import quick

from ..fields import BASE64, FLAG, INTEGER, MOMENT, TEXTS, Items, Struct, needed, out, param
from .tags import SPECIFICATIONS, TagSpecification


@dataclass(frozen=True, slots=True)
class State:
    code: int = out("code", INTEGER)
    name: str = out("name")


# ------------------------------------------------------------------------------------------------- launch
@quick
@dataclass(frozen=True, slots=True)
class RunInstances:
    image_id: str = param("ImageId")
    min_count: int = param("MinCount", INTEGER)
    max_count: int = param("MaxCount", INTEGER)
    key_name: str | None = param("KeyName", default=None)
    group_names: tuple[str, ...] = param("SecurityGroup", TEXTS)  # SOAP names them where it names ids
    group_ids: tuple[str, ...] = param("SecurityGroupId", TEXTS, soap="groupSet/groupId")
    additional_info: str = param("AdditionalInfo", default="")  # hints for policies, as lines name=value
    user_data: bytes = param("UserData", BASE64, b"", soap="userData/data", repr=False)
    addressing_type: str = param("AddressingType", default="public")
    instance_type: str | None = param("InstanceType", default=None)
    zone: str | None = param("Placement.AvailabilityZone", default=None)
    placement_group: str | None = param("Placement.GroupName", default=None)
    tenancy: str = param("Placement.Tenancy", default="default")
    kernel_id: str | None = param("KernelId", default=None)
    ramdisk_id: str | None = param("RamdiskId", default=None)
    monitoring: bool = param("Monitoring.Enabled", FLAG, False, ignored=True)
    keep: bool = param("DisableApiTermination", FLAG, False)
    shutdown_behavior: str = param("InstanceInitiatedShutdownBehavior", default="terminate")
    subnet_id: str | None = param("SubnetId", default=None)
    client_token: str | None = param("ClientToken", default=None)
    ebs_optimized: bool = param("EbsOptimized", FLAG, False)
    market_type: str | None = param("InstanceMarketOptions.MarketType", default=None)
    max_price: str | None = param("InstanceMarketOptions.SpotOptions.MaxPrice", default=None)
    spot_type: str = param("InstanceMarketOptions.SpotOptions.SpotInstanceType", default="one-time")
    interruption: str = param(
        "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior", default="terminate"
    )
    tag_specifications: tuple[TagSpecification, ...] = param("TagSpecification", SPECIFICATIONS)
    dry_run: bool = param("DryRun", FLAG, False)


# ---------------------------------------------------------------------------------------- terminate and so on
@dataclass(frozen=True, slots=True)
class TerminateInstances:
    ids: tuple[str, ...] = needed("InstanceId", soap="instancesSet/instanceId")
    force: bool = param("Force", FLAG, False, ignored=True)
    skip_shutdown: bool = param("SkipOsShutdown", FLAG, False, ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class RebootInstances:
    ids: tuple[str, ...] = needed("InstanceId", soap="instancesSet/instanceId")
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class StopInstances:
    ids: tuple[str, ...] = needed("InstanceId", soap="instancesSet/instanceId")
    force: bool = param("Force", FLAG, False, ignored=True)
    skip_shutdown: bool = param("SkipOsShutdown", FLAG, False, ignored=True)
    hibernate: bool = param("Hibernate", FLAG, False)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class StartInstances:
    ids: tuple[str, ...] = needed("InstanceId", soap="instancesSet/instanceId")
    additional_info: str = param("AdditionalInfo", default="", ignored=True)
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class StateChange:
    instance_id: str = out("instanceId")
    shutdown_state: State = out("shutdownState", Struct(State), until="2009-10-31")
    current_state: State = out("currentState", Struct(State), since="2009-10-31")
    previous_state: State = out("previousState", Struct(State))


@dataclass(frozen=True, slots=True)
class StateChanges:
    changes: tuple[StateChange, ...] = out("instancesSet", Items(StateChange))


# ------------------------------------------------------------------------------------------------ console
@dataclass(frozen=True, slots=True)
class GetConsoleOutput:
    instance_id: str = param("InstanceId", aliases=("InstanceId.1",))
    latest: bool = param("Latest", FLAG, False, ignored=True)  # it always is
    dry_run: bool = param("DryRun", FLAG, False)


@dataclass(frozen=True, slots=True)
class GetConsoleOutputAnswer:
    instance_id: str = out("instanceId")
    timestamp: Micros = out("timestamp", MOMENT)
    output: bytes = out("output", BASE64)
