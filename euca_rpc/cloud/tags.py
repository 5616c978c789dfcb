"""Tags: words that people put on what they own.  They mean nothing to the core; interfaces show and filter by them.

An instance's row carries a version under which it is kept rendered, so tagging one raises it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from euca_rpc.clock import Micros
from euca_rpc.cloud.changes import Change, Outcome, Put, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.types import Caller, Tag

MOST_TAGS = 50  # of one resource, as EC2 has it
_KEY, _VALUE = 127, 255
_NOT_FOUND = {"i-": "instance_not_found", "key-": "key_not_found"}


class Tags:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def create(self, caller: Caller, ids: Sequence[str], tags: Mapping[str, str]) -> None:
        self._journal.do(_create(caller, ids, tags))

    def delete(self, caller: Caller, ids: Sequence[str], tags: Mapping[str, str | None]) -> None:
        self._journal.do(_delete(caller, ids, tags))

    def describe(self, caller: Caller) -> list[Tag]:
        rows = self._journal.view.tag_rows.values()
        mine = (t for t in rows if caller.is_admin or t.account_id == caller.account_id)
        return sorted(mine, key=lambda t: (t.resource_id, t.key))

    def of(self, resource_id: str) -> tuple[tuple[str, str], ...]:
        return self._journal.view.tags.get(resource_id, ())


def check(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not 1 <= len(key) <= _KEY or len(value) > _VALUE:
            raise EucaError(
                "parameter_invalid",
                f"the tag {key[:40]!r}: a key has 1 to {_KEY} characters, a value at most {_VALUE}",
            )
        if key.lower().startswith("aws:"):
            raise EucaError(
                "parameter_invalid", f"the tag key {key!r}: keys that begin with aws: are reserved"
            )
        if not key.isprintable() or not value.isprintable():
            raise EucaError("parameter_invalid", f"the tag {key[:40]!r}: printable characters only")
    if len(tags) > MOST_TAGS:
        raise EucaError("tag_limit", f"{len(tags)} tags: a resource has at most {MOST_TAGS}")


def rows(resource_id: str, account_id: str, tags: Mapping[str, str]) -> list[Tag]:
    return [Tag(f"{resource_id}/{key}", resource_id, account_id, key, value) for key, value in tags.items()]


def _create(caller: Caller, ids: Sequence[str], tags: Mapping[str, str]) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        check(tags)
        changes: list[Change] = []
        for resource_id in dict.fromkeys(ids):
            account = owner(view, caller, resource_id)
            merged = {**dict(view.tags.get(resource_id, ())), **tags}
            if len(merged) > MOST_TAGS:
                raise EucaError(
                    "tag_limit",
                    f"{resource_id} would have {len(merged)} tags, at most {MOST_TAGS}: delete some first",
                )
            changes += [Put(row) for row in rows(resource_id, account, tags)]
            changes += _touched(view, resource_id)
        told = tuple(
            event("tags.created", r, now, caller, facts={"tags": dict(tags)}) for r in dict.fromkeys(ids)
        )
        return Outcome(tuple(changes), told)

    return verb


def _delete(
    caller: Caller, ids: Sequence[str], tags: Mapping[str, str | None]
) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        changes: list[Change] = []
        for resource_id in dict.fromkeys(ids):
            owner(view, caller, resource_id)
            for key, value in (
                tags.items() if tags else [(k, None) for k, _ in view.tags.get(resource_id, ())]
            ):
                row = view.tag_rows.get(f"{resource_id}/{key}")
                if row is not None and value in (None, row.value):
                    changes.append(Remove(row))
            changes += _touched(view, resource_id)
        told = tuple(
            event("tags.deleted", r, now, caller, facts={"keys": sorted(tags)}) for r in dict.fromkeys(ids)
        )
        return Outcome(tuple(changes), told)

    return verb


def owner(view: View, caller: Caller, resource_id: str) -> str:
    """The account whose resource it is, if the caller may tag it; else it does not exist for the caller."""
    tables: tuple[Any, ...] = (view.instances, view.images, view.keys, view.reservations)
    row = next((table[resource_id] for table in tables if resource_id in table), None)
    if row is None or not (caller.is_admin or row.account_id == caller.account_id):
        prefix = resource_id[:-8]
        symbol = _NOT_FOUND.get(
            prefix, "image_not_found" if prefix in ("emi-", "eki-", "eri-") else "id_malformed"
        )
        raise EucaError(symbol, f"the resource {resource_id[:80]!r} does not exist")
    return str(row.account_id)


def _touched(view: View, resource_id: str) -> list[Change]:
    instance = view.instances.get(resource_id)
    return [Put(replace(instance, version=instance.version + 1))] if instance is not None else []
