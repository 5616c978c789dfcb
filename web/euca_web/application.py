"""From a request to its answer: the one place that checks, so that no page can forget to.

    Host known? ─► route? ─► session ─► may this one open it? ─► a change: is the form ours? ─► page ─► rendered
                                  every refusal on the way ─────────────────────────────────► error page, or the form again

CherryPy parses requests and forms, keeps one request's state per thread and finishes answers; it is imported here alone.
Dispatch is by our table (`routes`), not by attribute names: what is not in the table cannot be called.  One line goes to
the access log per request: request id, user, route, status, milliseconds; never a path, a token or a form.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote

import cherrypy

from euca_rpc.errors import EucaError
from euca_rpc.http.statuses import Refused, status_of
from euca_rpc.ids import request_id as new_request_id
from euca_rpc.nouns import Core
from euca_rpc.shown import Visitor

from . import safety
from .asked import Answer, Asked, Download, Fields, Ground, Redirect
from .incoming import read_form
from .rendering import Renderer
from .routes import ANYONE, FLOWING, STAFF, Route, find, is_page
from .settings import PortalSettings
from .static_files import files

MOST_FIELDS = 60
log = logging.getLogger("euca.portal")
access = logging.getLogger("euca.portal.access")


def make_application(core: Core, settings: PortalSettings) -> Callable[..., Iterable[bytes]]:
    """A WSGI application."""
    handler = _Handler(core, settings)

    def dispatch(_path: str) -> None:
        request = cherrypy.serving.request
        read = {"request.process_request_body": request.path_info not in FLOWING}  # those read themselves
        request.config = {**cherrypy.config, **made.config["/"], **read}
        request.handler = handler.answer

    cherrypy.config.update({"log.screen": False, "checker.on": False, "engine.autoreload.on": False})
    made = cherrypy.Application(
        None,
        "",
        {
            "/": {
                "request.dispatch": dispatch,
                "request.show_tracebacks": False,
                "request.show_mismatched_params": False,
                "request.methods_with_bodies": ("POST",),
                "error_page.default": handler.cherrypy_error,
            }
        },
    )
    # its log would have whole request lines, and with them the tokens of mailed links
    made.log.access_log.propagate = False

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if (
            "HTTP_TRANSFER_ENCODING" in environ
        ):  # no browser sends forms so; a proxy and we might see two ends
            start_response(
                "411 Length Required",
                [("Content-Type", "text/plain"), ("Connection", "close"), ("Cache-Control", "no-store")],
            )
            return [b"Send the form with a Content-Length.\n"]
        answer: Iterable[bytes] = made(environ, start_response)
        return answer

    return application


@dataclass(slots=True)
class _Trail:
    """What is known of a request so far."""

    route: str = "-"
    asked: Asked | None = None


class _Handler:
    def __init__(self, core: Core, settings: PortalSettings) -> None:
        self.core, self.settings = core, settings
        self.ground = Ground(core, settings, is_page)
        self.renderer = Renderer(core, settings)
        self.hosts = safety.allowed_hosts(settings)
        self.headers = [*safety.headers(settings), ("Server", "euca")]

    # ------------------------------------------------------------------------------------------ one request
    def answer(self) -> bytes:
        began = self.core.clock.monotonic()
        id = new_request_id(self.core.ids)
        trail = _Trail()
        try:
            body = self._answer(id, trail)
        except EucaError as error:
            if error.private or error.symbol == "internal":
                log.warning("%s %s: %s; %s", id, error.symbol, error.sentence, error.private)
            body = self._refusal(error, id, trail.asked)
        except Exception:
            log.exception("%s failed in %s", id, trail.route)
            body = self._refusal(
                EucaError("internal", f"An internal error occurred; the log tells it under {id}."),
                id,
                trail.asked,
            )
        took = (self.core.clock.monotonic() - began) / 1000
        status = str(cherrypy.serving.response.status or "200")[:3]
        user = trail.asked.present.user_name if trail.asked and trail.asked.present else "-"
        access.info("%s %s %s %s %.1fms", id, user, trail.route, status, took)
        return body

    def _answer(self, id: str, trail: _Trail) -> bytes:
        request = cherrypy.serving.request
        header = request.headers.get
        safety.check_host(header("Host", ""), self.hosts)
        if request.path_info.startswith("/static/"):
            trail.route = "static"
            return self._static(request.path_info.removeprefix("/static/"))
        method = "GET" if request.method == "HEAD" else request.method
        route, path = find(method, request.path_info)
        trail.route = route.name
        jar = safety.cookies(header("Cookie", ""))
        asked = trail.asked = self._asked(route, path, jar, id)
        if (elsewhere := self._not_here(route, asked)) is not None:
            return self._told(elsewhere, asked, jar)
        if method == "POST":
            own = (f"https://{header('Host', '')}", self.settings.url)
            safety.check_origin(header("Origin"), header("Sec-Fetch-Site"), own)
            if route.flows:
                asked = trail.asked = self._begun(asked)
            safety.check_proof(asked.token or jar.get(safety.VISIT, ""), asked.form.raw("proof", 200))
        try:
            return self._told(route.perform(asked), asked, jar)
        except EucaError as refusal:
            if route.again is None or refusal.kind == "internal":
                raise
            asked = replace(asked, trouble=refusal)
            self._come_back(refusal)
            return self._told(replace(route.again(asked), status=status_of(refusal)), asked, jar)

    def _asked(self, route: Route, path: Mapping[str, str], jar: Mapping[str, str], id: str) -> Asked:
        request = cherrypy.serving.request
        # a page that is only open looks again by itself: that is no use of the session
        looks = request.method != "POST" and "HX-Request" in request.headers
        visitor = Visitor(request.remote.ip, id, jar.get(safety.DEVICE, ""))
        token = jar.get(safety.SESSION, "")
        present = self.core.sessions.by_token(visitor, token, used=not looks) if token else None
        who = present.caller if present else None  # None besides: the first steps are owed
        query = request.query_string
        return Asked(
            self.ground,
            visitor,
            token if present else "",
            present,
            who,
            path,
            request.path_info + (f"?{query}" if query else ""),
            _once(_query(query)),
            _once(_form(request.body.params)) if request.method == "POST" and not route.flows else Fields({}),
        )

    @staticmethod
    def _begun(asked: Asked) -> Asked:
        """With the fields of a form whose file is still on its way.  Who sends it is known by now."""
        request = cherrypy.serving.request
        length = int(request.headers.get("Content-Length") or 0)
        fields, file = read_form(request.rfile, request.headers.get("Content-Type", ""), length)
        if len(fields) > MOST_FIELDS:
            raise EucaError("parameter_invalid", f"The form has more than {MOST_FIELDS} fields.")
        return replace(asked, form=_once(fields), file=file)

    def _not_here(self, route: Route, asked: Asked) -> Redirect | None:
        """Where to go instead of a page that this one may not open now."""
        if route.who == ANYONE:
            return None
        if asked.present is None:
            back = f"?next={quote(asked.target, safe='')}" if cherrypy.serving.request.method == "GET" else ""
            return Redirect("/login" + (back if asked.target != "/" else ""))
        if asked.present.first_steps and not route.owed:
            return Redirect("/first-steps")
        if route.who == STAFF and not asked.present.is_admin:
            raise EucaError("denied", "This page is for administrators of the cloud.")
        return None

    # -------------------------------------------------------------------------------------------- its answer
    def _told(self, answer: Answer, asked: Asked, jar: Mapping[str, str]) -> bytes:
        response, request = cherrypy.serving.response, cherrypy.serving.request
        self._common(asked.visitor.request_id)
        match answer:
            case Redirect():
                return self._redirected(answer, jar)
            case Download():
                response.headers["Content-Type"] = answer.type
                response.headers["Content-Disposition"] = f'attachment; filename="{answer.name}"'
                return answer.body
        secret = asked.token or jar.get(safety.VISIT, "")
        if not secret:
            secret = f"{self.core.ids.bits(160):040x}"
            self._bake(safety.VISIT, secret)
        said = safety.read_said(jar.get(safety.SAID))
        if safety.SAID in jar and "HX-Request" not in request.headers:
            self._bake(safety.SAID, "", 0)
        response.status = answer.status
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        return self.renderer.page(answer, asked, safety.proof(secret), said)

    def _redirected(self, answer: Redirect, jar: Mapping[str, str]) -> bytes:
        response = cherrypy.serving.response
        if answer.logged_in is not None:
            self._bake(safety.SESSION, answer.logged_in.token)
            if answer.logged_in.device:
                self._bake(safety.DEVICE, answer.logged_in.device, safety.DEVICE_DAYS * 86400)
            self._bake(safety.VISIT, "", 0)
        elif answer.logged_out:
            self._bake(safety.SESSION, "", 0)
        if answer.said:
            self._bake(safety.SAID, safety.said(answer.said), 60)
        if "HX-Request" in cherrypy.serving.request.headers:  # an open page looked again and may not
            response.headers["HX-Redirect"] = answer.to
            return b""
        response.status = 303
        response.headers["Location"] = answer.to
        return b""

    def _refusal(self, error: EucaError, id: str, asked: Asked | None) -> bytes:
        """Who is known keeps the menu."""
        response = cherrypy.serving.response
        self._common(id)
        response.status = status_of(error)
        if isinstance(error, Refused):
            response.headers.update(dict(error.headers))
        self._come_back(error)
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        return self.renderer.error(error.sentence, status_of(error), id, asked)

    def _come_back(self, refusal: EucaError) -> None:
        if "retry_after" in refusal.facts:
            cherrypy.serving.response.headers["Retry-After"] = str(refusal.facts["retry_after"])

    def _common(self, id: str) -> None:
        response = cherrypy.serving.response
        for name, value in (
            *self.headers,
            ("Cache-Control", "no-store"),
            ("Request-Id", id),
            ("Server", "euca"),
        ):
            response.headers[name] = value

    def _bake(self, name: str, value: str, seconds: int | None = None) -> None:
        """``seconds`` None: until the browser ends; 0: forget it now."""
        baked = cherrypy.serving.response.cookie
        baked[name] = value
        baked[name].update(safety.COOKIE if seconds is None else {**safety.COOKIE, "max-age": seconds})

    def _static(self, name: str) -> bytes:
        file = files().get(name)
        if file is None:
            raise Refused(404, "action_unknown", "There is no such file.")
        response = cherrypy.serving.response
        for header, value in self.headers:
            response.headers[header] = value
        response.headers["Content-Type"] = file.type
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return file.body

    def cherrypy_error(self, status: str, message: str, traceback: str, version: str) -> bytes:
        """What CherryPy refused by itself, before `answer`: a body or a query that it cannot read."""
        id = new_request_id(self.core.ids)
        self._common(id)
        number = int(status[:3])
        sentence = (
            "The request cannot be read as a browser would send it."
            if number < 500
            else f"An internal error occurred; the log tells it under {id}."
        )
        cherrypy.serving.response.headers["Content-Type"] = "text/html; charset=utf-8"
        return self.renderer.error(sentence, number, id, None)


def _query(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise EucaError("parameter_invalid", f"The address has more than {MOST_FIELDS} parameters.") from None


def _form(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    if len(params) > MOST_FIELDS:
        raise EucaError("parameter_invalid", f"The form has more than {MOST_FIELDS} fields.")
    found = []
    for name, value in params.items():
        if not isinstance(value, str):
            raise EucaError(
                "parameter_invalid", f"The field {name[:60]!a} comes more than once or is a file."
            )
        found.append((name, value))
    return found


def _once(pairs: list[tuple[str, str]]) -> Fields:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise EucaError("parameter_invalid", f"The field {name[:60]!a} comes more than once.")
        found[name] = value
    return Fields(found)
