"""Which placement policy is in force where: one for the cloud, and zones may have their own.

    zone's own (a column of the zone)  >  the cloud's (setting `cloud.policy` in the database)  >  [cloud] policy in TOML

Parameters of policies are settings named `policy.NAME.PARAMETER`.  A policy that declares which it has (PARAMETERS) is
never given another, nor a value of another kind than the usual one's.

Changed while the cloud runs, each change an event; the next launch goes by it (`switching` says how).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Outcome, Put, Remove, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.loader import Policy
from euca_rpc.types import Caller, Setting, Zone

KEY = "cloud.policy"
PARAMETER = "policy."


class Policies(Protocol):
    """The engine, as far as administrators deal with it (`policy.engine.Engine`)."""

    @property
    def cloud_policy(self) -> str:
        """The one of the settings file."""
        ...

    def status(self) -> list[dict[str, Any]]: ...

    def parameters(self) -> Mapping[str, Mapping[str, Any]]: ...

    def reset(self, policy: str) -> None: ...

    def trace(self, policy: str, on: bool) -> None: ...

    def policy(self, name: str) -> Policy | None: ...

    def add(self, policy: Policy) -> None: ...

    def keep(self, names: Iterable[str]) -> None: ...


class NoPolicies:
    """Where placement is not the engine's."""

    cloud_policy = ""

    def status(self) -> list[dict[str, Any]]:
        return []

    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def reset(self, policy: str) -> None:
        raise EucaError("parameter_invalid", f"No policy {policy!r} is loaded; there are none.")

    def trace(self, policy: str, on: bool) -> None:
        self.reset(policy)

    def policy(self, name: str) -> Policy | None:
        return None

    def add(self, policy: Policy) -> None:
        return

    def keep(self, names: Iterable[str]) -> None:
        return


def of_cloud(settings: Map[str, Setting]) -> str | None:
    """What an administrator chose for the whole cloud; None: the settings file says."""
    row = settings.get(KEY)
    return None if row is None else str(json.loads(row.value))


def of_zones(zones: Map[str, Zone], settings: Map[str, Setting]) -> Mapping[str, str]:
    """Every zone that does not go by the settings file."""
    chosen = of_cloud(settings)
    named = {z.name: z.policy or chosen for z in zones.values()}
    return {zone: policy for zone, policy in named.items() if policy is not None}


def choose(
    by: Caller, loaded: list[str], policy: str | None, zone: str | None
) -> Callable[[View, Micros], Outcome]:
    """``policy`` None: back to what holds without a choice.  ``zone`` None: the cloud's."""

    def verb(view: View, now: Micros) -> Outcome:
        if policy is not None and policy not in loaded:
            raise EucaError(
                "parameter_invalid",
                f"No policy {policy!r} is loaded; there are {', '.join(sorted(loaded)) or 'none'}.",
            )
        if zone is not None and zone not in view.zones:
            known = ", ".join(sorted(view.zones)) or "none"
            raise EucaError("zone_not_found", f"the zone {zone!r} does not exist; there are {known}")
        told = event("policy.chosen", zone or "cloud", now, by, facts={"policy": policy})
        if zone is not None:
            return Outcome((Put(replace(view.zones[zone], policy=policy)),), (told,))
        old = view.settings.get(KEY)
        if policy is None:
            return Outcome((Remove(old),) if old is not None else (), (told,))
        return Outcome((Put(Setting(KEY, json.dumps(policy))),), (told,))

    return verb


def rows(view: View, policies: Policies) -> list[dict[str, Any]]:
    """Every loaded policy: where it is in force, and how it behaves."""
    cloud = of_cloud(view.settings) or policies.cloud_policy
    chosen = of_zones(view.zones, view.settings)
    return [
        {
            "name": told["policy"],
            "cloud": told["policy"] == cloud,
            "zones": sorted(z for z in view.zones if chosen.get(z, cloud) == told["policy"]),
            **{key: value for key, value in told.items() if key != "policy"},
        }
        for told in policies.status()
    ]


# ------------------------------------------------------------------------------------------------ parameters
def parameters(view: View, declared: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every parameter that is declared or set, and what it is now."""
    usual = {f"{policy}.{name}": value for policy, own in declared.items() for name, value in own.items()}
    chosen = {
        key.removeprefix(PARAMETER): json.loads(row.value)
        for key, row in view.settings.items()
        if key.startswith(PARAMETER)
    }
    return [
        {"name": name, "value": chosen.get(name, usual.get(name)), "set": name in chosen}
        for name in sorted(usual | chosen)
    ]


def set_parameter(
    by: Caller, declared: Mapping[str, Mapping[str, Any]], name: str, value: Any
) -> Callable[[View, Micros], Outcome]:
    """``value`` None: back to the usual one."""
    check_parameter(declared, name, value)

    def verb(view: View, now: Micros) -> Outcome:
        old = view.settings.get(PARAMETER + name)
        told = event("policy.parameter", name, now, by, facts={"value": value})
        if value is None:
            return Outcome((Remove(old),) if old is not None else (), (told,))
        return Outcome((Put(Setting(PARAMETER + name, json.dumps(value))),), (told,))

    return verb


def check_parameter(declared: Mapping[str, Mapping[str, Any]], name: str, value: Any) -> None:
    """parameter_invalid: no loaded policy has it, or the value is of another kind than the usual one.  ``value`` None: that
    one."""
    policy, _, own = name.partition(".")
    if policy not in declared or not own:
        raise EucaError(
            "parameter_invalid",
            f"{name[:80]!r} is no parameter of a loaded policy: say NAME.PARAMETER; loaded are "
            f"{', '.join(sorted(declared)) or 'none'}{_perhaps(policy, declared)}",
        )
    usual = declared[policy]
    if usual and own not in usual:
        raise EucaError(
            "parameter_invalid",
            f"policy {policy} has no parameter {own[:80]!r}; it has {', '.join(sorted(usual))}{_perhaps(own, usual)}",
        )
    if usual and value is not None and not _alike(value, usual[own]):
        raise EucaError(
            "parameter_invalid",
            f"{name} is {json.dumps(usual[own])} unless it is set: {json.dumps(value)[:80]} is another kind of value",
        )


def _perhaps(said: str, there: Iterable[str]) -> str:
    near = difflib.get_close_matches(said, list(there), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _alike(value: Any, usual: Any) -> bool:
    if isinstance(value, bool) or isinstance(usual, bool):
        return isinstance(value, bool) and isinstance(usual, bool)
    if isinstance(usual, int | float):
        return isinstance(value, int | float) and math.isfinite(value)
    if isinstance(usual, list):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, type(usual))
