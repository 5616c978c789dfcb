"""Templates: everything that is put into one is escaped, whatever it is; sentences live in the templates.

The filters turn values into what people read.  A moment is shown with its distance from now and keeps the exact one in
its `title` and `datetime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from euca_rpc.clock import SECOND, Micros, iso, moment
from euca_rpc.nouns import Core

from . import safety, static_files
from .asked import NOTHING, Asked, Page
from .menu import menu_of
from .settings import PortalSettings


class Renderer:
    def __init__(self, core: Core, settings: PortalSettings) -> None:
        self._settings = settings
        self._templates = Environment(
            loader=PackageLoader("euca_web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals.update(static=static_files.url, link=link, refresh=settings.refresh_seconds)
        self._templates.filters.update(
            ago=lambda at: ago(at, core.clock.now()),
            moment=moment,
            bytes=byte_count,
            mebibytes=mebibytes,
            hours=lambda seconds: f"{seconds / 3600:,.1f}",
            limit=lambda number: "no limit" if number < 0 else f"{number:,}",
            flag=yes_no,
        )

    def page(self, page: Page, asked: Asked, proof: str, said: str) -> bytes:
        return self._rendered(page.template, asked, proof, {"said": said, **page.facts})

    def error(self, sentence: str, status: int, id: str, asked: Asked | None) -> bytes:
        """``asked`` None: nobody knows yet who asks."""
        proof = safety.proof(asked.token) if asked and asked.token else ""
        facts = {"sentence": sentence, "status": status, "request_id": id, "said": ""}
        return self._rendered("error.html", asked, proof, facts)

    def _rendered(self, template: str, asked: Asked | None, proof: str, facts: Mapping[str, Any]) -> bytes:
        common = {
            "asked": asked,
            "form": asked.form if asked else NOTHING,
            "trouble": asked.trouble if asked else None,
            "present": asked.present if asked else None,
            "menu": menu_of(asked) if asked else (),
            "proof": proof,
        }
        text = self._templates.get_template(template).render(**common, **facts)
        return text.encode("utf-8", "replace")


def link(path: str, **query: Any) -> str:
    """``path`` with what of ``query`` is not empty."""
    text = urlencode({name: value for name, value in query.items() if value not in ("", None)})
    return f"{path}?{text}" if text else path


_STEPS: tuple[tuple[int, int, str], ...] = (
    (120, 1, "s"),
    (7200, 60, "min"),
    (172_800, 3600, "h"),
    (1 << 62, 86400, "d"),
)


def ago(at: Micros | None, now: Micros) -> Markup:
    if not at:
        return Markup('<span class="quiet">never</span>')
    seconds = abs(now - at) // SECOND
    step, unit = next((step, unit) for most, step, unit in _STEPS if seconds < most)
    words = f"{seconds // step} {unit} ago" if at <= now else f"in {seconds // step} {unit}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(at), moment(at), words)


def byte_count(number: int) -> str:
    size, units = float(number), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024 and unit != "TiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if size >= 100 or size == int(size) else f"{size:.1f} {unit}"


def mebibytes(number: int) -> str:
    return "no limit" if number < 0 else byte_count(number << 20)


def yes_no(value: bool) -> str:
    return "yes" if value else "no"
