"""The catalogue: feeds.yaml as frozen values.

- ``feed``      one feed and every rule about it
- ``schedule``  when it is due
- ``load``      the file: strict, every mistake at once, with path and line
"""

from blocklistd.catalogue.feed import BOGONS, TABLES, Feed
from blocklistd.catalogue.schedule import Schedule

__all__ = [
    "BOGONS",
    "TABLES",
    "Feed",
    "Schedule",
]
