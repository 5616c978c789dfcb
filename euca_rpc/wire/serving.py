"""What a servant offers: the table of `contracts`, its own methods of those names, and nothing else.

    answer: peers' contracts overlap? ─► a row for it? ─► caller's role in the row, its zone ours? ─► arguments fit?
            ─► the method

A servant is a plain object.  Its methods take the call's arguments by keyword, and ``peer`` (a PeerName) if they want
to know who calls: that comes from the certificate, and an argument of that name is dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.wire import contracts
from euca_rpc.wire.calling import Calls
from euca_rpc.wire.names import PeerName


@dataclass(frozen=True, slots=True)
class _Method:
    call: contracts.Call
    function: Callable[..., Any]
    takes: frozenset[str] | None  # None: anything
    needs: tuple[str, ...]
    wants_peer: bool


def _methods(name: str, servant: object, calls: Calls) -> dict[str, _Method]:
    role = contracts.role_of(name)
    found: dict[str, _Method] = {}
    for (offered_by, method), call in calls.items():
        function = getattr(servant, method, None) if offered_by == role else None
        if function is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        named = [
            p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "peer"
        ]
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        found[method] = _Method(
            call,
            function,
            None if anything else frozenset(p.name for p in named),
            tuple(p.name for p in named if p.default is p.empty),
            any(p.name == "peer" for p in parameters),
        )
    return found


class Offer:
    """A servant under its object name."""

    def __init__(self, name: str, servant: object, calls: Calls) -> None:
        self.name = name
        self._role = contracts.role_of(name)
        self._zone = PeerName.of_object(name).zone
        self._calls = calls
        self._methods = _methods(name, servant, calls)
        self.ignored_arguments = 0

    def answer(self, caller: PeerName, method: Any, args: Any, contract: Any) -> Any:
        _check_contract(caller, contract)
        row = self._calls.get((self._role, method)) if isinstance(method, str) else None
        found = self._methods.get(method) if row else None
        if row is None or found is None:
            raise EucaError("action_unknown", f"{self.name} offers no call {str(method)[:64]!r}")
        if caller.role not in row.callers:
            raise EucaError(
                "role_refused",
                f"{self.name}.{method} may be called by {', '.join(row.callers)}, but the caller is the"
                f" {caller.text}",
            )
        if self._zone and caller.zone not in ("", self._zone) and row.callers != contracts.ROLES:
            raise EucaError(
                "role_refused",
                f"{self.name}.{method} may be called from its own zone {self._zone}, but the caller is the"
                f" {caller.text}",
            )
        if not isinstance(args, dict):
            raise EucaError("parameter_invalid", f"the arguments of {self.name}.{method} must be a mapping")
        missing = [name for name in found.needs if name not in args]
        if missing:
            raise EucaError("parameter_missing", f"{self.name}.{method} needs {', '.join(missing)}")
        taken = {
            name: v
            for name, v in args.items()
            if name != "peer" and (found.takes is None or name in found.takes)
        }
        self.ignored_arguments += len(args) - len(taken)
        if found.wants_peer:
            taken["peer"] = caller
        return found.function(**taken)


def _check_contract(caller: PeerName, contract: Any) -> None:
    try:
        oldest, newest = map(int, contract)
    except (TypeError, ValueError):
        oldest = newest = 0
    if newest < contracts.OLDEST or oldest > contracts.CONTRACT:
        raise EucaError(
            "incompatible",
            f"the {caller.text} speaks contracts {oldest} to {newest}, this daemon {contracts.OLDEST} to"
            f" {contracts.CONTRACT}: upgrade the older of the two",
        )
