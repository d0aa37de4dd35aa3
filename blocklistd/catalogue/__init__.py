"""The catalogue: feeds.yaml as frozen values.

- ``feed``      one feed and every rule about it
- ``schedule``  when it is due
- ``units``     durations and sizes
- ``load``      the file: strict, every mistake at once, with path and line
"""

from blocklistd.catalogue.feed import BOGONS, TABLES, Feed
from blocklistd.catalogue.schedule import Schedule
from blocklistd.catalogue.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "BOGONS",
    "TABLES",
    "Feed",
    "Schedule",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_size",
]
