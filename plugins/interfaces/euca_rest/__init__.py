"""The REST interface: JSON over http(s) in front of the core's nouns, described by its own OpenAPI document.

server → endpoint → routes → tokens → shapes (read) → operations → core
                      │                                   ▼
                      └──────► openapi            shapes (shown) ◄── answer

One table says which requests there are (`routes`), one set of dataclasses what their bodies and answers look like
(`bodies`); routing, checking and the OpenAPI document are all made from the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euca_rpc import hookspecs
from euca_rpc.nouns import Core

from . import settings as rest_settings
from .server import RestInterface


@hookspecs.interface
def euca_interface(core: Core, settings: Mapping[str, Any]) -> RestInterface:
    return RestInterface(core, rest_settings.read(settings))
