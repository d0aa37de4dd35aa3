"""The kernel reads every text as ``addresses.parse_address`` does."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocklistd.addresses import parse_address
from tests.kernel.twins import outcomes

groups = st.sampled_from(["", "0", "1", "00", "000f", "FFFF", "fffff", "00000", "g", "ffff", "1.2.3.4", "01.2.3.4"])
sixes = st.lists(groups, max_size=10).map(":".join)
octets = st.sampled_from(["", "0", "00", "1", "9", "10", "99", "100", "255", "256", "1000", "x", "-1", "+1", " 1"])
quads = st.lists(octets, max_size=6).map(".".join)
plain = st.ip_addresses().map(str) | st.ip_addresses(v=6).map(lambda ip: ip.exploded)
tails = st.sampled_from(["", ".", ":", "::", " ", "\n", "\0", "%eth0", "/32", "]", "é", "\udcff", "\U0001f600"])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """An address with one character taken out, doubled or changed."""
    text = draw(plain)
    at = draw(st.integers(0, len(text) - 1))
    return text[:at] + draw(st.sampled_from(["", text[at] * 2, ":", ".", "0", "a", "G"])) + text[at + 1 :]


@settings(max_examples=1500, deadline=None)
@given(plain | mutated() | sixes | quads | st.tuples(plain | sixes | quads, tails).map("".join) | st.text(max_size=50))
@example("")
@example(":")
@example("::")
@example(":::")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1:2:3:4:5:6:7:8::")
@example("1:2:3:4:5:6:1.2.3.4")
@example("1:2:3:4:5:6:7:1.2.3.4")
@example("::2:3:4:5:6:7:1.2.3.4")
@example("::ffff:0:1.2.3.4")
@example("0000:0000:0000:0000:0000:ffff:255.255.255.255")
@example("0000:0000:0000:0000:0000:ffff:255.255.255.2555")
def test_every_text_is_read_alike(text: str) -> None:
    """The same value, or the same refusal in the same words."""
    pure, compiled = outcomes(parse_address, text)
    assert compiled == pure


@pytest.mark.parametrize("question", [None, 1, b"192.0.2.1", object()])
def test_what_is_no_text_is_a_mistake_of_the_caller(question: object) -> None:
    """Both raise TypeError."""
    for kind, (error, _) in outcomes(parse_address, question):
        assert (kind, error) == ("raised", TypeError)
