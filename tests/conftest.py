"""What tests of several folders share: the choice between the compiled kernel and its pure twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklistd import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=kernel.CHOICES, scope="module")
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the tests of a module over the pure code and, where it is built, over the kernel.

    A module asks for it with ``pytestmark = pytest.mark.usefixtures("code")``.
    """
    former = kernel.choose(request.param)
    yield request.param
    kernel.choose(former)
