"""Where an address belongs: network, country, place and kind of connection, with the reason.

Takes a family and a value, what the lists say, the tables of a snapshot and an operator's own databases, whose word
goes before the tables'. Where only the country is known the place is its centre and ``accuracy_km`` the country's
radius; a database that gives a place without a radius leaves ``accuracy_km`` empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from blocklistd.reputation.connection import NO_NETWORK, TELLING, Connection, of_lists, shipped_rules
from blocklistd.reputation.countries import countries
from blocklistd.reputation.databases import NOTHING, Found
from blocklistd.reputation.report import Origin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocklistd.index import Snapshot
    from blocklistd.index.tables import Table
    from blocklistd.reputation.databases import Database

MOST_KEPT: Final = 65_536
"""So many origins, and connection types of networks, are kept; then keeping starts anew."""


class Origins:
    """Answers for one snapshot; the same ``Origin`` is given again for the same record of the tables."""

    def __init__(self, snapshot: Snapshot, databases: Sequence[Database] = ()) -> None:
        """databases: opened ones, the first has the first word; they outlive the snapshot."""
        self.databases = tuple(databases)
        self._systems, self._countries = snapshot.tables["asn"], snapshot.tables["country"]
        self._kept: dict[tuple[object, ...], Origin] = {}
        self._connections: dict[tuple[int, str], Connection] = {}

    def origin(self, family: int, value: int, named_by: Mapping[str, str]) -> Origin:
        """Where an address belongs; named_by: category → feed, of the lists that name it and are to count."""
        telling = tuple([named_by.get(category, "") for category in TELLING]) if named_by else ()
        if self.databases:
            return self._make(self._search(family, value), telling)
        key = self._systems.record(family, value), self._countries.record(family, value), telling
        origin = self._kept.get(key)
        if origin is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            origin = self._kept[key] = self._make(self._read(*key[:2]), telling)
        return origin

    def _read(self, system: int, country: int) -> Found:
        """What two records of the tables say."""
        number, name = self._systems.row(system)
        return Found(asn=number or None, name=name or None, country=_code(self._countries, country))

    def _search(self, family: int, value: int) -> Found:
        """What the databases say, and the tables where those say nothing."""
        found = [database.find(family, value) for database in self.databases]
        found.append(self._read(self._systems.record(family, value), self._countries.record(family, value)))
        system = next((one for one in found if one.asn is not None), NOTHING)
        country = next((one.country for one in found if one.country is not None), None)
        place = next((one for one in found if one.latitude is not None and one.country in {country, None}), NOTHING)
        return place._replace(
            asn=system.asn,
            name=system.name,
            country=country,
            connection=next((one.connection for one in found if one.connection is not None), None),
        )

    def _make(self, found: Found, telling: tuple[str, ...]) -> Origin:
        named = {category: feed for category, feed in zip(TELLING, telling, strict=False) if feed}
        connection = of_lists(named) or found.connection or self._connection(found.asn, found.name or "")
        latitude, longitude, accuracy = found.latitude, found.longitude, found.accuracy_km
        centre = countries().get(found.country) if found.country and latitude is None else None
        if centre is not None:
            latitude, longitude, accuracy = centre.latitude, centre.longitude, centre.radius_km
        return Origin(
            asn=found.asn,
            name=found.name,
            country=found.country,
            region=found.region,
            city=found.city,
            latitude=latitude,
            longitude=longitude,
            accuracy_km=accuracy,
            connection_type=connection.type,
            connection_reason=connection.reason,
        )

    def _connection(self, asn: int | None, name: str) -> Connection:
        if asn is None:
            return NO_NETWORK
        connection = self._connections.get((asn, name))
        if connection is None:
            if len(self._connections) >= MOST_KEPT:
                self._connections.clear()
            connection = self._connections[asn, name] = shipped_rules().of_network(asn, name)
        return connection


def _code(table: Table, record: int) -> str | None:
    """The country of a record, None for the codes with which tables say that they do not know."""
    code = table.row(record)[1].upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() and code not in {"ZZ", "XX"} else None
