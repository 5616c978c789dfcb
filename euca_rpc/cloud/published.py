"""What policies see of the world outside: prices, calendars, the weather.

    euca policy feed KEY VALUE ─► setting "published.KEY", an event ─► view.published["KEY"]
    tend says Publish(key, value) ─► setting "published.POLICY.key"  ─┘

A value is anything that JSON can say, of bounded size; it stays until it is replaced or taken back.  Policies are shown
it frozen: maps and tuples in the place of objects and lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from immutables import Map

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Outcome, Put, Remove, event
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.policy.actions import unpublishable
from euca_rpc.types import Caller, Setting

PUBLISHED = "published."
MOST = 1000  # keys


def publish(by: Caller | str, key: str, value: Any) -> Callable[[View, Micros], Outcome]:
    """``value`` None: take it back.  The same as before: nothing happens."""
    if trouble := unpublishable(key, value):
        raise EucaError("parameter_invalid", trouble)

    def verb(view: View, now: Micros) -> Outcome:
        old = view.settings.get(PUBLISHED + key)
        text = json.dumps(value, sort_keys=True)
        if (old.value if old is not None else "null") == text:
            return Outcome(result=False)
        told = event("policy.published", key, now, by, facts={"value": value})
        if value is None:
            return Outcome((Remove(old),) if old is not None else (), (told,), True)
        if old is None and sum(id.startswith(PUBLISHED) for id in view.settings) >= MOST:
            raise EucaError(
                "parameter_invalid",
                f"{MOST} values are published already: take some back first (euca policy feed KEY --remove)",
            )
        return Outcome((Put(Setting(PUBLISHED + key, text)),), (told,), True)

    return verb


def rows(view: View) -> list[dict[str, Any]]:
    """Every published value."""
    return [
        {"name": id.removeprefix(PUBLISHED), "value": json.loads(row.value)}
        for id, row in sorted(view.settings.items())
        if id.startswith(PUBLISHED)
    ]


@lru_cache(maxsize=4)
def shown(settings: Map[str, Setting]) -> Mapping[str, Any]:
    """As policies see them."""
    found = {
        id.removeprefix(PUBLISHED): frozen(json.loads(row.value))
        for id, row in settings.items()
        if id.startswith(PUBLISHED)
    }
    return Map(found)


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return Map({key: frozen(one) for key, one in value.items()})
    return tuple(map(frozen, value)) if isinstance(value, list) else value
