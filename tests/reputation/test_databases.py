"""An operator's own databases: every layout is read, nothing in a file can do harm, a replaced file is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from blocklistd.addresses import parse_address
from blocklistd.errors import UsageError
from blocklistd.reputation.connection import Connection
from blocklistd.reputation.databases import NOTHING, Database, Found, check_databases, read_record

LAYOUTS: dict[str, tuple[dict[str, Any], Found]] = {
    "GeoLite2-ASN, DB-IP ASN": (
        {"autonomous_system_number": 64500, "autonomous_system_organization": "Example, Inc."},
        Found(asn=64500, name="Example, Inc."),
    ),
    "GeoLite2-Country": (
        {
            "continent": {"code": "EU"},
            "country": {"iso_code": "DE", "names": {"en": "Germany"}},
            "registered_country": {"iso_code": "FR"},
        },
        Found(country="DE"),
    ),
    "GeoLite2-City": (
        {
            "city": {"names": {"de": "München", "en": "Munich"}},
            "country": {"iso_code": "DE", "names": {"en": "Germany"}},
            "location": {"latitude": 48.1, "longitude": 11.6, "accuracy_radius": 20, "time_zone": "Europe/Berlin"},
            "subdivisions": [{"iso_code": "BY", "names": {"en": "Bavaria"}}, {"iso_code": "X", "names": {"en": "Not"}}],
        },
        Found(country="DE", region="Bavaria", city="Munich", latitude=48.1, longitude=11.6, accuracy_km=20),
    ),
    "GeoIP2-Enterprise": (
        {
            "country": {"iso_code": "US"},
            "traits": {
                "autonomous_system_number": 64501,
                "autonomous_system_organization": "Example College",
                "user_type": "college",
            },
        },
        Found(asn=64501, name="Example College", country="US", connection=Connection("education", "f says 'college'")),
    ),
    "GeoIP2-Connection-Type": (
        {"connection_type": "Cellular"},
        Found(connection=Connection("mobile", "f says 'Cellular'")),
    ),
    "GeoIP2-Connection-Type, which leaves homes and firms open": ({"connection_type": "Cable/DSL"}, Found()),
    "GeoIP2-Anonymous-IP": (
        {"is_anonymous": True, "is_hosting_provider": True},
        Found(connection=Connection("hosting", "f says it is a hosting provider")),
    ),
    "DB-IP City Lite": (
        {
            "city": {"names": {"en": "Lyon"}},
            "country": {"iso_code": "FR", "is_in_european_union": True},
            "location": {"latitude": 45.76, "longitude": 4.84},
            "subdivisions": [{"names": {"en": "Auvergne-Rhône-Alpes"}}],
        },
        Found(country="FR", region="Auvergne-Rhône-Alpes", city="Lyon", latitude=45.76, longitude=4.84),
    ),
    "IPinfo Lite": (
        {
            "asn": "AS64502",
            "as_name": "Example Net",
            "as_domain": "example.net",
            "country": "Germany",
            "country_code": "DE",
        },
        Found(asn=64502, name="Example Net", country="DE"),
    ),
    "IPinfo country and ASN": (
        {"asn": "AS64502", "as_name": "Example Net", "country": "DE", "country_name": "Germany"},
        Found(asn=64502, name="Example Net", country="DE"),
    ),
    "IPinfo ASN": (
        {"asn": "AS64503", "name": "Example Host", "domain": "example.net", "type": "hosting"},
        Found(asn=64503, name="Example Host", connection=Connection("hosting", "f says 'hosting'")),
    ),
    "IPinfo ASN of an access provider": (
        {"asn": "AS64503", "name": "Example", "type": "isp"},
        Found(asn=64503, name="Example"),
    ),
    "IPinfo location": (
        {"city": "Graz", "region": "Styria", "country": "AT", "lat": "47.07", "lng": "15.44"},
        Found(country="AT", region="Styria", city="Graz", latitude=47.07, longitude=15.44),
    ),
    "ip-location-db": (
        {"country_code": "CH", "city": "Bern", "state1": "Bern", "latitude": 46.9, "longitude": 7.4},
        Found(country="CH", region="Bern", city="Bern", latitude=46.9, longitude=7.4),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read(layout: str) -> None:
    """Network, country, place and kind of connection stand where each publisher puts them."""
    record, expected = LAYOUTS[layout]
    assert read_record(record, "f") == expected


@pytest.mark.parametrize(
    "record",
    [
        {"country": {"iso_code": "Germany"}},
        {"country": "Germany"},
        {"country": {"iso_code": 49}},
        {"autonomous_system_number": -1},
        {"autonomous_system_number": 2**32},
        {"asn": "AS"},
        {"asn": "ASx1"},
        {"asn": "AS99999999999"},
        {"location": {"latitude": 91.0, "longitude": 0.0}},
        {"location": {"latitude": 1.0}},
        {"location": {"latitude": float("nan"), "longitude": float("inf")}},
        {"location": [1, 2], "traits": "none", "subdivisions": {"a": 1}, "city": 5, "region": ["x"]},
        {"traits": {"user_type": "traveler"}},
        {"as_name": "\x00\n"},
    ],
)
def test_what_is_not_as_expected_counts_as_absent(record: dict[str, Any]) -> None:
    """Wrong types, places off the globe and numbers that are no ASN are not passed on."""
    assert read_record(record, "f") == NOTHING


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=300) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({key for record, _ in LAYOUTS.values() for key in record} | {"radius", "traits"})


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_record_can_do_harm(record: dict[str, Any]) -> None:
    """Whatever a file holds, what is read from it is of the right types and bounded."""
    found = read_record(record, "f")
    for text in (found.name, found.region, found.city):
        assert text is None or ((0 < len(text) <= 200 and text.isprintable()) or not text.isascii())
    assert found.country is None or len(found.country) == 2
    assert found.asn is None or 0 < found.asn < 2**32
    assert found.latitude is None or -90 <= found.latitude <= 90


def write(path: Path, rows: dict[str, dict[str, Any]], version: int = 6) -> Path:
    """Write a database as updaters do: aside, then renamed into place."""
    writer = MMDBWriter(ip_version=version, database_type="test", ipv4_compatible=version == 6, float_type="f64")
    for network, record in rows.items():
        writer.insert_network(IPSet([network]), record)
    aside = path.with_suffix(".new")
    writer.to_db_file(str(aside))
    aside.replace(path)
    return path


def test_both_families_are_found(tmp_path: Path) -> None:
    """IPv4 and IPv6 in one file; an address that it does not hold gives nothing, nor does IPv6 in a file of IPv4."""
    rows = {"192.0.2.0/24": {"country_code": "DE"}, "2001:db8::/32": {"country_code": "FR"}}
    database = Database(write(tmp_path / "both.mmdb", rows))
    assert database.problem == ""
    texts = ("192.0.2.9", "2001:db8::9", "198.51.100.1", "2001:db9::1")
    assert [database.find(*parse_address(text)).country for text in texts] == ["DE", "FR", None, None]
    four = Database(write(tmp_path / "four.mmdb", {"192.0.2.0/24": {"country_code": "AT"}}, version=4))
    assert four.find(*parse_address("192.0.2.9")).country == "AT"
    assert four.find(*parse_address("2001:db8::9")) == NOTHING


def test_a_replaced_file_is_reopened(tmp_path: Path) -> None:
    """The next poll answers from the new file; a broken one in its place leaves the old in use and is named."""
    path = write(tmp_path / "places.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    database = Database(path)
    address = parse_address("192.0.2.9")
    assert not database.poll()
    write(path, {"192.0.2.0/24": {"country_code": "FR"}})
    assert database.find(*address).country == "DE"
    assert database.poll()
    assert database.find(*address).country == "FR"
    aside = tmp_path / "broken"
    aside.write_bytes(b"<html>")
    aside.replace(path)
    assert not database.poll()
    assert str(path) in database.problem
    assert "not a MaxMind DB file" in database.problem
    assert database.find(*address).country == "FR"
    path.unlink()
    assert not database.poll()
    assert "cannot be read" in database.problem
    assert database.find(*address).country == "FR"
    write(path, {"192.0.2.0/24": {"country_code": "AT"}})
    assert database.poll()
    assert (database.problem, database.find(*address).country) == ("", "AT")


def test_every_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A missing file, a folder, a file of something else: all mistakes at once; good ones pass."""
    good = write(tmp_path / "good.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    check_databases([good])
    other = tmp_path / "other.mmdb"
    other.write_text("start,end,country\n")
    with pytest.raises(UsageError) as caught:
        check_databases([tmp_path / "absent.mmdb", tmp_path, good, other])
    lines = str(caught.value).splitlines()
    assert lines[0] == f"--mmdb {tmp_path / 'absent.mmdb'}: cannot be read: No such file or directory"
    assert lines[1] == f"--mmdb {tmp_path}: not a regular file"
    assert lines[2].startswith(f"--mmdb {other}: not a MaxMind DB file")
    assert len(lines) == 3


def test_damage_inside_a_file_is_no_exception(tmp_path: Path) -> None:
    """Records overwritten with noise say nothing, and the file is named."""
    path = write(tmp_path / "places.mmdb", {"192.0.2.0/24": {"country_code": "DE"}, "198.51.100.0/24": {"a": "b" * 99}})
    content = bytearray(path.read_bytes())
    start = content.index(b"country_code") - 8
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    database = Database(path)
    assert database.find(*parse_address("192.0.2.9")).country is None
    assert "damaged" in database.problem
