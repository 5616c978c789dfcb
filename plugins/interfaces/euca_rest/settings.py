"""The section [interface.rest] of the settings, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from euca_rpc.section import read_section, wrong

WHOSE = "The REST interface"


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
    found = read_section(RestSettings, settings, WHOSE, {"port": 0, "rate": 0})
    if bool(found.certificate) != bool(found.key):
        raise wrong(WHOSE, "needs both 'certificate' and 'key' for https, paths of PEM files, or neither.")
    return found
