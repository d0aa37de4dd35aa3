"""``blocklistd history``: what changed for an address, and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from blocklistd.addresses import format_address, parse_address
from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.index.history import History
from blocklistd.index.snapshot import Snapshot
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from blocklistd.settings import Settings


@click.command()
@click.argument("address", metavar="ADDRESS")
@click.option("--limit", default=1000, type=click.IntRange(1, 100_000), help="So many events at most.  [default 1000]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, as under /v1/history.")
@with_settings("data")
def command(settings: Settings, address: str, limit: int, as_json: bool) -> int:
    """Show when lists began and ceased to name an address, newest first.

    A list that named it in the first snapshot has no event for that. Exit status: 0; 1 if the history cannot be read;
    2 if the address is none, or there is no snapshot.

    \b
    Examples:
      blocklistd history 192.0.2.1
      blocklistd lookup --as-of 3d 192.0.2.1
    """  # noqa: D301
    question = parse_address(address)
    with Snapshot.open_current(settings.data) as snapshot:
        feeds = snapshot.lookup(address).feeds
        with History.open(settings.data, snapshot.generation) as history:
            since, events = history.known_since(), history.events(*question, limit=limit)
    ip = format_address(*question)
    if as_json:
        document = {
            "ip": ip,
            "listed": bool(feeds),
            "feeds": list(feeds),
            "known_since": format_moment(since or 0),
            "events": [event.as_document() for event in events],
            "snapshot": snapshot.id,
        }
        click.echo(json.dumps(document, indent=1))
        return 0
    if events:
        rows = [("TIME", "EVENT", "FEED", "NETWORK", "")]
        rows += [
            (
                format_moment(event.at) or "",
                event.name,
                event.feed,
                event.network,
                "still counts for a while" if event.kept else "",
            )
            for event in events
        ]
        print_table(rows)
    began = f"since {format_moment(since)}" if since else "of the time before this snapshot nothing"
    more = ", no change" if not events else f"; only the newest {limit} are shown" if len(events) == limit else ""
    click.echo(f"{ip}  now on {', '.join(feeds) or 'no list'}; known {began}{more}")
    return 0
