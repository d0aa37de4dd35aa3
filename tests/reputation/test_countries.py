"""Centres and radii of countries are plausible facts of geography."""

from __future__ import annotations

import csv
import gzip
import math

import pytest

from blocklistd.reputation.countries import Country, countries
from tests.corpus import CORPUS


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The distance of two places along the surface, by the haversine formula."""
    (a, b), (c, d) = (tuple(map(math.radians, place)) for place in (one, other))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(half))


def test_every_code_of_the_standard_has_a_row() -> None:
    """ISO 3166-1 has 249 codes of two letters; Kosovo, which has none, goes by XK."""
    assert len(countries()) == 249 + 1
    assert "XK" in countries()
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in countries())
    assert len({country.name for country in countries().values()}) == len(countries())


def test_figures_are_possible() -> None:
    """A place on the globe, an area between the Holy See's and Russia's, a radius no smaller than the area's."""
    for code, country in countries().items():
        assert -90 <= country.latitude <= 90, code
        assert -180 <= country.longitude <= 180, code
        assert 0.4 <= country.area_km2 <= 17_100_000, code
        assert math.sqrt(country.area_km2 / math.pi) <= country.radius_km <= 9000, code


def test_all_areas_together_are_the_land_of_the_earth() -> None:
    """149 million square kilometres of land and some two of lakes; a slip of a digit would show."""
    assert 148e6 < sum(country.area_km2 for country in countries().values()) < 152e6


CITIES = {
    "AU": [(-33.87, 151.21), (-31.95, 115.86)],
    "BR": [(-23.55, -46.63), (-3.12, -60.02), (-8.05, -34.9)],
    "CA": [(43.65, -79.38), (49.28, -123.12), (45.5, -73.57)],
    "CL": [(-33.45, -70.67), (-53.16, -70.91), (-18.48, -70.31)],
    "CN": [(39.9, 116.4), (31.23, 121.47), (43.83, 87.62), (23.13, 113.26)],
    "DE": [(52.52, 13.4), (48.14, 11.58), (53.55, 9.99), (50.94, 6.96)],
    "ES": [(40.42, -3.7), (41.39, 2.17), (28.12, -15.43)],
    "FR": [(48.86, 2.35), (43.3, 5.37), (48.58, 7.75), (48.39, -4.49)],
    "GB": [(51.51, -0.13), (55.86, -4.25), (54.6, -5.93), (57.15, -2.09)],
    "ID": [(-6.21, 106.85), (3.6, 98.67), (-2.53, 140.72)],
    "IN": [(28.61, 77.21), (13.08, 80.27), (22.57, 88.36)],
    "IT": [(41.9, 12.5), (45.46, 9.19), (38.12, 13.36)],
    "JP": [(35.68, 139.69), (43.06, 141.35), (26.21, 127.68)],
    "NO": [(59.91, 10.75), (69.65, 18.96)],
    "NZ": [(-36.85, 174.76), (-45.87, 170.5)],
    "PT": [(38.72, -9.14), (37.74, -25.67)],
    "RU": [(55.76, 37.62), (59.93, 30.34), (54.71, 20.51), (43.12, 131.89)],
    "SE": [(59.33, 18.07), (55.6, 13.0), (67.86, 20.23)],
    "SG": [(1.29, 103.85)],
    "US": [(40.71, -74.01), (34.05, -118.24), (47.61, -122.33), (25.76, -80.19), (42.36, -71.06)],
    "ZA": [(-33.92, 18.42), (-26.2, 28.05), (-29.86, 31.02)],
}
"""Large cities far from the middle of their country, in degrees."""


@pytest.mark.parametrize("code", sorted(CITIES))
def test_the_radius_holds_the_far_cities(code: str) -> None:
    """Who is told a centre and a radius finds the country's large cities within it."""
    country = countries()[code]
    far = max(kilometres((country.latitude, country.longitude), city) for city in CITIES[code])
    assert far <= country.radius_km
    assert country.radius_km <= 3 * max(far, 10)


def test_known_rows() -> None:
    """Two that anybody can look up."""
    assert countries()["DE"] == Country("Germany", 51.2, 10.4, 357_600, 420)
    assert countries()["MT"].name == "Malta"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the repository")
def test_every_code_of_a_real_table_is_known() -> None:
    """No country of a real table of the world lacks a centre."""
    codes = set()
    for family in (4, 6):
        with gzip.open(CORPUS / f"country/asn-country-ipv{family}.csv.gz", "rt", newline="") as file:
            codes |= {row[2] for row in csv.reader(file)}
    assert len(codes) > 200
    assert codes <= countries().keys()
