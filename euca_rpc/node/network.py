"""The seam between a node and its network: prepare(spec) → plan, ensure, absent, observe.

`prepare` is pure and decides; `ensure` makes it so on the host (idempotent); `absent` takes it away; `observe` answers
the addresses the machine really has, assigned or seen.  User mode needs nothing on the host: QEMU itself forwards, so
its ensure and absent have nothing to do.  Bridged modes come as further implementations.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Protocol

from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineSpec
from euca_rpc.node.hypervisor import Forward, NetworkPlan


@dataclass(frozen=True, slots=True)
class Addresses:
    private: str
    public: str


class Network(Protocol):
    def prepare(self, spec: MachineSpec) -> NetworkPlan: ...
    def ensure(self, spec: MachineSpec, plan: NetworkPlan) -> None: ...
    def absent(self, instance_id: str) -> None: ...
    def observe(self, spec: MachineSpec) -> Addresses: ...


class NoNetwork:
    """For machines that have none (simulated): the addresses are what the cloud assigned."""

    def prepare(self, spec: MachineSpec) -> NetworkPlan:
        return NetworkPlan(mode="none", mac=spec.mac, guest_address=spec.private_address)

    def ensure(self, spec: MachineSpec, plan: NetworkPlan) -> None:
        return

    def absent(self, instance_id: str) -> None:
        return

    def observe(self, spec: MachineSpec) -> Addresses:
        return Addresses(spec.private_address, spec.public_address)


class UserNetwork(NoNetwork):
    """QEMU's user network: a private /24 per machine, one port forwarded from an address of the machine's own.

    The public address must be a loopback address: then the forward is reachable on this host alone, and port 22 of
    127.x.y.z collides with nobody.
    """

    def __init__(self, host_port: int = 22) -> None:
        self._host_port = host_port

    def prepare(self, spec: MachineSpec) -> NetworkPlan:
        private = ipaddress.IPv4Address(spec.private_address)
        public = ipaddress.IPv4Address(spec.public_address)
        if not public.is_loopback:
            raise EucaError(
                "config_invalid",
                f"{spec.instance_id} was given the public address {public}, but network mode user can only "
                "forward from addresses in 127.0.0.0/8. Set the cloud's public addresses accordingly.",
            )
        return NetworkPlan(
            mode="user",
            mac=spec.mac,
            guest_address=str(private),
            guest_network=str(ipaddress.IPv4Network(f"{private}/24", strict=False)),
            forwards=(Forward(str(public), self._host_port, 22),),
        )
