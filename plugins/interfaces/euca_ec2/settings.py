"""The interface's section of the settings, checked when it is read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from euca_rpc.errors import EucaError


@dataclass(frozen=True, slots=True)
class Ec2Settings:
    host: str = "127.0.0.1"
    port: int = 8773  # 0 = any free one
    https_port: int = -1  # -1 = no https; 0 = any free one
    certificate: str = ""  # PEM files for https
    key: str = ""
    threads: int = 10
    sigv1: bool = False  # signature version 1 can be forged by who sees one request
    region: str = "eucalyptus"
    private_cidr: str = "10.0.0.0/8"  # where private addresses come from, as DescribeVpcs shows it
    request_seconds: float = 10.0  # a request must have arrived within this time
    answer_seconds: float = 60.0  # … and its answer must be worked out and taken within this
    idle_seconds: float = 75.0  # a connection that was answered may make its next request within this
    state_directory: str = ""  # for the signatures that SOAP messages used up; without it there is no SOAP
    rate: float = 200.0  # requests a second that one user may make in the long run; 0 = no limit
    burst: int = 2000  # … and at once


def read(settings: Mapping[str, Any]) -> Ec2Settings:
    known = {field.name: type(field.default) for field in fields(Ec2Settings)}
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
            raise EucaError("config_invalid", f"The EC2 interface has no setting {name!r}; {hint}")
        wanted = known[name]
        fits = isinstance(value, int | float) if wanted is float else isinstance(value, wanted)
        if not fits or (wanted is not bool and isinstance(value, bool)):
            raise EucaError(
                "config_invalid", f"The EC2 setting {name!r} is {value!r}; it must be a {wanted.__name__}."
            )
    found = Ec2Settings(**settings)
    if found.threads < 1:
        raise EucaError("config_invalid", "The EC2 setting 'threads' must be at least 1.")
    if found.rate < 0 or found.burst < 1:
        raise EucaError("config_invalid", "The EC2 settings need 'rate' ≥ 0 and 'burst' ≥ 1.")
    if found.https_port >= 0 and not (found.certificate and found.key):
        raise EucaError(
            "config_invalid",
            "The EC2 setting 'https_port' needs 'certificate' and 'key', paths of PEM files.",
        )
    return found
