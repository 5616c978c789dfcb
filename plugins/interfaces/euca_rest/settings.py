"""The section [interface.rest] of the settings, checked when it is read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from euca_rpc.errors import EucaError


@dataclass(frozen=True, slots=True)
class RestSettings:
    host: str = "127.0.0.1"
    port: int = 8780  # 0 = any free one
    certificate: str = (
        ""  # PEM files; with them https is served, without them http, and that on loopback only
    )
    key: str = ""
    threads: int = 10
    request_seconds: float = 10.0  # a request must have arrived within this time
    idle_seconds: float = 60.0  # how long a connection may be kept between requests
    answer_seconds: float = 30.0  # within this time the client must have taken its answer
    token_seconds: int = 900
    rate: float = 200.0  # requests a second that one user may make in the long run; 0 = no limit
    burst: int = 2000  # … and at once


def read(settings: Mapping[str, Any]) -> RestSettings:
    known: dict[str, type] = {field.name: type(field.default) for field in fields(RestSettings)}
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
            raise _wrong(f"has no setting {name!r}; {hint}")
        wanted = (int, float) if known[name] is float else known[name]
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise _wrong(f"has the setting {name!r} as {value!r}; it must be a {known[name].__name__}.")
        if isinstance(value, int | float) and value < (0 if name in ("port", "rate") else 1):
            raise _wrong(f"has the setting {name!r} as {value!r}; that is too small.")
    found = RestSettings(**settings)
    if bool(found.certificate) != bool(found.key):
        raise _wrong("needs both 'certificate' and 'key' for https, paths of PEM files, or neither.")
    return found


def _wrong(why: str) -> EucaError:
    return EucaError("config_invalid", f"The REST interface {why}")
