"""What a test does whose consumer is not installed: it is skipped, or fails where `CAI_REQUIRE_CONSUMERS` is 1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.exports.consumers.environment import versions


def require(consumer: str, home: Path) -> None:
    """Skip or fail the test that asks, unless the consumer is installed in `home`."""
    if consumer in versions(home):
        return
    why = f"{consumer} is not in {home}: `make consumers` installs it from the package index"
    if os.environ.get("CAI_REQUIRE_CONSUMERS", "") not in ("", "0"):
        pytest.fail(f"{why}, and CAI_REQUIRE_CONSUMERS asks for it", pytrace=False)
    pytest.skip(why)
