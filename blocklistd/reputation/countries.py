"""Where a country lies: its centre and a radius that holds nearly all of its people.

The figures are facts of geography, kept as data (``data/countries.json``): degrees, square kilometres, kilometres. The
radius is that of a circle as large as the country, or more where it is long or scattered over a sea; far dependencies
have codes of their own.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Country(NamedTuple):
    """One country of ISO 3166-1: English name, centre in degrees, area, and how far from the centre it reaches."""

    name: str
    latitude: float
    longitude: float
    area_km2: float
    radius_km: int


@cache
def countries() -> Mapping[str, Country]:
    """Every two-letter code of ISO 3166-1, and XK, which tables of addresses use for Kosovo."""
    rows = json.loads(Path(__file__).with_name("data").joinpath("countries.json").read_bytes())
    return {code: Country(**row) for code, row in rows.items()}
