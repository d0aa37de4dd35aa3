"""What operators do over HTTP beside changing entries, noted in the audit table."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from blocklistd.errors import StorageFailed

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.state.audit import Actor

logger = logging.getLogger(__name__)


async def note_refresh(data: Path, actor: Actor) -> None:
    """Note who asked for a refresh. It does no harm, so it is not refused where this fails."""
    try:
        await asyncio.to_thread(_record, data, actor)
    except StorageFailed as error:
        logger.error("who asked for a refresh could not be noted: %s", error)  # noqa: TRY400 - the reason in one line


def _record(data: Path, actor: Actor) -> None:
    from blocklistd.state.audit import record
    from blocklistd.state.database import Database  # SQLite is loaded when it is first needed

    with Database.open(data) as database, database.writing() as connection:
        record(connection, actor, "refresh.ask", "all feeds", now=time.time())
