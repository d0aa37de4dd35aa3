"""The running catalogue: its text as it was accepted, and what it says.

The refresh child reads this very text from an anonymous file, so that a mistake saved to feeds.yaml meanwhile changes
nothing until SIGHUP, and then is reported while the running catalogue stays.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from blocklistd.catalogue import Feed, load_catalogue
from blocklistd.catalogue.document import LARGEST_FILE
from blocklistd.daemon.memory import anonymous_file, path_of
from blocklistd.daemon.policy import refusal
from blocklistd.errors import CatalogueInvalid, UsageError
from blocklistd.web.notices import CatalogueFeed

if TYPE_CHECKING:
    from blocklistd.settings import Settings


@dataclass(frozen=True, slots=True)
class RunningCatalogue:
    """feeds: those switched on; handle: of the anonymous file with the text; read_at: unix time."""

    feeds: tuple[Feed, ...]
    handle: int
    read_at: float

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.handle)


def read_running(settings: Settings) -> RunningCatalogue:
    """Read the catalogue of the settings. Raises CatalogueInvalid or UsageError with every mistake."""
    try:
        with settings.config.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the catalogue {settings.config}: {error.strerror}") from None
    handle = anonymous_file("feeds.yaml", text)
    try:
        feeds = load_catalogue(path_of(handle)).enabled(settings.use)
    except CatalogueInvalid as error:
        os.close(handle)
        raise CatalogueInvalid(str(settings.config), error.problems) from None
    except BaseException:
        os.close(handle)
        raise
    return RunningCatalogue(feeds, handle, time.time())


def notice(running: RunningCatalogue, *, refused: Exception | None = None) -> dict[str, Any]:
    """What the workers are told; ``refused`` is why a newer text is not in force.

    Workers tell it to whoever asks, so the mistakes themselves, which may quote a secret, stay in the log.
    """
    return {
        "read_at": time.time() if refused else running.read_at,
        "problem": refusal(refused) if refused else "",
        "feeds": [asdict(CatalogueFeed.of(feed)) for feed in running.feeds],
    }
