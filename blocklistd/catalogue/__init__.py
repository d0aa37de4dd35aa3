"""The catalogue: feeds.yaml as frozen values.

- ``feed``      one feed and every rule about it
- ``schedule``  when it is due
- ``document``  YAML as plain values with their lines, nothing guessed
- ``sentences`` what pydantic found wrong, in the words of a person
- ``load``      the file: strict, every mistake at once, with path and line
"""

from blocklistd.catalogue.feed import BOGONS, TABLES, Feed
from blocklistd.catalogue.load import Catalogue, expand_headers, load_catalogue, read_catalogue
from blocklistd.catalogue.schedule import Schedule

__all__ = [
    "BOGONS",
    "TABLES",
    "Catalogue",
    "Feed",
    "Schedule",
    "expand_headers",
    "load_catalogue",
    "read_catalogue",
]
