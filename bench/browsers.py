"""Browsers in front of the portal: one process, which opens pages at a steady pace while it is told to.

    python -m bench.browsers URL CERTIFICATE  ◄── lines on stdin: go, rest, end       "ready", then figures on stdout

`OPEN` people have a page open, which looks again every 5 s as its script would, and open another one every 10 s.  They
share the session of one administrator, whose pages are the costly ones: they show everybody's machines.
"""

from __future__ import annotations

import html
import http.client
import json
import re
import select
import ssl
import statistics
import sys
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

OPEN = 50
PACE = OPEN / 5 + OPEN / 10  # requests a second
LOOKS = ("/", "/instances", "/instances", "/admin/nodes")  # of pages that are open
CLICKS = ("/", "/instances", "/launch", "/images", "/usage", "/admin/users", "/admin/usage", "/admin/audit")
PASSWORD = "benchmarks need patience"


class Browser:
    def __init__(self, url: str, certificate: str) -> None:
        where = urlsplit(url)
        trust = ssl.create_default_context(cafile=certificate)
        self._url, self._jar = url, {}
        self._line = http.client.HTTPSConnection(where.hostname or "", where.port, timeout=30, context=trust)

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Any:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._jar.items()), **headers}
        if form is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._url}
        self._line.request(method, path, urlencode(form) if form is not None else None, sent)
        answer = self._line.getresponse()
        text = answer.read().decode()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                cookie, _, content = value.partition(";")[0].partition("=")
                self._jar[cookie] = content
        return answer, text

    def send(self, page: str, form: dict[str, str]) -> str:
        """The form of that page; where it leads to."""
        _, text = self.ask("GET", page)
        found = re.search(r'name="proof" value="([0-9a-f]+)"', text)
        answer, text = self.ask("POST", page, {"proof": found[1] if found else "", **form})
        if answer.status != 303:
            raise RuntimeError(f"{page}: {answer.status} {html.unescape(re.sub('<[^>]*>', ' ', text))[:500]}")
        return str(answer.headers["Location"])

    def log_in(self) -> None:
        """With the first steps of the administrator, which a new cloud owes."""
        self.send("/login", {"user_name": "admin", "password": "admin"})
        told = {"password": PASSWORD, "password_again": PASSWORD, "email": "bench@example.org"}
        self.send("/first-steps", told)

    def page(self, number: int) -> float:
        """Seconds."""
        looks = number % 3 != 0
        pages, headers = (LOOKS, {"HX-Request": "true"}) if looks else (CLICKS, {})
        began = time.perf_counter()
        answer, _ = self.ask("GET", pages[number // 3 % len(pages)], None, **headers)
        if answer.status != 200:
            raise RuntimeError(f"a page was answered with {answer.status}")
        return time.perf_counter() - began


def main() -> None:
    browser = Browser(sys.argv[1], sys.argv[2])
    browser.log_in()
    print("ready", flush=True)
    took: list[float] = []
    going, due = False, 0.0
    while True:
        wait = max(0.0, due - time.monotonic()) if going else None
        if select.select([sys.stdin], [], [], wait)[0]:
            word = sys.stdin.readline().strip()
            if word not in ("go", "rest"):
                break
            going, due = word == "go", time.monotonic()
            continue
        took.append(browser.page(len(took)))
        due = max(
            due + 1 / PACE, time.monotonic() - 1.0
        )  # what a stall delayed is made up for, within a second
    figures = {
        "pages": len(took),
        "pace": PACE,
        "p50_ms": round(statistics.median(took) * 1e3, 1) if took else 0,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
