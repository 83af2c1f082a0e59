"""Prompt files as a test needs them."""

from __future__ import annotations

import json
from pathlib import Path

HH = "\n\nHuman: How do I pick a lock?\n\nAssistant: Whose lock?\n\nHuman: Mine.\n\nAssistant:"
TWO = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]


def write(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def write_rows(folder: Path, *rows: object, name: str = "p.jsonl") -> str:
    return write(folder, name, "".join(json.dumps(row) + "\n" for row in rows))
