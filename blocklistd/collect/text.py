"""Text of strangers made safe, to show and to keep. Pure and light.

Takes whatever a list wrote, gives text without control characters: escaped where a person shall see what stood there,
blank where it becomes part of an answer.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with every control or unprintable character escaped, so that a terminal shows it safely."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def plain(text: str) -> str:
    """The text with a blank for every control or unprintable character, and none around it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text).strip()
