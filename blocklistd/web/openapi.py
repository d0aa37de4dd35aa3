"""The contract: an OpenAPI 3.1 document made from the route table.

Takes the rows of ``app.ROUTES``, gives the document. Shapes of bodies are written here once, beside each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from blocklistd.version import VERSION
from blocklistd.web.bodies import JSON, MSGPACK, NDJSON
from blocklistd.web.bulk import MOST_ITEMS
from blocklistd.web.problems import PROBLEM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp import web


@dataclass(frozen=True, slots=True)
class Route:
    """One route: method, path, name (also the label in metrics), handler, a sentence, the shape of its answer.

    errors: statuses it may answer besides ``success``; success: the status of a good answer.
    """

    method: str
    path: str
    name: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    shape: str
    errors: tuple[int, ...] = ()
    success: int = 200


def _text(description: str = "", *, nullable: bool = False) -> dict[str, Any]:
    kind = {"type": ["string", "null"] if nullable else "string"}
    return {**kind, "description": description} if description else kind


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_FACTS: Final = {
    "listed": {"type": "boolean"},
    "feeds": {"type": "array", "items": {"type": "string"}, "description": "Ids in the order of the catalogue."},
    "snapshot": _text("Id of the snapshot that answered."),
}
_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_NUMBER: Final = {"type": "integer"}
_FLAG: Final = {"type": "boolean"}

SCHEMAS: Final[dict[str, Any]] = {
    "IpAnswer": _object("ip listed feeds snapshot", ip=_text("Canonical text, RFC 5952."), **_FACTS),
    "BadItem": _object("ip error", ip={"description": "What was asked."}, error=_text("Why it is no address.")),
    "IpQuestions": {
        "oneOf": [
            {"type": "array", "items": {"type": "string"}, "maxItems": MOST_ITEMS},
            _object("ips", ips={"type": "array", "items": {"type": "string"}, "maxItems": MOST_ITEMS}),
        ],
    },
    "IpAnswers": {"type": "array", "items": {"oneOf": [_reference("IpAnswer"), _reference("BadItem")]}},
    "DomainAnswer": _object("domain listed feeds snapshot", domain=_text(), **_FACTS),
    "Feed": _object(
        "id state verdict entries stale dropped in_snapshot",
        id=_text(),
        title=_text(),
        kind=_text(),
        category=_text(nullable=True),
        provider=_text(nullable=True),
        weight={"type": ["integer", "null"]},
        group=_text(nullable=True),
        terms=_text(nullable=True),
        homepage=_text(nullable=True),
        state={"enum": ["never", "updated", "unchanged", "failed", "refused"]},
        reason=_text("Why the last attempt was bad, or what went wrong although it was good.", nullable=True),
        verdict={"enum": ["accepted", "refused", "none"]},
        entries=_NUMBER,
        lines=_NUMBER,
        rejected=_NUMBER,
        special=_NUMBER,
        masked=_NUMBER,
        wide=_NUMBER,
        below_minimum=_NUMBER,
        rejects={
            "type": "array",
            "description": "The first lines that gave nothing.",
            "items": _object("line text reason", line=_NUMBER, text=_text(), reason=_text()),
        },
        ranges=_NUMBER,
        age_seconds={"type": ["integer", "null"]},
        last_attempt=_TIME,
        last_success=_TIME,
        last_change=_TIME,
        dated=_TIME,
        failures=_NUMBER,
        not_before=_TIME,
        stale=_FLAG,
        dropped=_FLAG,
        in_snapshot=_FLAG,
    ),
    "Feeds": _object(
        "snapshot feeds",
        snapshot=_text(nullable=True),
        generation={"type": ["integer", "null"]},
        built_at=_TIME,
        age_seconds={"type": ["integer", "null"]},
        snapshot_problem=_text(nullable=True),
        refreshing=_FLAG,
        refresh={"type": ["object", "null"]},
        catalogue={"type": ["object", "null"]},
        feeds={"type": "array", "items": _reference("Feed")},
    ),
    "Accepted": _object("accepted", accepted=_FLAG, detail=_text(), progress=_text()),
    "Health": _object("live", live=_FLAG),
    "Ready": _object(
        "ready snapshot", ready=_FLAG, snapshot=_text(), built_at=_TIME, age_seconds=_NUMBER, feeds=_NUMBER
    ),
    "Problem": _object("type title status detail", type=_text(), title=_text(), status=_NUMBER, detail=_text()),
}

PARAMETERS: Final = {
    "ip": ("One IPv4 or IPv6 address in plain notation.", "192.0.2.1"),
    "name": ("A domain name.", "mail.example.org"),
    "id": ("Id of a feed.", "tor_bulk_exit"),
}


def contract(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "blocklistd",
            "version": VERSION,
            "summary": "Which public lists name this address?",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = {str(route.success): {"description": route.summary, "content": _content(route)}}
    for status in route.errors:
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": _reference("Problem")}},
        }
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": answers}
    if names := re.findall(r"{(\w+)}", route.path):
        operation["parameters"] = [_parameter(name) for name in names]
    if route.name == "ip_bulk":
        operation["requestBody"] = {
            "required": True,
            "content": {
                JSON: {"schema": _reference("IpQuestions")},
                "text/plain": {"schema": _text("One address a line, any number of lines.")},
            },
        }
    return operation


def _content(route: Route) -> dict[str, Any]:
    if route.shape == "text":
        return {"text/plain": {"schema": {"type": "string"}}}
    if route.shape == "object":
        return {JSON: {"schema": {"type": "object"}}}
    schema = {"schema": _reference(route.shape)}
    if route.path.startswith("/v1/"):
        content = {JSON: schema, MSGPACK: schema}
        if route.name == "ip_bulk":
            content[NDJSON] = {"schema": _text("One IpAnswer or BadItem a line.")}
        return content
    return {JSON: schema}


def _parameter(name: str) -> dict[str, Any]:
    description, example = PARAMETERS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }
