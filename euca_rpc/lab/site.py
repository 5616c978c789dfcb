"""What the machines of an experiment are: zones of nodes, how long they take, what power they draw.

[[zone]]
name = "north"
boot_seconds = 30.0
sleep_seconds = 15.0
wake_seconds = 120.0
[[zone.nodes]]
count = 12
cores = 24
memory_mb = 65536
disk_gb = 1000
idle_watts = 100.0
busy_watts = 250.0
asleep_watts = 5.0

Instead of ``count`` a group may have ``hosts``, a list of names.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.ids import is_name, node_id
from euca_rpc.types import Size

PLENTY = 1 << 24  # MB or GB: more than any workload asks for


@dataclass(frozen=True, slots=True)
class Host:
    """One node.  Power is linear in the share of its cores that is claimed (watts): the model of X. Fan, W.-D. Weber and
    L. A. Barroso, "Power provisioning for a warehouse-sized computer", ISCA 2007; a node without machines draws
    `idle_watts` all the same, as long as nobody puts it to sleep: then `asleep_watts`.  On its way there and back it draws
    `idle_watts`."""

    id: str  # "zone/host"
    offer: Size
    idle_watts: float = 100.0
    busy_watts: float = 200.0
    asleep_watts: float = 5.0


@dataclass(frozen=True, slots=True)
class Zone:
    name: str
    hosts: tuple[Host, ...]
    boot_seconds: float = 0.0  # from the node's order to a running machine
    end_seconds: float = 0.0  # from the order to end until it is gone
    sleep_seconds: float = 15.0  # from the order to sleep until the node is off
    wake_seconds: float = 120.0  # from the order to wake until it may be used


@dataclass(frozen=True, slots=True)
class Site:
    zones: tuple[Zone, ...]

    @property
    def hosts(self) -> dict[str, Host]:
        return {host.id: host for zone in self.zones for host in zone.hosts}

    @property
    def offer(self) -> Size:
        total = Size()
        for host in self.hosts.values():
            total = total + host.offer
        return total


def alike(nodes: int, cores: int, memory_mb: int = PLENTY, disk_gb: int = PLENTY) -> Site:
    """One zone of like nodes: NODE0 of a trace is node-0000 here."""
    if nodes < 1 or cores < 1:
        raise EucaError("parameter_invalid", f"{nodes} nodes of {cores} cores: both must be at least 1")
    size = Size(cores, memory_mb, disk_gb)
    hosts = tuple(Host(node_id("lab", f"node-{n:04}"), size) for n in range(nodes))
    return Site((Zone("lab", hosts),))


def read(path: Path) -> Site:
    """A site's file, as in this module's head; parameter_invalid names what is wrong in it."""
    try:
        said = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EucaError("parameter_invalid", f"the site file {path} cannot be read: {error}") from None
    _known(path, said, ("zone",), "at the top")
    zones = [_zone(path, one) for one in _tables(path, said, "zone")]
    names = [zone.name for zone in zones]
    if not zones or len(set(names)) < len(names):
        raise EucaError("parameter_invalid", f"the site file {path} needs zones, each with a name of its own")
    return Site(tuple(zones))


def _zone(path: Path, said: Mapping[str, Any]) -> Zone:
    times = _usual(Zone, "seconds")
    _known(path, said, ("name", *times, "nodes"), "in a zone")
    name = said.get("name")
    if not isinstance(name, str) or not is_name(name):
        raise EucaError("parameter_invalid", f"{path}: a zone's name is a-z, 0-9 and -, not {name!r}")
    hosts: list[Host] = []
    allowed = (
        "count",
        "hosts",
        "cores",
        "memory_mb",
        "disk_gb",
        *(f.name for f in fields(Host) if "watts" in f.name),
    )
    for group in _tables(path, said, "nodes"):
        _known(path, group, allowed, f"in the nodes of {name}")
        size = Size(
            int(_number(path, group, "cores", None, 1)),
            int(_number(path, group, "memory_mb", PLENTY, 1)),
            int(_number(path, group, "disk_gb", PLENTY, 1)),
        )
        watts = {name: _number(path, group, name, usual) for name, usual in _usual(Host, "watts").items()}
        count = int(_number(path, group, "count", 1, 1))
        for host in _names(path, group) or [f"node-{len(hosts) + n:04}" for n in range(count)]:
            hosts.append(Host(node_id(name, host), size, **watts))
    if not hosts:
        raise EucaError("parameter_invalid", f"{path}: the zone {name} has no nodes")
    seconds = {name: _number(path, said, name, usual) for name, usual in times.items()}
    return Zone(name, tuple(hosts), **seconds)


def _names(path: Path, group: Mapping[str, Any]) -> list[str]:
    said = group.get("hosts", [])
    if not isinstance(said, list) or not all(isinstance(one, str) and is_name(one) for one in said):
        raise EucaError("parameter_invalid", f"{path}: hosts is a list of names, each of a-z, 0-9 and -")
    if said and "count" in group:
        raise EucaError("parameter_invalid", f"{path}: say count or hosts, not both")
    return said


def write(site: Site) -> str:
    """The site's file, as `read` takes it; hosts that are alike and follow each other are one group."""
    lines: list[str] = []
    for zone in site.zones:
        lines += ["[[zone]]", f'name = "{zone.name}"']
        lines += [f"{f.name} = {getattr(zone, f.name)}" for f in fields(Zone) if "seconds" in f.name]
        for (offer, *watts), alike in groupby(zone.hosts, lambda h: (h.offer, *_watts(h).values())):
            names = ", ".join(f'"{host.id.partition("/")[2]}"' for host in alike)
            lines += ["[[zone.nodes]]", f"hosts = [{names}]"]
            lines += [
                f"{key} = {n}"
                for key, n in zip(("cores", "memory_mb", "disk_gb"), offer.parts(), strict=True)
            ]
            lines += [f"{key} = {n}" for key, n in zip(_watts(zone.hosts[0]), watts, strict=True)]
        lines.append("")
    return "\n".join(lines)


def _usual(kind: type, word: str) -> dict[str, float]:
    """The numbers of a kind whose names have this word, with what they are unless it is said."""
    return {f.name: float(str(f.default)) for f in fields(kind) if word in f.name}


def _watts(host: Host) -> dict[str, float]:
    return {f.name: getattr(host, f.name) for f in fields(Host) if "watts" in f.name}


def _tables(path: Path, said: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = said.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise EucaError("parameter_invalid", f"{path}: write [[{key}]], a list of tables")
    return found


def _number(path: Path, said: Mapping[str, Any], key: str, default: float | None, least: float = 0) -> float:
    value = said.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
        raise EucaError("parameter_invalid", f"{path}: {key} is {value!r}, not a number from {least:g}")
    return value


def _known(path: Path, said: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in said:
        if key not in allowed:
            near = difflib.get_close_matches(key, allowed, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(allowed)}"
            raise EucaError("parameter_invalid", f"{path}: {key!r} is not known {where}; {hint}")
