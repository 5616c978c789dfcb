"""The EC2 interface: Query API and SOAP over http and https, in front of the core's nouns.

server → gate → endpoint → signing     → parsing      → operations → core
                           wssecurity  → soap_parsing
                                                      ▼
                                      rendering ◄── answer message
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euca_rpc import hookspecs
from euca_rpc.nouns import Core

from . import settings as ec2_settings
from .server import Ec2Interface


@hookspecs.interface
def euca_interface(core: Core, settings: Mapping[str, Any]) -> Ec2Interface:
    return Ec2Interface(core, ec2_settings.read(settings))
