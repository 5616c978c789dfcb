"""The two plugin seams as pluggy hook specifications.

Policies (entry-point group ``euca.schedulers``) are trusted, pure code: no I/O, no clock, no global state.  They are
called one at a time by `policy.engine`, each call on a budget.  All hooks are optional.

Interfaces (entry-point group ``euca.interfaces``) are servers in front of the core's nouns.

Built-ins register through the same entry points as anybody's; only those named in the settings are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from euca_rpc.nouns import Core, Interface
from euca_rpc.policy.actions import Action
from euca_rpc.policy.values import Entry, Launch, LaunchClass, Lease, No, PolicyView, Target, Wait
from euca_rpc.types import Event

POLICY_PROJECT = "euca_schedulers"
INTERFACE_PROJECT = "euca_interfaces"

policy_spec = pluggy.HookspecMarker(POLICY_PROJECT)
policy = pluggy.HookimplMarker(POLICY_PROJECT)
interface_spec = pluggy.HookspecMarker(INTERFACE_PROJECT)
interface = pluggy.HookimplMarker(INTERFACE_PROJECT)


class PolicySpec:
    @policy_spec
    def admit(self, launch: Launch, view: PolicyView) -> No | Wait | None:
        """May this launch be considered at all?  None = yes.  One that waits is asked about again.  Fails closed."""

    @policy_spec
    def feasible(self, cls: LaunchClass, target: Target) -> No | None:
        """May machines of this class go to this target?  Room and architecture are the core's business.  Cached until
        the target's version changes.  Fails closed."""

    @policy_spec
    def score(self, cls: LaunchClass, target: Target) -> float | None:
        """0..1, the highest is taken; ties go to the lower target id.  Cached like `feasible`."""

    @policy_spec
    def lease(self, launch: Launch, view: PolicyView) -> Lease | None:
        """How long the machines may run.  None = for ever.  Of several policies' leases the one that ends first holds.  Fails
        closed."""

    @policy_spec
    def account(self, event: Event) -> list[Entry] | None:
        """What this event adds to the durable counters, seen later as `view.totals`.  One that fails is asked again: nothing
        is left out, nothing counted twice."""

    @policy_spec
    def arrange(
        self, batch: list[Launch], targets: Mapping[str, Target], view: PolicyView
    ) -> dict[int, str] | None:
        """Place a whole batch at once, the machines of a launch or of all that wait: index of the machine → target.  None =
        no opinion.  The core verifies it."""

    @policy_spec
    def tend(self, view: PolicyView) -> list[Action] | None:
        """What is to be done about machines, launches that wait, nodes and published values.  Asked when something of it
        changed, at most once a second, and as often as the module's TEND_EVERY (seconds) says.  Fails: nothing is done."""


class InterfaceSpec:
    @interface_spec
    def euca_interface(self, core: Core, settings: Mapping[str, Any]) -> Interface | None:
        """Make the interface's server; it is started by the cloud daemon."""
