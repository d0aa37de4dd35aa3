"""``blocklistd audit``: who changed what, when and from where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.state.audit import MOST, read_acts
from blocklistd.state.database import Database
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from blocklistd.settings import Settings


@click.command()
@click.option("--last", type=click.IntRange(1, MOST), default=50, show_default=True, help="So many acts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@with_settings("data")
def command(settings: Settings, last: int, as_json: bool) -> int:
    """Show what operators did: overrides, keys, quarantine, rollback, refreshes asked for; newest first.

    \b
    Examples:
      blocklistd audit --last 10
      blocklistd audit --json --last 100000 > acts.ndjson
    """  # noqa: D301
    database = Database.open_existing(settings.data)
    acts = []
    if database is not None:
        with database:
            acts = read_acts(database, last)
    if as_json:
        for act in acts:
            click.echo(json.dumps(act.as_document()))
    elif not acts:
        click.echo("nothing has been done yet", err=True)
    else:
        rows = [("WHEN", "WHO", "FROM", "WHAT", "ON", "DETAIL")]
        rows += [(format_moment(a.at) or "", a.actor, a.origin, a.action, a.subject, a.detail) for a in acts]
        print_table(rows)
    return 0
