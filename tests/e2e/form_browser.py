"""A browser without JavaScript: cookies, the hidden fields of the page before, redirects followed; it trusts the
certificate that the cloud made for its portal and no other."""

from __future__ import annotations

import html
import http.cookiejar
import re
import ssl
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener

HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')


class Seen(NamedTuple):
    status: int
    path: str  # where redirects led to
    text: str


class FormBrowser:
    def __init__(self, cloud: Any) -> None:
        context = ssl.create_default_context(cafile=str(cloud.home / "portal" / "cert.pem"))
        jar = HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = build_opener(HTTPSHandler(context=context), jar)
        self._url = cloud.config.portal_url

    def get(self, path: str) -> Seen:
        return self._open(Request(f"{self._url}{path}"))

    def send(self, page: str, form: dict[str, str], to: str = "") -> Seen:
        """Opens ``page`` and sends its form, to its own address unless said otherwise."""
        hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(self.get(page).text)}
        data = urlencode({**hidden, **form}).encode()
        return self._open(Request(f"{self._url}{to or page.partition('?')[0]}", data, {"Origin": self._url}))

    def upload(self, page: str, form: dict[str, str], file: bytes) -> Seen:
        """As a browser writes a form with a file, which comes last."""
        hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(self.get(page).text)}
        border, field = "--border", 'Content-Disposition: form-data; name="{}"'
        parts = [
            f"--{border}\r\n{field.format(name)}\r\n\r\n{value}\r\n".encode()
            for name, value in {**hidden, **form}.items()
        ]
        head = f'--{border}\r\n{field.format("file")}; filename="disk.img"\r\n\r\n'
        data = b"".join((*parts, head.encode(), file, f"\r\n--{border}--\r\n".encode()))
        kind = {"Content-Type": f"multipart/form-data; boundary={border}", "Origin": self._url}
        return self._open(Request(f"{self._url}{page}", data, kind))

    def log_in(self, name: str, password: str) -> None:
        seen = self.send("/login", {"user_name": name, "password": password})
        assert seen.path == "/", seen.text

    def _open(self, request: Request) -> Seen:
        try:
            answer = self._opener.open(request, timeout=20)
        except HTTPError as refused:
            answer = refused
        with answer:
            path = answer.geturl().removeprefix(self._url)
            return Seen(answer.status, path, answer.read().decode())
