"""From a request to its answer, without a socket.

    Request → refuse wrong paths → verify the signature → Version, Action → parse → perform → render → Response
                    (what is executed comes out of `verify`, never from the request itself)

The Query API and SOAP differ in verifying, in parsing, and in the envelope around what is rendered.

Errors become EC2's error documents here, in one place.  One line goes to the access log per request: request id, access
key id, action, status and milliseconds; never a signature, a secret, or user data.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

from euca_rpc.errors import EucaError
from euca_rpc.frozen import changed, quick
from euca_rpc.ids import request_id as new_request_id
from euca_rpc.limits import Limits
from euca_rpc.nouns import Core
from euca_rpc.steps import Steps, waited

from . import sigv1, soap, sts, wssecurity
from .errors import code_of, sentence_of
from .operations import ACTIONS, REFUSED, Action
from .operations.asked import Asked, Ground
from .paging import Pager
from .parsing import parser
from .rendering import Renderer, escaped
from .replay import Replays
from .request import Request
from .settings import Ec2Settings
from .signing import Verified, verify
from .soap_parsing import reader

PATHS = ("/services/Eucalyptus", "/services/Eucalyptus/", "/")
_VERSION = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
log = logging.getLogger("euca.ec2")
access = logging.getLogger("euca.ec2.access")


@quick
@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    type: str = "text/xml;charset=UTF-8"
    headers: tuple[tuple[str, str], ...] = ()


class Endpoint:
    def __init__(self, core: Core, settings: Ec2Settings) -> None:
        self.core = core
        self.settings = settings
        self.renderer = Renderer()
        self.limits = Limits(settings.rate, settings.burst)
        self.replays = (
            Replays(Path(settings.state_directory), core.clock.wall()) if settings.state_directory else None
        )
        self.ground = Ground(
            core,
            settings,
            Pager(core.ids.bits(256).to_bytes(32, "big")),
        )

    def respond(self, request: Request) -> Response:
        return waited(self.responding(request))

    def responding(self, request: Request) -> Steps[Response]:
        began = self.core.clock.monotonic()
        id = new_request_id(self.core.ids)
        trail = _Trail()
        try:
            response = yield from self._answer(request, id, trail)
        except EucaError as error:
            if error.private or error.symbol == "internal":
                log.warning("%s %s: %s; %s", id, error.symbol, error.sentence, error.private)
            response = _error(error, id, trail)
        except Exception:
            log.exception("%s failed in %s", id, trail.action)
            response = _error(EucaError("internal", "An internal error occurred."), id, trail)
        took = (self.core.clock.monotonic() - began) / 1000
        access.info(
            "%s %s %s %d %.1fms", id, trail.access_key or "-", trail.action or "-", response.status, took
        )
        return response

    def _answer(self, request: Request, id: str, trail: _Trail) -> Steps[Response]:
        if request.path not in PATHS:
            return _plain(404, f"Nothing is served here; the EC2 endpoint is {PATHS[0]}")
        if request.method not in ("GET", "POST"):
            return replace(_plain(405, "GET and POST only"), headers=(("Allow", "GET, POST"),))
        if _is_soap(request):
            trail.soap = True
            answer = yield from self._perform_soap(request, id, trail)
            return Response(200, soap.enveloped(answer))
        verified = verify(
            request, self.core.credentials.by_access_key, self.core.clock.wall(), allow_v1=self.settings.sigv1
        )
        trail.access_key = verified.access_key
        if verified.scheme == "1":
            log.warning(
                "%s is signed with version 1, which can be forged; access key %s", id, verified.access_key
            )
        answer = yield from self._perform(request, verified, id, trail)
        return Response(200, answer)

    def _perform(self, request: Request, verified: Verified, id: str, trail: _Trail) -> Steps[bytes]:
        self.limits.take(verified.caller.user_id, self.core.clock.monotonic())
        parameters = dict(verified.parameters)
        name = parameters.pop("Action", None)
        if name is None:
            raise EucaError("parameter_missing", "The request must contain the parameter Action.")
        version = parameters.pop("Version", None)
        if name == sts.ACTION:
            trail.action, trail.sts = name, True
            return sts.get_caller_identity(verified.caller, parameters, id)
        if version is None:
            raise EucaError("parameter_missing", "The request must contain the parameter Version.")
        if _VERSION.fullmatch(version) is None:
            raise EucaError(
                "parameter_invalid", f"Version is {version[:40]!r}; it must be a date such as 2016-11-15."
            )
        action = _action(name, version)
        trail.action = name
        if verified.scheme == "1":
            sigv1.check(parameters, action.request)
        message = parser(action.request)(parameters)  # type: ignore[arg-type]
        caller = changed(verified.caller, origin="ec2", request_id=id)
        asked = Asked(self.ground, caller, version, _endpoint_url(request), verified.signature)
        answer = action.perform(asked, message)
        if isinstance(answer, Generator):
            answer = yield from answer
        return self.renderer.render(name, answer, version, id)

    def _perform_soap(self, request: Request, id: str, trail: _Trail) -> Steps[bytes]:
        if self.replays is None:
            raise EucaError(
                "unavailable",
                "SOAP is not served here, because the EC2 setting 'state_directory' is not set; use the Query API.",
            )
        now = self.core.clock.wall()
        signed = wssecurity.verify(request.body, self.core.credentials.by_certificate, now)
        trail.access_key = f"x509:{hashlib.sha256(signed.certificate).hexdigest()[:16]}"
        if not self.replays.take(signed.signature, signed.created, signed.expires, now):
            raise wssecurity.refusal("the signature was used before")
        self.limits.take(signed.caller.user_id, self.core.clock.monotonic())
        version, name = soap.asked_for(signed.element)
        action = _action(name, version)
        trail.action = name
        message = reader(action.request)(signed.element)  # type: ignore[arg-type]
        caller = changed(signed.caller, origin="ec2", request_id=id)
        token = hashlib.sha256(signed.signature).digest()
        asked = Asked(self.ground, caller, version, _endpoint_url(request), token)
        answer = action.perform(asked, message)
        if isinstance(answer, Generator):
            answer = yield from answer
        return self.renderer.render(name, answer, version, id)

    def close(self) -> None:
        if self.replays is not None:
            self.replays.close()


def _action(name: str, version: str) -> Action:
    action = ACTIONS.get(name)
    refused = REFUSED.get(name)
    if refused is not None and version >= refused.since:
        raise EucaError("unsupported", f"{name} is not possible here: {refused.why}")
    if action is None or version < action.since:
        raise EucaError(
            "action_unknown", f"The action {name[:100]!r} is not valid for version {version} here."
        )
    return action


@dataclass(slots=True)
class _Trail:
    """What is known of a request so far: for the log, and for the shape of an error."""

    access_key: str = ""
    action: str = ""
    sts: bool = False
    soap: bool = False


def _endpoint_url(request: Request) -> str:
    return f"{'https' if request.secure else 'http'}://{request.header('host') or 'localhost'}{PATHS[0]}"


def _is_soap(request: Request) -> bool:
    kind = (request.header("content-type") or "").lower()
    return request.method == "POST" and ("xml" in kind or request.body[:64].lstrip().startswith(b"<"))


def _plain(status: int, text: str) -> Response:
    return Response(status, text.encode() + b"\n", "text/plain;charset=UTF-8")


def _error(error: EucaError, id: str, trail: _Trail) -> Response:
    if trail.soap:
        return Response(soap.STATUS_OF_FAULTS, soap.fault(error, id))
    code, status = code_of(error)
    sentence = sentence_of(error, id)
    if trail.sts:
        return Response(status, sts.error(code, sentence, status, id))
    return Response(
        status,
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{code}</Code><Message>{escaped(sentence)}</Message></Error></Errors>"
            f"<RequestID>{id}</RequestID></Response>"
        ).encode(),
    )
