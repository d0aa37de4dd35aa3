"""The compiled kernel where there is one, and the choice between it and its pure twins.

Nine pieces of code are written twice: ``addresses.parse_address``, ``collect.ranges.scan_lines``,
``index.intervals.each_intervals4``, ``index.flatten.flatten`` and ``covered_by_set``, ``index.patch.patch``,
``index.search.Lookup``, ``web.hot.HotPath`` and ``web.bodies.Answers.items``. The Python ones are the oracle and always
there; the C ones beside this file are built by pip where there is a compiler and give the same results sooner. Callers
ask ``active``: the compiled module, or None for the pure code. ``BLOCKLISTD_KERNEL=pure`` in the environment switches
the kernel off.

See docs/kernel.md.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import ModuleType

INTERFACE: Final = 2
"""Changes with what the functions of the kernel take and give; a build with another number is not used."""

VARIABLE: Final = "BLOCKLISTD_KERNEL"
PURE: Final = "pure"
COMPILED: Final = "compiled"


def _load() -> ModuleType | None:
    try:
        from blocklistd.kernel import _kernel
    except ImportError:  # not built here, or for another machine
        return None
    return _kernel if _kernel.INTERFACE == INTERFACE else None


_built: Final = _load()
CHOICES: Final = (PURE,) if _built is None else (PURE, COMPILED)
"""What ``choose`` takes on this machine."""

active: ModuleType | None = None if os.environ.get(VARIABLE) == PURE else _built
"""The compiled kernel if it is in use, None if the pure code is."""


def name() -> str:
    """Which code is in use, as ``blocklistd config`` prints it."""
    return "pure Python" if active is None else "compiled kernel"


def choose(choice: str) -> str:
    """Use ``pure`` or ``compiled`` code from now on; gives the former choice. Opened snapshots keep theirs.

    Raises ValueError for a choice that is not among CHOICES.
    """
    global active  # noqa: PLW0603  # the one switch of the process, read by every caller
    if choice not in CHOICES:
        raise ValueError(f"{choice!r} is not among {', '.join(CHOICES)}")
    former = PURE if active is None else COMPILED
    active = _built if choice == COMPILED else None
    return former
