"""``blocklistd key``: who may ask from beyond this host, and who may act as the operator over HTTP."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from blocklistd.cli import with_settings
from blocklistd.cli.progress import print_table
from blocklistd.errors import UsageError
from blocklistd.state import FILE
from blocklistd.state.audit import local_actor
from blocklistd.state.database import Database
from blocklistd.state.keys import SCOPES, Scope, add_key, read_keys, revoke_key
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from blocklistd.settings import Settings


@click.group()
def command() -> None:
    """Make, show and revoke keys for HTTP.

    A key goes with each request as Authorization: Bearer KEY or X-Api-Key: KEY. Beyond loopback and unix sockets
    nothing is answered without one.

    \b
    Examples:
      blocklistd key add shop --scope read
      blocklistd key add alice --scope operator > alice.key
      blocklistd key list
      blocklistd key revoke shop
    """  # noqa: D301


@command.command("add")
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="read: ask; operator: also change and refresh.")
@with_settings("data")
def add(settings: Settings, name: str, scope: Scope) -> int:
    """Make a key and print it, this once: only its digest is kept."""
    with Database.open(settings.data) as database:
        key, text = add_key(database, name, scope, local_actor(), time.time())
    click.echo(f"key {key.name}, scope {key.scope}, in {settings.data / FILE}; it is shown only now:", err=True)
    click.echo(text)
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@with_settings("data")
def show(settings: Settings, as_json: bool) -> int:
    """Show the keys by name, scope and first characters."""
    database = Database.open_existing(settings.data)
    keys = []
    if database is not None:
        with database:
            keys = read_keys(database)
    if as_json:
        click.echo(json.dumps([key.as_document() for key in keys], indent=1))
    elif not keys:
        click.echo(f"no keys in {settings.data / FILE}", err=True)
    else:
        rows = [("NAME", "SCOPE", "KEY", "SINCE", "MADE BY")]
        rows += [(k.name, k.scope, f"{k.prefix}…", format_moment(k.created) or "", k.author) for k in keys]
        print_table(rows)
    return 0


@command.command("revoke")
@click.argument("name")
@with_settings("data")
def revoke(settings: Settings, name: str) -> int:
    """Take a key away: refused by every worker within a second."""
    database = Database.open_existing(settings.data)
    if database is None:
        raise UsageError(f"there are no keys in {settings.data / FILE}")
    with database:
        key = revoke_key(database, name, local_actor(), time.time())
    click.echo(f"revoked: {key.name}, scope {key.scope}, {key.prefix}…")
    return 0
