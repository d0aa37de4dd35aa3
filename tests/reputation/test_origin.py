"""Origin: tables and databases say where an address belongs, the centre of the country stands in for a place."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from blocklistd import Snapshot
from blocklistd.addresses import parse_address
from blocklistd.reputation.countries import countries
from blocklistd.reputation.databases import Database
from blocklistd.reputation.origin import Origins
from blocklistd.reputation.report import Origin
from tests.reputation.test_databases import write
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEMS = {
    "192.0.2.0/24": (64500, "Example University"),
    "192.0.2.128/25": (64501, "Example Telecom"),
    "2001:db8::/32": (64502, "Example Hosting"),
}
COUNTRIES = {"192.0.2.0/24": "DE", "2001:db8::/32": "US", "198.51.100.0/24": "ZZ"}


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    make_snapshot(tmp_path / "data", {"aws": ["192.0.2.7"]}, systems=SYSTEMS, countries=COUNTRIES)
    with Snapshot.open_current(tmp_path / "data") as snapshot:
        yield snapshot


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()


def ask(origins: Origins, text: str, **named_by: str) -> Origin:
    return origins.origin(*parse_address(text), named_by)


def test_tables_say_network_and_country(snapshot: Snapshot) -> None:
    """Number, name and country of the narrowest rows, the country's centre and radius, the type with its reason."""
    germany = countries()["DE"]
    assert ask(Origins(snapshot), "192.0.2.9") == Origin(
        asn=64500,
        name="Example University",
        country="DE",
        latitude=germany.latitude,
        longitude=germany.longitude,
        accuracy_km=germany.radius_km,
        connection_type="education",
        connection_reason="name of AS64500 contains 'university'",
    )
    six = ask(Origins(snapshot), "2001:db8::9")
    assert (six.asn, six.country, six.connection_type) == (64502, "US", "hosting")
    other = ask(Origins(snapshot), "192.0.2.200")
    assert (other.asn, other.connection_type) == (64501, "unknown")
    assert other.connection_reason == "nothing that is known of this network tells"


def test_nothing_is_made_up(snapshot: Snapshot) -> None:
    """Where no source knows, every field is empty, and the reason says so; ZZ in a table means not known."""
    for text in ("203.0.113.1", "198.51.100.1", "2001:db9::1"):
        assert ask(Origins(snapshot), text) == Origin(connection_reason="no network is known for this address")


def test_lists_go_first(snapshot: Snapshot) -> None:
    """A cloud list decides the connection type, and a relay list before it."""
    origins = Origins(snapshot)
    listed = ask(origins, "192.0.2.9", hosting="aws")
    assert (listed.connection_type, listed.connection_reason) == ("hosting", "listed by aws (hosting)")
    assert (listed.asn, listed.country) == (64500, "DE")
    assert ask(origins, "192.0.2.9", tor="exits").connection_type == "education"
    both = ask(origins, "192.0.2.9", hosting="aws", relay="egress")
    assert both.connection_reason.startswith("listed by egress (relay)")


def test_what_was_said_of_one_list_is_not_said_of_another(snapshot: Snapshot) -> None:
    """Answers that are kept belong to one record and one list; asking again gives the very same."""
    origins = Origins(snapshot)
    first = [ask(origins, "192.0.2.9", **named) for named in ({}, {"hosting": "aws"}, {"cdn": "aws"}, {"hosting": "b"})]
    again = [ask(origins, "192.0.2.8", **named) for named in ({}, {"hosting": "aws"}, {"cdn": "aws"}, {"hosting": "b"})]
    assert len({origin.connection_reason for origin in first}) == 4
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_database_goes_before_the_tables(snapshot: Snapshot, tmp_path: Path) -> None:
    """Its network, country and place are shown; where it says nothing the tables are; the first of two has the word."""
    place = {
        "country": {"iso_code": "FR"},
        "city": {"names": {"en": "Lyon"}},
        "location": {"latitude": 45.76, "longitude": 4.84, "accuracy_radius": 30},
    }
    places = Database(write(tmp_path / "places.mmdb", {"192.0.2.0/25": place}))
    rows = {"192.0.2.0/28": {"asn": "AS64511", "name": "Example", "type": "business", "country": "AT"}}
    networks = Database(write(tmp_path / "networks.mmdb", rows))
    origins = Origins(snapshot, [places, networks])
    assert ask(origins, "192.0.2.9") == Origin(
        asn=64511,
        name="Example",
        country="FR",
        city="Lyon",
        latitude=45.76,
        longitude=4.84,
        accuracy_km=30,
        connection_type="business",
        connection_reason="networks.mmdb says 'business'",
    )
    assert ask(origins, "192.0.2.9", hosting="aws").connection_reason == "listed by aws (hosting)"
    beside = ask(origins, "192.0.2.99")
    assert (beside.asn, beside.country, beside.city) == (64500, "FR", "Lyon")
    assert beside.connection_type == "education"
    outside = ask(origins, "192.0.2.200")
    assert (outside.asn, outside.country, outside.accuracy_km) == (64501, "DE", countries()["DE"].radius_km)
    assert ask(Origins(snapshot, [networks, places]), "192.0.2.9").country == "AT"


def test_a_place_in_another_country_is_not_mixed_in(snapshot: Snapshot, tmp_path: Path) -> None:
    """If the first database says only the country, the city of a second one counts only where that agrees."""
    first = Database(write(tmp_path / "first.mmdb", {"192.0.2.0/24": {"country_code": "AT"}}))
    city = {"country_code": "FR", "city": "Lyon", "latitude": 45.76, "longitude": 4.84}
    second = Database(write(tmp_path / "second.mmdb", {"192.0.2.0/24": city}))
    mixed = ask(Origins(snapshot, [first, second]), "192.0.2.9")
    assert (mixed.country, mixed.city, mixed.latitude) == ("AT", None, countries()["AT"].latitude)
    agreed = ask(Origins(snapshot, [second, first]), "192.0.2.9")
    assert (agreed.country, agreed.city, agreed.accuracy_km) == ("FR", "Lyon", None)


def test_a_worker_stays_light() -> None:
    """Neither the database library nor numpy, YAML or pydantic is imported as long as no database is named."""
    code = (
        "import sys, blocklistd.reputation.origin, blocklistd.reputation.suppression, blocklistd.reputation.host\n"
        "blocklistd.reputation.origin.shipped_rules(), blocklistd.reputation.origin.countries()\n"
        "print([name for name in ('maxminddb', 'numpy', 'yaml', 'pydantic', 'netaddr.contrib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
