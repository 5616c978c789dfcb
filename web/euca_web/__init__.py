"""The portal: the cloud's web pages, on https with a server and threads of its own.

    browser ─► listener (the gate: whole requests only) ─► application (CherryPy)
                                                                │ host, session, role, CSRF: one place, no page can forget them
                                             routes ◄───────────┘
                                               │ who may ask what, one table
                                             pages ─► core's nouns        rendering ─► templates
                                               └──── an answer: page, redirect, download

A page is a function from an `Asked` to an answer.  It sees the nouns and its user's `Caller`, so it can do what that user
could do with any other client, and nothing else.  CherryPy is known to `application` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from euca_rpc import hookspecs
from euca_rpc.nouns import Core

from . import settings as portal_settings
from .portal import PortalInterface


@hookspecs.interface
def euca_interface(core: Core, settings: Mapping[str, Any]) -> PortalInterface:
    return PortalInterface(core, portal_settings.read(settings))
