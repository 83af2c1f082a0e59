"""Golden files: what is rendered is kept as text; `CAI_WRITE_GOLDEN=1 pytest` writes it anew, for the diff."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Assert that `text` is what `tests/golden/<name>` holds."""
    path = FOLDER / name
    if os.environ.get("CAI_WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is not there: run once with CAI_WRITE_GOLDEN=1 and read it"
    assert text == path.read_text(encoding="utf-8")
