"""From names in the settings to policies whose hooks can be called.

    load(names)   entry points of group ``euca.schedulers`` → {name: plugin}; only those named are imported
    bind(…)       plugin → `Policy`: which hooks it has, each as a plain function of the hook's full arguments

Built-ins come through the same door as anybody's.  A name that nobody offers is a mistake in the settings and is
refused.  A plugin that cannot be imported, or whose hooks do not fit the specification, is named in the log and kept
as `Broken`: it harms no other policy, and because nobody knows what it would have refused, it admits nothing.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from importlib.metadata import entry_points
from operator import itemgetter
from typing import Any

import pluggy

from euca_rpc.clock import SECOND, Micros
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import POLICY_PROJECT, PolicySpec

GROUP = "euca.schedulers"

log = logging.getLogger(__name__)

Hook = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """In place of a plugin that could not be had."""

    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A plugin's hooks, called one implementation at a time (pluggy's own call stops at the first that raises)."""

    name: str
    hooks: dict[str, Hook] = field(default_factory=dict)
    hints: tuple[
        str, ...
    ] = ()  # the launch hints that its answers may depend on: the plugin's attribute HINTS
    flat: bool = False  # its score is not given the target: one answer holds for all targets of a class
    classless: bool = False  # its score is not given the class: one answer holds for all classes
    parameters: Mapping[str, Any] = field(default_factory=dict)  # name → usual value: the plugin's PARAMETERS
    broken: str = ""  # why it cannot be called at all
    tend_every: Micros | None = None  # asked at least so often: the plugin's TEND_EVERY, in seconds


def offered() -> frozenset[str]:
    """Every policy that an installed package offers."""
    return frozenset(point.name for point in entry_points(group=GROUP))


def load(names: Iterable[str]) -> dict[str, Any]:
    importlib.invalidate_caches()  # what was installed a moment ago
    points = {point.name: point for point in entry_points(group=GROUP)}
    plugins: dict[str, Any] = {}
    for name in dict.fromkeys(names):
        point = points.get(name)
        if point is None:
            raise EucaError("config_invalid", _unknown(name, points), facts={"policy": name})
        try:
            plugins[name] = point.load()
        except Exception as failure:
            log.exception("policy %r cannot be imported from %s", name, point.value)
            plugins[name] = Broken(f"{point.value} cannot be imported: {type(failure).__name__}: {failure}")
    return plugins


def bind(name: str, plugin: Any) -> Policy:
    if isinstance(plugin, Policy):
        return plugin
    if isinstance(plugin, Broken):
        return Policy(name, broken=plugin.reason)
    manager = pluggy.PluginManager(POLICY_PROJECT)
    manager.add_hookspecs(PolicySpec)
    try:
        manager.register(plugin, name)
        manager.check_pending()  # a hook that the specification does not know
    except pluggy.PluginValidationError as failure:
        reason = " ".join(str(failure).split())
        log.error("policy %r does not fit the hook specification: %s", name, reason)
        return Policy(name, broken=f"it does not fit the hook specification: {reason}")
    hooks: dict[str, Hook] = {}
    flat = classless = False
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            hooks[caller.name] = _full(caller.name, implementation.function, implementation.argnames)
            if caller.name == "score":
                flat |= "target" not in implementation.argnames
                classless |= "cls" not in implementation.argnames
    hints, parameters = getattr(plugin, "HINTS", ()), getattr(plugin, "PARAMETERS", {})
    every = getattr(plugin, "TEND_EVERY", None)
    if every is not None and not (isinstance(every, int | float) and every >= 1):
        return Policy(name, broken=f"its TEND_EVERY is {every!r:.40}, not a number of seconds from 1")
    often = None if every is None else int(every * SECOND)
    return Policy(name, hooks, tuple(hints), flat, classless, dict(parameters), tend_every=often)


def _full(hook: str, function: Hook, wanted: tuple[str, ...]) -> Hook:
    """An implementation may leave out arguments that it does not need; give it those that it names."""
    given = tuple(inspect.signature(getattr(PolicySpec, hook)).parameters)[1:]
    if tuple(wanted) == given:
        return function
    if not wanted:
        return wraps(function)(lambda *arguments: function())
    chosen = itemgetter(*map(given.index, wanted))
    if len(wanted) == 1:
        return wraps(function)(lambda *arguments: function(chosen(arguments)))
    return wraps(function)(lambda *arguments: function(*chosen(arguments)))


def _unknown(name: str, there: Iterable[str]) -> str:
    names = sorted(there)
    near = difflib.get_close_matches(name, names, n=1)
    return (
        f"The policy wanted is {name!r}, which no installed package offers under {GROUP}; there are"
        f" {', '.join(names) or 'none'}." + (f" Did you mean {near[0]!r}?" if near else "")
    )
