"""What the menu shows, for whom, and which entry the page at hand belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from .asked import Asked


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    text: str
    here: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    text: str
    entries: tuple[Entry, ...]


USERS = Group(
    "Yours",
    (
        Entry("/", "Overview"),
        Entry("/instances", "Instances"),
        Entry("/launch", "Launch"),
        Entry("/images", "Images"),
        Entry("/keys", "Key pairs"),
        Entry("/capacity", "Free capacity"),
        Entry("/usage", "Usage"),
        Entry("/credentials", "Credentials"),
    ),
)
ADMINISTRATORS = Group(
    "The cloud",
    (
        Entry("/admin/requests", "Requests"),
        Entry("/admin/users", "Users"),
        Entry("/admin/accounts", "Accounts"),
        Entry("/admin/quotas", "Default quotas"),
        Entry("/admin/images", "All images"),
        Entry("/admin/nodes", "Zones and nodes"),
        Entry("/admin/types", "VM types"),
        Entry("/admin/policies", "Policies"),
        Entry("/admin/usage", "Usage of all"),
        Entry("/admin/audit", "Audit log"),
        Entry("/admin/mails", "Mails"),
        Entry("/admin/sign-up", "Sign-up form"),
    ),
)


def menu_of(asked: Asked) -> tuple[Group, ...]:
    if asked.who is None:
        return ()
    path = asked.target.partition("?")[0]
    groups = (USERS, ADMINISTRATORS) if asked.who.is_admin else (USERS,)
    return tuple(
        Group(
            group.text,
            tuple(Entry(one.path, one.text, _within(path, one.path)) for one in group.entries),
        )
        for group in groups
    )


def _within(path: str, entry: str) -> bool:
    return path == entry or (entry != "/" and path.startswith(entry + "/"))
