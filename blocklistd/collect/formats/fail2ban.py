"""``fail2ban``: the bans of a fail2ban on this or another host.

Takes its SQLite database of any schema, or the output of ``fail2ban-client banned``, or a plain text export. The table
``bips`` holds the latest ban of each address and jail (since 0.11); before it, ``bans`` is the record, of which the
latest row of each address and jail counts. Where there is a column ``bantime``, a ban counts while it lasts: for ever
if it is negative. Schemas without that column cannot tell how long a ban lasts. A row has the address, the jail as
``provider``, the time of the ban as ``first_seen`` and the number of bans as ``count``. The address may be a network; a
host name, which fail2ban may hold as well, is refused.

The database is opened in memory from the bytes that were fetched: nothing is ever written to the file of fail2ban.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import orjson

from blocklistd.collect.formats import lines
from blocklistd.collect.formats.rows import ROWS_AT_ONCE, Rows, cell_text, plain_text
from blocklistd.collect.unpack import SQLITE_MAGIC, BadBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.catalogue.feed import Feed

_WAL: Final = b"\x02\x02"
_ROLES: Final = ("address", "provider", "first_seen", "count")


def read(body: bytes, feed: Feed, now: float) -> Iterator[Rows]:
    """Yield the bans of a database in force at ``now`` (unix time), or the rows of an export.

    Raises BadBody for a database without a table of bans.
    """
    if body.startswith(SQLITE_MAGIC):
        yield from _database(body, now)
        return
    text = plain_text(body)
    if text.lstrip().startswith((b"[", b"{")):
        yield _client_output(text)
        return
    yield from lines.read(text, feed)


def _database(body: bytes, now: float) -> Iterator[Rows]:
    if body[18:20] == _WAL:  # a copy in memory has no write-ahead log: the header must not ask for one
        body = body[:18] + b"\x01\x01" + body[20:]
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(body)
            database.text_factory = lambda raw: raw.decode(errors="replace")
            database.execute("PRAGMA query_only = ON")
            database.execute("PRAGMA trusted_schema = OFF")
            cursor = database.execute(_query(database), {"now": now})
            number = 1
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                columns = {role: [cell_text(row[index]) or "" for row in rows] for index, role in enumerate(_ROLES)}
                yield Rows(range(number, number + len(rows)), columns["address"], columns)
                number += len(rows)
        except sqlite3.Error as error:
            raise BadBody(f"broken database: {error}") from error


def _query(database: sqlite3.Connection) -> str:
    """The bans in force as far as the tables that exist can tell, in the order of ``_ROLES``; takes ``:now``."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, grouping in (("bips", ""), ("bans", "GROUP BY ip, jail")):
        if table in tables:
            columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
            if not {"ip", "jail", "timeofban"} <= columns:
                break
            count = "bancount" if "bancount" in columns else "0"
            lasting = "bantime" if "bantime" in columns else "-1"
            time = "MAX(timeofban)" if grouping else "timeofban"
            # a bare column beside MAX() comes from the row that holds it, as SQLite documents
            latest = (
                f"SELECT ip, jail, {time} AS begun, {count} AS count, {lasting} AS lasts FROM {table} "  # noqa: S608
                f"WHERE ip IS NOT NULL {grouping}"
            )
            in_force = "lasts < 0 OR begun + lasts > :now"
            return f"SELECT ip, jail, begun, count FROM ({latest}) WHERE {in_force} ORDER BY ip, jail"  # noqa: S608
    raise BadBody("no table of bans in the database")


def _client_output(text: bytes) -> Rows:
    """``[{"sshd": ["192.0.2.1"]}]``, also with the single quotes that the client prints."""
    try:
        document = orjson.loads(text.replace(b"'", b'"'))
    except orjson.JSONDecodeError as error:
        raise BadBody(f"no output of fail2ban-client banned: {error}") from error
    addresses: list[str] = []
    jails: list[str] = []
    for jail, banned in _jails(document):
        found = [address for item in banned if (address := cell_text(item)) is not None]
        addresses += found
        jails += [jail] * len(found)
    return Rows(range(1, len(addresses) + 1), addresses, {"address": addresses, "provider": jails})


def _jails(document: Any) -> Iterator[tuple[str, list[Any]]]:
    for part in document if isinstance(document, list) else [document]:
        if not isinstance(part, dict):
            raise BadBody("no output of fail2ban-client banned: a list of jails is expected")
        for jail, banned in part.items():
            if not isinstance(banned, list):
                raise BadBody(f"no output of fail2ban-client banned: jail {jail[:40]!r} holds no list")
            yield jail, banned
