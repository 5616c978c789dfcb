"""The section [interface.portal] of the settings, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from euca_rpc.section import read_section, wrong

WHOSE = "The portal"


@dataclass(frozen=True, slots=True)
class PortalSettings:
    host: str = "127.0.0.1"
    port: int = 8443  # 0 = any free one
    certificate: str = ""  # PEM files; the portal speaks https only
    key: str = ""
    url: str = ""  # the public one, which links in mails begin with: "https://cloud.example.org:8443"
    names: tuple[str, ...] = ()  # hosts that a request may name, besides those of `url` and `host`
    ec2_url: str = "http://127.0.0.1:8773/services/Eucalyptus"  # as users' clients need it
    region: str = "eucalyptus"
    authority: str = ""  # PEM file of the cloud's authority, part of what users download
    threads: int = 8
    upload_gb: int = 100  # the largest file that is taken; the image server has the last word
    console_seconds: float = 8.0
    request_seconds: float = 10.0  # a request must have arrived within this time
    answer_seconds: float = 30.0  # … and its answer must be worked out and taken within this
    idle_seconds: float = 60.0  # how long a connection may be kept between requests
    refresh_seconds: int = 5  # between two looks of an open page
    hsts_seconds: int = 0  # Strict-Transport-Security is for a whole host name, so only if you say so


def read(settings: Mapping[str, Any]) -> PortalSettings:
    found = read_section(PortalSettings, settings, WHOSE, {"port": 0, "hsts_seconds": 0})
    if not found.certificate or not found.key:
        raise wrong(
            WHOSE, "needs 'certificate' and 'key', paths of PEM files: it takes passwords, so https only."
        )
    if found.url and not found.url.startswith("https://"):
        raise wrong(WHOSE, f"has 'url' as {found.url!r}; it begins with https://.")
    return found
