"""The documentation of HTTP says what the program answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from blocklistd.web.app import ROUTES
from blocklistd.web.openapi import SCHEMAS, Route

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "http.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]}


def test_every_route_has_its_heading_and_no_other() -> None:
    """Sections and routes are the same, in the same order."""
    assert list(SECTIONS) == [f"{route.method} {route.path}" for route in ROUTES]


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.shape not in {"text", "object"}], ids=lambda r: r.name
)
def test_examples_have_the_shape_of_the_contract(route: Route) -> None:
    """The example of each answer has exactly the properties that the contract declares."""
    examples = re.findall(r"```json\n(.*?)```", SECTIONS[f"{route.method} {route.path}"], re.DOTALL)
    assert examples
    for example in examples:
        body = json.loads(example)
        shapes = {
            "IpAnswers": ["IpAnswer", "BadItem"],
            "IpReports": ["IpReport", "BadItem"],
            "MailReports": ["MailReport", "BadMailItem"],
        }.get(route.shape, [route.shape])
        for item in body if isinstance(body, list) else [body]:
            assert any(set(item) == set(SCHEMAS[shape]["properties"]) for shape in shapes), item


def test_every_status_an_error_may_have_is_explained() -> None:
    """The table of statuses holds what the routes may answer."""
    explained = {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)}
    assert {status for route in ROUTES for status in route.errors} | {405} == explained
