"""The interface's section of the settings, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from euca_rpc.section import read_section, wrong

WHOSE = "The EC2 interface"
_LEAST = {
    "port": 0,
    "https_port": -1,
    "rate": 0,
    "request_seconds": 0,
    "answer_seconds": 0,
    "idle_seconds": 0,
}


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
    found = read_section(Ec2Settings, settings, WHOSE, _LEAST)
    if found.https_port >= 0 and not (found.certificate and found.key):
        raise wrong(WHOSE, "needs 'certificate' and 'key', paths of PEM files, for its 'https_port'.")
    return found
