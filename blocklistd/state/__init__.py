"""What the operator decided, kept in ``state.db``: overrides, keys, quarantine, the pin, and who did what when.

``database`` opens the file; a module a table reads and writes it. Every change is in the audit table with the actor who
made it, in the same transaction.
"""

from typing import Final

FILE: Final = "state.db"
"""Its name in the data folder; with it SQLite keeps ``state.db-wal`` and ``state.db-shm``."""
