"""From a request to its answer, without a socket.

    Request → route → token → rate → query, body read by their shapes → perform → shown
                every refusal on the way ──────────────────────► problem document, in one place

One line goes to the access log per request: request id, access key id, operation, status and milliseconds; never a
path, a token, a secret or user data.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import Refused, status_of
from euca_rpc.ids import request_id as new_request_id
from euca_rpc.limits import Limits
from euca_rpc.nouns import Core

from . import openapi, problems
from .operations import Asked, Ground
from .queries import read_query
from .routes import DOCUMENT, Route, find
from .settings import RestSettings
from .shapes import read, shown
from .strict_json import loads
from .tokens import Bearers, Signer

_KEY = re.compile(r"[!-~]{1,64}")
log = logging.getLogger("euca.rest")
access = logging.getLogger("euca.rest.access")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]  # by lower-case name; one that comes twice was refused before
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Trail:
    """What is known of a request so far, for the log."""

    access_key: str = "-"
    operation: str = "-"


class Endpoint:
    def __init__(self, core: Core, settings: RestSettings) -> None:
        self.core = core
        key = core.ids.bits(256).to_bytes(32, "big")
        self.ground = Ground(
            core,
            settings,
            Bearers(key, core.credentials, core.clock.wall, settings.token_seconds),
            Signer(key, "page"),
            Limits(settings.rate, settings.burst),
        )
        self._document = json.dumps(openapi.document(version("euca-rpc"))).encode()

    def respond(self, request: Request | Refused) -> Response:
        began = self.core.clock.monotonic()
        id = new_request_id(self.core.ids)
        trail = _Trail()
        try:
            if isinstance(request, Refused):
                raise request
            response = self._answer(request, id, trail)
        except EucaError as error:
            if error.private or error.symbol == "internal":
                log.warning("%s %s: %s; %s", id, error.symbol, error.sentence, error.private)
            response = _problem(error, id)
        except Exception:
            log.exception("%s failed in %s", id, trail.operation)
            response = _problem(EucaError("internal", "An internal error occurred."), id)
        took = (self.core.clock.monotonic() - began) / 1000
        access.info("%s %s %s %d %.1fms", id, trail.access_key, trail.operation, response.status, took)
        return replace(response, headers=(*response.headers, ("Request-Id", id)))

    def _answer(self, request: Request, id: str, trail: _Trail) -> Response:
        if request.path == DOCUMENT and request.method == "GET":
            trail.operation = "getDocument"
            return Response(200, self._document)
        route, path = find(request.method, request.path)
        trail.operation = route.name
        caller = None
        if not route.open:
            caller, trail.access_key = self.ground.bearers.caller(request.headers.get("authorization"))
            caller = replace(caller, origin="rest", request_id=id)
            self.ground.count(caller)
        asked = Asked(
            self.ground,
            caller,
            path,
            read_query(route.query, request.query),
            _body(route, request),
            _idempotency_key(route, request),
        )
        answer = route.perform(asked)
        if route.answer is None:
            return Response(route.status)
        return Response(route.status, json.dumps(shown(answer), separators=(",", ":")).encode())


def _body(route: Route, request: Request) -> Any:
    if route.body is None:
        if request.body:
            raise EucaError(
                "parameter_unknown", f"{route.name} takes no body; there are {len(request.body)} bytes."
            )
        return None
    kind, _, charset = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or charset.strip().lower() not in ("", "charset=utf-8"):
        raise Refused(415, "parameter_invalid", "Send the body as Content-Type: application/json, in UTF-8.")
    return read(route.body, loads(request.body), "body")


def _idempotency_key(route: Route, request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None or not route.once:
        return None
    if _KEY.fullmatch(key) is None:
        raise EucaError(
            "parameter_invalid", "Idempotency-Key must be 1 to 64 printable ASCII characters without blanks."
        )
    return key


def _problem(error: EucaError, id: str) -> Response:
    status = status_of(error)
    headers = error.headers if isinstance(error, Refused) else ()
    if status == 401:
        headers = (*headers, ("WWW-Authenticate", 'Bearer realm="euca"'))
    if status == 429:
        headers = (*headers, ("Retry-After", str(error.facts.get("retry_after", 1))))
    body = json.dumps(problems.document(error, id), separators=(",", ":"), default=str).encode()
    return Response(status, body, problems.MEDIA_TYPE, headers)
