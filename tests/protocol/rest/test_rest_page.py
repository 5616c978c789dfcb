"""docs/rest.md says what the code does."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from euca_rest import openapi, problems
from euca_rest.head import MOST_BODY, MOST_HEAD
from euca_rest.routes import ROUTES
from euca_rest.settings import RestSettings
from euca_rpc.http.statuses import STATUS_OF_KIND

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "rest.md").read_text("utf-8")


def table(first: str) -> dict[str, str]:
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    else:
        raise AssertionError(f"no table begins with {first!r}")
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        name, what, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        found[name.strip("`")] = what
    return found


def test_every_request_is_there() -> None:
    assert table("request") == {f"{route.method} {route.path}": route.about for route in ROUTES}


def test_every_setting_is_there_with_its_default() -> None:
    def written(value: Any) -> str:
        return (f"`{value}`" if value else "–") if isinstance(value, str) else f"{value:g}"

    assert table("setting of `[interface.rest]`") == {
        one.name: written(one.default) for one in fields(RestSettings)
    }


def test_every_status_is_there() -> None:
    meant: dict[str, list[str]] = {}
    for kind, status in STATUS_OF_KIND.items():
        meant.setdefault(str(status), []).append(problems.TITLES[kind])
    for status, title in openapi.STATUS_TITLES.items():
        meant[str(status)] = [title]
    assert table("status") == {status: "; ".join(titles) for status, titles in sorted(meant.items())}


def test_limits_are_those_of_the_code() -> None:
    assert re.findall(r"at most ([0-9,]+) bytes, a head ([0-9,]+)", PAGE) == [
        (f"{MOST_BODY:,}", f"{MOST_HEAD:,}")
    ]
