"""Run the same over the pure code and over the kernel."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from blocklistd import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TROUBLE = (ValueError, TypeError, IndexError, OverflowError)
"""What either twin may raise; anything else fails the test."""


@contextmanager
def using(choice: str) -> Iterator[None]:
    """One kind of code, for a while."""
    former = kernel.choose(choice)
    try:
        yield
    finally:
        kernel.choose(former)


def outcome(call: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """What a call gives, or the type and text of what it raises."""
    try:
        return "gave", call(*arguments)
    except TROUBLE as error:
        return "raised", (type(error), str(error))


def outcomes(call: Callable[..., Any], *arguments: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """The outcome with the pure code and with the kernel."""
    with using(kernel.PURE):
        pure = outcome(call, *arguments)
    with using(kernel.COMPILED):
        return pure, outcome(call, *arguments)
