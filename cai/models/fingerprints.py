"""What a local model's answers depend on, as one hash, computed without loading the model.

The hash of a large file is remembered under (path, size, time of change) in `hashes.json` in the cache folder, so that
weights of many gigabytes are read once. The cache folder is `CAI_CACHE`, or `cai` under the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cai.storage.temporary import replacing

_SMALL = 1 << 20
_PATTERNS = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    "chat_template*", "additional_chat_templates/*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "*.safetensors",
    "*.safetensors.index.json", "*.py",
)  # fmt: skip
_ADAPTER_PATTERNS = ("adapter_config.json", "*.safetensors")


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that can change an answer, sorted by name."""
    return _matching(folder, _PATTERNS)


def adapter_files(folder: Path) -> list[Path]:
    """The same for a LoRA adapter's folder."""
    return _matching(folder, _ADAPTER_PATTERNS)


def resolved_template(template: str, folder: Path) -> str:
    """`template`, with "chat" for "auto" if the folder's tokenizer files hold a chat template."""
    if template != "auto":
        return template
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return "chat" if jinja.stat().st_size else "auto"
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return "auto"
    return "chat" if isinstance(settings, dict) and settings.get("chat_template") else "auto"


def fingerprint(**parts: Any) -> str:
    """24 hexadecimal digits of the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_hashes(files: Iterable[Path]) -> dict[str, str]:
    """File name -> sha256; raises `OSError` for a file that cannot be read."""
    known = _read_cache()
    learnt: dict[str, str] = {}
    hashes = {}
    for path in files:
        status = path.stat()
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if status.st_size <= _SMALL:
            hashes[path.name] = _sha256(path)
            continue
        hashes[path.name] = known.get(key) or _sha256(path)
        if key not in known:
            learnt[key] = hashes[path.name]
    if learnt:
        _write_cache(learnt)
    return hashes


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where hashes are remembered; nothing in it is needed."""
    if named := os.environ.get("CAI_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cai"


def _read_cache() -> dict[str, str]:
    try:
        known = json.loads((cache_folder() / "hashes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_cache(learnt: dict[str, str]) -> None:
    """Add to the cache; a cache that cannot be written costs time and nothing else."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "hashes.json") as handle:
            json.dump(_read_cache() | learnt, handle, indent=0)
    except (OSError, RuntimeError):
        return
