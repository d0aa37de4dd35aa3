"""An operator's own databases of networks and places: MaxMind DB files of GeoLite2, GeoIP2, DB-IP, IPinfo and kin.

Takes the paths of files, gives what a file says of an address as one ``Found``, whatever the layout of its records. A
file that is replaced by another one (renamed into place, as updaters do) is reopened by ``poll``, which may run in
another thread; one that cannot be read leaves the old one in use and says so in ``problem``. The library is imported
when the first file is named.
"""

from __future__ import annotations

import stat
import unicodedata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blocklistd.addresses import format_address
from blocklistd.errors import UsageError
from blocklistd.reputation.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import maxminddb

    from blocklistd.reputation.report import ConnectionType

LONGEST_TEXT: Final = 200


class Found(NamedTuple):
    """What a database says of an address; None where it does not. Degrees, kilometres."""

    asn: int | None = None
    name: str | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    accuracy_km: int | None = None
    connection: Connection | None = None


NOTHING: Final = Found()


class Database:
    """One MaxMind DB file. problem: why it, or the newest version of it, is not in use; empty if it is."""

    def __init__(self, path: Path) -> None:
        """Open a file. Never raises for what the file is: see ``problem``."""
        self.path = path
        self.problem = ""
        self._reader: maxminddb.Reader | None = None
        self._seen: tuple[int, int, int] | None = None
        self.poll()

    def poll(self) -> bool:
        """Open the file if another one has taken its place, or if the last attempt failed; True if opened."""
        import maxminddb

        try:
            status = self.path.stat()
            seen = status.st_ino, status.st_mtime_ns, status.st_size
            if seen == self._seen and not self.problem:
                return False
            if not stat.S_ISREG(status.st_mode):
                self.problem = f"{self.path}: not a regular file"
                return False
            reader = maxminddb.open_database(self.path)
        except OSError as error:
            self.problem = f"{self.path}: cannot be read: {error.strerror or error}"
            return False
        except (maxminddb.InvalidDatabaseError, ValueError, UnicodeDecodeError) as error:
            self.problem = f"{self.path}: not a MaxMind DB file: {error}"
            return False
        # The old reader is not closed: another thread may be asking it. Its last user unmaps the file.
        self._reader, self._seen, self.problem = reader, seen, ""
        return True

    def find(self, family: int, value: int) -> Found:
        """What the file says of an address; a damaged record says nothing and stands in ``problem``."""
        reader = self._reader
        if reader is None:
            return NOTHING
        import maxminddb

        try:
            record = reader.get(format_address(family, value))
        except (maxminddb.InvalidDatabaseError, UnicodeDecodeError) as error:
            self.problem = f"{self.path}: damaged: {error}"
            return NOTHING
        except ValueError:  # an IPv6 address, and the file holds IPv4 only
            return NOTHING
        return read_record(record, self.path.name) if isinstance(record, dict) else NOTHING


def check_databases(paths: Sequence[Path]) -> None:
    """Open every file once. Raises UsageError that names each one that cannot be used."""
    problems = [problem for problem in (Database(path).problem for path in paths) if problem]
    if problems:
        raise UsageError("\n".join(f"--mmdb {problem}" for problem in problems))


def read_record(record: Mapping[str, Any], source: str) -> Found:
    """Read one record of any known layout; whatever is not of the expected type counts as absent.

    source: the name of the file, for the reason of a connection type.
    """
    traits, place = _mapping(record.get("traits")), _mapping(record.get("location"))
    latitude = _degrees(_first(place.get("latitude"), record.get("latitude"), record.get("lat")), 90)
    longitude = _degrees(_first(place.get("longitude"), record.get("longitude"), record.get("lng")), 180)
    parts = record.get("subdivisions")
    part = _mapping(parts[0]) if isinstance(parts, list) and parts else {}
    placed = latitude is not None and longitude is not None
    name = _first(record.get("as_name"), record.get("name") if "asn" in record else None)
    return Found(
        asn=_asn(_first(*(row.get("autonomous_system_number") for row in (record, traits)), record.get("asn"))),
        name=_text(_first(*(row.get("autonomous_system_organization") for row in (record, traits)), name)),
        country=_country(record),
        region=_text(_first(_named(part), record.get("region"), record.get("state1"))),
        city=_text(_first(_named(record.get("city")), record.get("city"))),
        latitude=latitude if placed else None,
        longitude=longitude if placed else None,
        accuracy_km=_kilometres(_first(place.get("accuracy_radius"), record.get("radius"))) if placed else None,
        connection=_connection(record, traits, source),
    )


_USER_TYPES: Final[Mapping[str, ConnectionType]] = {
    **dict.fromkeys(("hosting", "content_delivery_network"), "hosting"),
    **dict.fromkeys(("residential", "dialup"), "residential"),
    **dict.fromkeys(("cellular", "mobile"), "mobile"),
    **dict.fromkeys(("business", "corporate"), "business"),
    **dict.fromkeys(("college", "school", "library", "education"), "education"),
    **dict.fromkeys(("government", "military"), "government"),
}
"""MaxMind's user and connection types and IPinfo's types of networks, those that say what ours say."""


def _connection(record: Mapping[str, Any], traits: Mapping[str, Any], source: str) -> Connection | None:
    words = [traits.get("user_type"), traits.get("connection_type"), record.get("connection_type")]
    if "asn" in record:
        words.append(record.get("type"))
    for word in words:
        kind = _USER_TYPES.get(word.lower()) if isinstance(word, str) else None
        if kind is not None:
            return Connection(kind, f"{source} says '{_text(word)}'")
    if record.get("is_hosting_provider") is True or traits.get("is_hosting_provider") is True:
        return Connection("hosting", f"{source} says it is a hosting provider")
    return None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _named(value: object) -> object:
    """The English name of a place, its only one where it has no English one."""
    names = _mapping(_mapping(value).get("names"))
    return names.get("en") or next(iter(names.values()), None)


def _country(record: Mapping[str, Any]) -> str | None:
    country = record.get("country")
    for code in (record.get("country_code"), _mapping(country).get("iso_code"), country):
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return code.upper()
    return None


def _asn(value: object) -> int | None:
    if isinstance(value, str) and value[:2].upper() == "AS" and value[2:].isascii() and value[2:].isdigit():
        value = int(value[2:12])
    return value if isinstance(value, int) and 0 < value < 2**32 else None


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    plain = "".join(character for character in value[:LONGEST_TEXT] if unicodedata.category(character)[0] != "C")
    return plain.strip() or None


def _degrees(value: object, limit: int) -> float | None:
    """A number of degrees; IPinfo writes them as text."""
    try:
        degrees = float(value)  # type: ignore[arg-type]  # whatever it is: the next line but one says what happens
    except (TypeError, ValueError):
        return None
    return degrees if -limit <= degrees <= limit else None


def _kilometres(value: object) -> int | None:
    try:
        kilometres = int(value)  # type: ignore[call-overload]  # as above
    except (TypeError, ValueError, OverflowError):
        return None
    return kilometres if 0 < kilometres <= 20_100 else None
