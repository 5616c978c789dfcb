"""What every operation is given besides its message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from euca_rpc.errors import EucaError
from euca_rpc.frozen import quick
from euca_rpc.ids import INSTANCE, parse_resource_id
from euca_rpc.nouns import Core
from euca_rpc.types import Caller

from ..errors import WireError
from ..messages.shown import group_id
from ..paging import Pager
from ..settings import Ec2Settings


@dataclass(frozen=True, slots=True)
class Ground:
    """What all requests of one interface share."""

    core: Core
    settings: Ec2Settings
    pager: Pager


@quick
@dataclass(frozen=True, slots=True)
class Asked:
    ground: Ground
    caller: Caller
    version: str
    endpoint: str  # this endpoint as the client reached it
    signature: bytes = field(repr=False)

    @property
    def core(self) -> Core:
        return self.ground.core


def instance_ids(ids: Iterable[str]) -> list[str]:
    """In lower case, each once, in order."""
    found: dict[str, None] = {}
    for text in ids:
        id = parse_resource_id(text, INSTANCE)
        if id is None:
            raise WireError(
                "InvalidInstanceID.Malformed",
                f'Invalid id: {text[:100]!r} (expecting "i-" and 8 hexadecimal digits)',
            )
        found[id] = None
    return list(found)


def image_id(text: str, *prefixes: str) -> str:
    id = parse_resource_id(text, *prefixes)
    if id is None:
        expected = " or ".join(f'"{prefix}"' for prefix in prefixes)
        raise WireError(
            "InvalidAMIID.Malformed",
            f"Invalid id: {text[:100]!r} (expecting {expected} and 8 hexadecimal digits)",
        )
    return id


def default_groups(asked: Asked, groups: Iterable[str]) -> None:
    """Each account has one group; old tools name it where they should give its id."""
    for group in groups:
        if group not in ("default", group_id(asked.caller.account_id)):
            raise WireError(
                "InvalidGroup.NotFound",
                f"The security group {group[:100]!r} does not exist; there is only 'default'.",
            )


def dry(asked_for: bool) -> None:
    """Called where the effect would begin: everything before it has been checked."""
    if asked_for:
        raise WireError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)


def refuse(condition: bool, sentence: str) -> None:
    if condition:
        raise EucaError("unsupported", sentence)
