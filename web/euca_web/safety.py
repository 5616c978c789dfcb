"""Cookies, the proof that a form is ours, and the headers of every answer.

All cookies are `__Host-`: of this host alone, over https only, never readable or writable by another name of the domain,
nor by scripts.  A form carries an HMAC under a secret that only this browser's cookie holds (the session's token, or a
visitor's own number before the log-in): a page of another site can make the browser send the cookie, but not say the
HMAC.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Collection
from urllib.parse import quote, unquote, urlsplit

from euca_rpc.http.statuses import Refused

from .settings import PortalSettings

SESSION, DEVICE, VISIT, SAID = "__Host-euca", "__Host-euca-device", "__Host-euca-visit", "__Host-euca-said"
DEVICE_DAYS = 365
COOKIE = {"path": "/", "secure": True, "httponly": True, "samesite": "Lax"}
_SECRET = re.compile(r"[A-Za-z0-9._~=+/-]{8,800}")
# Nothing but our own files; `data:` are the arrows of Pico's form controls.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def cookies(header: str) -> dict[str, str]:
    """Ours, by name.  One that comes twice is somebody's trick, and is not taken."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for part in header[:8192].split(";"):
        name, _, value = part.strip().partition("=")
        if name in (SESSION, DEVICE, VISIT, SAID):
            if name in found:
                twice.add(name)
            found[name] = value
    for name in (SESSION, DEVICE, VISIT):
        if name in found and (name in twice or not _SECRET.fullmatch(found[name])):
            del found[name]
    return found


def proof(secret: str) -> str:
    """What a form carries; ``secret`` is in the browser's cookie."""
    return hmac.digest(secret.encode(), b"euca portal form", "sha256").hex()


def check_origin(origin: str | None, site: str | None, own: Collection[str]) -> None:
    """``origin``, ``site``: the headers Origin and Sec-Fetch-Site, which honest browsers send truly; ``own``: this portal's
    origins, as the request names it and as the settings do (a proxy may have changed the one)."""
    if (origin is not None and origin not in own) or site not in (None, "same-origin", "none"):
        raise _not_ours()


def check_proof(secret: str, said: str) -> None:
    if not secret or not hmac.compare_digest(proof(secret), said[:100]):
        raise _not_ours()


def _not_ours() -> Refused:
    return Refused(
        403,
        "denied",
        "This form was not sent by a page of this portal that is still good. Open the page again and repeat; the browser "
        "must accept cookies.",
    )


def said(text: str) -> str:
    return quote(json.dumps(text[:1500]), safe="")


def read_said(value: str | None) -> str:
    try:
        found = json.loads(unquote(value or ""))
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def allowed_hosts(settings: PortalSettings) -> frozenset[str]:
    """Lower case, without ports: those a browser may have in its address line."""
    named = {settings.host, *settings.names, "localhost", "127.0.0.1", "[::1]"}
    if settings.url:
        named.add(urlsplit(settings.url).hostname or "")
    return frozenset(name.lower() for name in named if name and name not in ("0.0.0.0", "::"))  # noqa: S104


def check_host(header: str, allowed: frozenset[str]) -> None:
    """A request for another name is answered nothing that a cache or a victim could take for that name's."""
    host = re.sub(r":\d{1,5}\Z", "", header.strip().lower())
    if host not in allowed:
        raise Refused(
            421,
            "parameter_invalid",
            f"This portal is not known as {host[:80]!a}. If it should be, name it under 'names' in [interface.portal].",
        )


def next_page(wanted: str, is_page: Callable[[str], bool]) -> str:
    """Where to go after the log-in: one of our own pages, or the first one."""
    return (
        wanted
        if re.fullmatch(r"/[A-Za-z0-9/._~?&=%-]*", wanted) and is_page(wanted.partition("?")[0])
        else "/"
    )


def headers(settings: PortalSettings) -> list[tuple[str, str]]:
    made = [
        ("Content-Security-Policy", POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]
    if settings.hsts_seconds:
        made.append(("Strict-Transport-Security", f"max-age={settings.hsts_seconds}"))
    return made
