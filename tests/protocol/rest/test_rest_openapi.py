"""The OpenAPI document says what is served, and requests made up from it are answered as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks

from euca_rest import openapi, problems, shapes
from euca_rest.routes import DOCUMENT, ROUTES
from euca_rest.shapes import Rule
from euca_rpc.errors import SYMBOLS, EucaError
from euca_rpc.http.statuses import STATUS_OF_KIND

DOC = openapi.document("1")
load_all_checks()
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
SETTINGS = schemathesis.Config.from_dict(  # too large is a refusal, too
    {"checks": {"negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 409, 413, 415, 431]}}}
)
FUZZ = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def test_the_document_is_served_as_it_is_made(scene: Any) -> None:
    served = scene.ask("GET", DOCUMENT)
    assert served.status == 200
    assert served.json["openapi"] == "3.1.0"
    assert served.json["paths"] == json.loads(json.dumps(DOC["paths"]))


def test_the_document_is_valid_openapi() -> None:
    """Loaded by a library that is not ours, every operation and every reference resolved."""
    loaded = schemathesis.openapi.from_dict(DOC)
    found = {(result.ok().method.upper(), result.ok().path) for result in loaded.get_all_operations()}
    assert found == {(route.method, route.path) for route in ROUTES} | {("GET", DOCUMENT)}


def test_every_reference_is_there_and_every_schema_is_used() -> None:
    text = json.dumps(DOC)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named == set(DOC["components"]["schemas"])


def test_operations_are_named_once_and_told_what_they_are_for() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)
    assert all(route.about.endswith(".") for route in ROUTES)
    assert all(route.body is not None or route.method in ("GET", "DELETE", "POST") for route in ROUTES)


def test_every_kind_of_refusal_has_a_status_and_a_title() -> None:
    kinds = set(SYMBOLS.values())
    assert kinds == set(STATUS_OF_KIND) == set(problems.TITLES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_fuzz_from_the_document_is_answered_as_described(route: Any, scene: Any) -> None:
    loaded = schemathesis.openapi.from_url(f"{scene.rest.url}{DOCUMENT}", config=SETTINGS)
    operation = loaded[route.path][route.method]
    token = scene.token("bob")
    checks = [CHECKS.get_one(name) for name in WANTED]

    def made_up(mode: schemathesis.GenerationMode) -> None:
        @FUZZ
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if not route.open:
                case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
            case.call_and_validate(checks=checks, timeout=20)

        ask()

    for mode in schemathesis.GenerationMode:
        made_up(mode)


# ------------------------------------------------------------------------------------- reading, without a server
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BODIES = sorted({route.body for route in ROUTES if route.body is not None}, key=lambda shape: shape.__name__)


@pytest.mark.parametrize("shape", BODIES, ids=lambda shape: shape.__name__)
def test_fuzz_whatever_is_read_has_its_types_or_is_refused_in_words(shape: type) -> None:
    names = [member.name for member in shapes.members(shape)]

    @settings(max_examples=150, deadline=None)
    @given(st.dictionaries(st.sampled_from(names) | st.text(max_size=5), JSONS, max_size=6) | JSONS)
    def read(value: Any) -> None:
        found: Any = None
        refusal: EucaError | None = None
        try:
            found = shapes.read(shape, value, "body")
        except EucaError as error:
            refusal = error
        if refusal is None:
            shown = shapes.shown(found)
            assert {name: shown[name] for name in value} == value, "what was sent is what is meant"
            return
        assert refusal.kind == "bad_request"
        assert refusal.sentence.startswith("body")
        assert len(refusal.sentence) < 600

    read()


@dataclass(frozen=True)
class Inner:
    """Inside."""

    word: Literal["a", "b"] | None


@dataclass(frozen=True)
class Outer:
    """Outside."""

    inner: Inner | None
    many: Annotated[tuple[Inner, ...], Rule(most=2)] = ()
    at: Annotated[str, Rule(format="date-time")] | None = None
    count: Annotated[int, Rule("How many.", least=1, most=9)] = 1
    data: Annotated[bytes, Rule(most=4)] = b""
    map: Annotated[Mapping[str, Annotated[str, Rule(most=3)]], Rule(most=1)] = field(default_factory=dict)


def test_a_schema_says_what_reading_does() -> None:
    found: dict[str, Any] = {}
    assert shapes.schema(Outer, found) == {"$ref": "#/components/schemas/Outer"}
    assert found["Inner"]["properties"]["word"] == {"type": ["string", "null"], "enum": ["a", "b", None]}
    assert found["Outer"]["required"] == ["inner"]
    assert found["Outer"]["properties"] == {
        "inner": {"oneOf": [{"$ref": "#/components/schemas/Inner"}, {"type": "null"}]},
        "many": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}, "maxItems": 2},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "count": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How many."},
        "data": {"type": "string", "contentEncoding": "base64", "maxLength": 8},
        "map": {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 3},
            "maxProperties": 1,
        },
    }
    good = {
        "inner": {"word": "a"},
        "many": [{"word": None}],
        "count": 9,
        "data": "AAAAAA==",
        "map": {"x": "abc"},
    }
    assert shapes.read(Outer, good, "body") == Outer(
        Inner("a"), (Inner(None),), None, 9, bytes(4), {"x": "abc"}
    )
    answered: dict[str, Any] = {}
    shapes.schema(Outer, answered, answer=True)
    assert answered["Outer"]["required"] == ["inner", "many", "at", "count", "data", "map"]


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ({}, "body.inner"),
        ({"inner": {"word": "c"}}, "body.inner.word"),
        ({"inner": None, "many": [{"word": "a"}, {"word": 1}]}, "body.many[1].word"),
        ({"inner": None, "many": [{"word": "a"}] * 3}, "body.many"),
        ({"inner": None, "at": 1}, "body.at"),
        ({"inner": None, "count": 10}, "body.count"),
        ({"inner": None, "data": "AAAAAAA="}, "body.data"),
        ({"inner": None, "map": {"x": "four"}}, "body.map.x"),
        ({"inner": None, "map": {"x": "", "y": ""}}, "body.map"),
        ({"inner": {"word": "a", "wrod": 1}}, "body.inner"),
    ],
)
def test_a_refusal_names_the_place(wrong: Any, at: str) -> None:
    with pytest.raises(EucaError) as refused:
        shapes.read(Outer, wrong, "body")
    assert refused.value.facts["at"] == at
