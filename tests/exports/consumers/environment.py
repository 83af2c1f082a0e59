"""The consumers' own packages, in an environment beside the one that this file is run in.

    python tests/exports/consumers/environment.py

The folder is `CAI_CONSUMERS`, or `.venv-consumers` in the checkout. Nothing of torch is installed there: what the
consumers' data code imports beyond `requirements.txt` comes from the environment that runs this. Exits with 1 and one
line where the packages cannot be had.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

HERE = Path(__file__).parent
CONSUMERS = ("openrlhf", "verl", "llamafactory", "axolotl", "feedback-forensics")
STAND_INS = {
    "gradio": "",
    "numba": "def njit(function):\n    return function\n",
    "posthog": "",
    "torchaudio": "",
}
"""Modules that the data code imports and never calls: a page, a compiler, telemetry, and sound without a CPU build."""


def folder() -> Path:
    """Where the environment is, or is to be."""
    return Path(os.environ.get("CAI_CONSUMERS") or HERE.parents[2] / ".venv-consumers")


def python(home: Path) -> Path:
    return home / "bin" / "python"


def packages(home: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)}))


def versions(home: Path) -> dict[str, str]:
    """The version of each consumer that is installed there."""
    found: dict[str, Distribution] = {one.name: one for one in distributions(path=[str(packages(home))])}
    return {name: found[name].version for name in CONSUMERS if name in found}


def set_up(home: Path) -> str:
    """Make the environment, or what is missing of it. Returns an empty string, or why a part is not there."""
    pins = [line for line in (HERE / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    of_consumers = {pin.partition("==")[0]: pin for pin in pins if pin.partition("==")[0] in CONSUMERS}
    stamp, wanted = home / ".ready", _digest()
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(home, with_pip=False, clear=True)
        if _install(home, [pin for pin in pins if pin not in of_consumers.values()]):
            return "the packages cannot be had; the tests that read with other trainers' code will be skipped"
        for name, text in STAND_INS.items():
            (packages(home) / f"{name}.py").write_text(text)
        (packages(home) / "tested_environment.pth").write_text(sysconfig.get_path("purelib") + "\n")
        stamp.write_text(wanted)
    there = versions(home)
    missing = [pin for name, pin in of_consumers.items() if name not in there and _install(home, [pin])]
    return f"not installed: {', '.join(missing)}; the tests that read with it will be skipped" if missing else ""


def _digest() -> str:
    texts = (HERE / "requirements.txt").read_bytes() + Path(__file__).read_bytes() + sys.executable.encode()
    return hashlib.sha256(texts).hexdigest()


def _install(home: Path, pins: list[str]) -> bool:
    """Whether pip failed."""
    command = [
        sys.executable, "-m", "pip", "--python", str(python(home)), "install", "--quiet", "--no-deps",
        "--disable-pip-version-check", "--retries", "1", "--timeout", "60", "--only-binary", ":all:", *pins,
    ]  # fmt: skip
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode != 0


if __name__ == "__main__":
    print(f"other trainers' packages are set up in {folder()}, a minute or two the first time", file=sys.stderr)
    if why := set_up(folder()):
        print(why, file=sys.stderr)
        sys.exit(1)
