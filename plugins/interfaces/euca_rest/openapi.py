"""The OpenAPI 3.1 document, made from the table of routes and the shapes of the bodies."""

from __future__ import annotations

import re
from typing import Any

from euca_rpc.errors import SYMBOLS
from euca_rpc.http.statuses import STATUS_OF_KIND

from .problems import MEDIA_TYPE, TITLES, URN
from .routes import DOCUMENT, ROUTES, Route
from .shapes import members, schema

# Statuses of a request that is not right, and of a cloud that is not well, whatever is asked.
_ALWAYS = (400, 429, 431, 500, 503)
_WITH_BODY = (411, 413, 415)
STATUS_TITLES = {
    405: "The path takes other methods",
    408: "The request did not come in time",
    411: "The body came without its length",
    413: "The body is too large",
    415: "The body is not JSON",
    431: "The head is too large",
}


def document(version: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, found)
    paths[DOCUMENT] = {
        "get": {
            "operationId": "getDocument",
            "summary": "This document.",
            "security": [],
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": _refusal([400]),
            },
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Euca",
            "version": version,
            "description": "Machines of a private cloud. A token from POST /v1/tokens proves the caller; cookies are not "
            "looked at. Errors are problem documents (RFC 9457) whose type names what kind of refusal it is.",
        },
        "paths": paths,
        "components": {
            "schemas": {**found, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Why the request was refused.",
    "properties": {
        "type": {
            "type": "string",
            "enum": [URN + symbol for symbol in SYMBOLS],
            "description": "What programs switch on.",
        },
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was asked, what there is, what to do next."},
        "instance": {"type": "string", "description": "The request, as the cloud's log names it."},
        "facts": {"type": "object", "description": "Numbers and names behind the sentence."},
    },
    "required": ["type", "title", "status", "detail", "instance", "facts"],
    "additionalProperties": False,
}


def _operation(route: Route, found: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "responses": _responses(route, found),
    }
    parameters = _parameters(route, found)
    if parameters:
        made["parameters"] = parameters
    if route.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema(route.body, found)}},
        }
    if route.open:
        made["security"] = []
    return made


def _parameters(route: Route, found: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    for member in members(route.query) if route.query is not None else ():
        of = schema(member.hint, found)
        if isinstance(of.get("type"), list):  # a query has no null
            of["type"] = of["type"][0]
        one: dict[str, Any] = {"name": member.name, "in": "query", "schema": of}
        if "description" in of:
            one["description"] = of.pop("description")
        if isinstance(member.default, int):
            of["default"] = member.default
        if of.get("type") == "array":
            one |= {"style": "form", "explode": True}
        made.append(one)
    if route.once:
        made.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same request is answered with the same instances, once made.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
            }
        )
    return made


def _responses(route: Route, found: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done."}
    if route.answer is not None:
        good["content"] = {"application/json": {"schema": schema(route.answer, found, answer=True)}}
    statuses = {*_ALWAYS, *(STATUS_OF_KIND[SYMBOLS[symbol]] for symbol in route.refusals)}
    statuses |= set(_WITH_BODY) if route.body is not None else set()
    statuses |= {401}
    by_status: dict[int, list[str]] = {status: [] for status in statuses}
    for symbol in route.refusals:
        by_status[STATUS_OF_KIND[SYMBOLS[symbol]]].append(symbol)
    refusals = {str(status): _refusal([status], symbols) for status, symbols in sorted(by_status.items())}
    return {str(route.status): good, **refusals}


def _refusal(statuses: list[int], symbols: list[str] | None = None) -> dict[str, Any]:
    kinds = [kind for kind, status in STATUS_OF_KIND.items() if status in statuses]
    if symbols:
        kinds = [kind for kind in kinds if kind in {SYMBOLS[symbol] for symbol in symbols}] or kinds
    title = "; ".join(TITLES[kind] for kind in kinds) or "; ".join(
        STATUS_TITLES[status] for status in statuses
    )
    named = f" ({', '.join(symbols)})" if symbols else ""
    headers: dict[str, Any] = {}
    if 429 in statuses:
        about = "Seconds until the next request will be taken."
        headers["Retry-After"] = {
            "required": True,
            "description": about,
            "schema": {"type": "integer", "minimum": 1},
        }
    return {
        "description": f"{title}{named}.",
        **({"headers": headers} if headers else {}),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
