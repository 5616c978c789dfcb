"""`python -m euca_ec2.coverage`: what of EC2 is here, said by the code itself, as `docs/ec2-coverage.md`.

A parameter that is accepted and has no meaning here says so in its message (`Wire.ignored`).  Of each parameter a test
of the same name shows that it is as it says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from . import sts
from .fields import Named, Numbered, Wire
from .operations import ACTIONS, REFUSED
from .soap_parsing import soap_name

TEST = "tests/protocol/ec2/test_ec2_coverage.py::test_parameter"


def wires(message: type[Any]) -> Iterator[Wire]:
    for field in dataclasses.fields(message):
        yield field.metadata["wire"]


def spelt(wire: Wire) -> list[str]:
    """As the Query API spells it, `N` for a number."""
    if not isinstance(wire.kind, Numbered):
        return [wire.name]
    if wire.kind.of is None:
        return [f"{wire.name}.N"]
    return [f"{wire.name}.N.{inner}" for part in wires(wire.kind.of) for inner in spelt(part)]


def _soap(wire: Wire) -> str:
    if isinstance(wire.kind, Named):
        return f"one of {len(wire.kind.words)} empty elements"
    name = soap_name(wire)
    return "–" if name is None else f"`{name}`"


def table() -> Iterator[str]:
    yield "# What of EC2 is here"
    yield ""
    yield "Generated from the code by `python -m euca_ec2.coverage`; a test compares."
    yield ""
    yield (
        f"{len(ACTIONS)} operations are done, {len(REFUSED)} are refused with a reason (`UnsupportedOperation`), any other is"
        " `InvalidAction`, and so is one in a version that did not have it yet. All of them are served by the Query"
        " API and by SOAP, in the namespace of the version asked."
    )
    yield ""
    yield (
        "*Effective*: the same request with the parameter and without it has different outcomes on two clouds that are"
        " otherwise alike. *Accepted, ignored*: it has the same. Each line is shown by the test"
        f" `{TEST}[Operation-Parameter]`. Parameters that are not listed are refused by name."
    )
    for name, action in ACTIONS.items():
        yield f"\n## {name}\n"
        yield f"Since {action.since}." if action.since else "In every version."
        yield "\n| parameter | in SOAP | meaning | test |\n|---|---|---|---|"
        for wire in wires(action.request):
            meaning = "accepted, ignored" if wire.ignored else "effective"
            names = ", ".join(f"`{it}`" for it in (*spelt(wire), *wire.aliases))
            yield f"| {names} | {_soap(wire)} | {meaning} | `[{name}-{wire.name}]` |"
    yield f"\n## {sts.ACTION}\n"
    yield "Of STS, which is served on the same port, without a parameter; by the Query API alone."
    yield "\n## Refused\n\n| operation | since | why |\n|---|---|---|"
    for name, refused in REFUSED.items():
        yield f"| {name} | {refused.since or 'every version'} | {refused.why} |"


def document() -> str:
    return "\n".join(table()) + "\n"


if __name__ == "__main__":
    print(document(), end="")
