"""How a run was made, as a command that makes it again and that others may see."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai.recipe import Recipe
from cai.recipe_files import load_recipe
from cai.storage.run import Run

if TYPE_CHECKING:
    from cai.pipeline.export_run import ExportRequest

_FLAGS = ("constitution", "model", "critic", "judge", "limit", "until", "seed")
_PASSWORD = re.compile(r"(?<=://)[^/\s'\"@]+@")
_SERVER = re.compile(r"@https?://[^\s'\"]+")
"""Where the model of an engine's name, ``openai/NAME@URL``, was reached."""
_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")
_ADDRESS = re.compile(r"https?://[^\s'\"]+")
_PLACE = re.compile(r"(?:(?<![\w.~:/@*)-])|(?<=\bhf/))/(?:[^\s/'\",\]]+/)+(?=[^\s/'\",\]])")
"""The folders of an absolute path, of a model's folder too; not those of an address or of a relative path."""
_QUOTED_PLACE = re.compile(r"((?:^|(?<=[\s=\[]))['\"](?:hf/)?)/(?:[^/'\"\n]+/)+(?=[^/'\"\n]+['\"])", re.MULTILINE)


def rebuild_command(run: Run, place: str | None = None) -> str:
    """The `cai run …` that the manifest remembers, one option a line.

    With `place`, which names the run's folder to the commands that follow, it makes the run there.
    """
    return " \\\n    ".join(_parts(run, place))


def own_command(run: Run) -> str:
    """The `cai run …` that brings the run up to date, on one line, after the `cd` to where it was started if need be.

    Empty where the manifest does not say how the run was made, as of one that no command made.
    """
    command = run.manifest.get("command", {})
    if not command.get("recipe"):
        return ""
    started, here = Path(command.get("folder", ".")).resolve(), Path.cwd()
    if started == here:
        return " ".join(_parts(run, str(run.folder)))
    same = (started / (command.get("out") or _usual_place(run))).resolve() == run.folder.resolve()
    again = " ".join(_parts(run, None if same else str(run.folder.resolve())))
    return f"cd {shlex.quote(str(started))} && {again}"


def _parts(run: Run, place: str | None) -> list[str]:
    command = run.manifest.get("command", {})
    overrides = dict(command.get("overrides", {}))
    parts = ["cai run", *([f"--recipe {shlex.quote(command['recipe'])}"] if command.get("recipe") else [])]
    prompts = overrides.pop("prompts", ())
    parts += [f"--prompts {shlex.quote(str(one))}" for one in prompts]
    parts += [f"--{key} {shlex.quote(str(overrides.pop(key)))}" for key in _FLAGS if overrides.get(key) is not None]
    parts += [f"--set {shlex.quote(f'{key}={_plain(value)}')}" for key, value in overrides.items()]
    out = command.get("out")
    if place is not None and Path(out or _usual_place(run)) != Path(place):
        out = place
    parts += [f"--out {shlex.quote(out)}"] if out else []
    parts += ["--accept-audit"] if command.get("accept_audit") else []
    return parts


def _usual_place(run: Run) -> Path:
    """Where `cai run` without --out puts a run of this recipe."""
    path = run.path("recipe.yaml")
    return Path("outputs") / (load_recipe(str(path)) if path.exists() else Recipe()).name


def of_run(exported: str, place: str) -> str:
    """An `export_command`, made from wherever it was asked, with `place` for its run."""
    words = shlex.split(exported)
    return shlex.join([*words[:2], place, *words[3:]])


def export_command(folder: Path, request: ExportRequest) -> str:
    """The `cai export …` that asks for the same rows, wherever they are put; files by their last names."""
    one = request.options
    words = ["cai", "export", public_path(folder)]
    words += [word for name in request.formats for word in ("--format", name)]
    words += ["--labels", one.labels] if one.labels != "argmax" else []
    words += ["--threshold", f"{one.threshold:g}"] if one.labels == "threshold" else []
    words += ["--copies", str(one.copies)] if one.labels == "duplicate" else []
    words += ["--margin"] if one.margin else []
    words += ["--mix", f"{request.helpful_share:g}"] if request.helpful_share is not None else []
    words += ["--single-turn-only"] if request.single_turn_only else []
    words += ["--seed", str(request.seed)] if request.seed is not None else []
    words += ["--files", request.files[0]] if len(request.files) == 1 else []
    return shlex.join([*words, *(word for filtering in request.filters for word in filtering.words())])


def public_path(folder: Path) -> str:
    """A folder under this one by its way from here, any other, and this one itself, by its last name."""
    place, here = folder.resolve(), Path.cwd()
    return str(place.relative_to(here)) if here in place.parents else place.name


def public_file(spec: str) -> str:
    """A prompt file and its options without the folder that it lies in."""
    file, mark, options = spec.partition("?")
    return Path(file).name + mark + options


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def public_reason(text: str, run: Run) -> str:
    """`public_text` of a reason, without any address at all: it may be that of the server that refused."""
    return _ADDRESS.sub("(address)", public_text(text, run))


def public_text(text: str, run: Run) -> str:
    """The text without the servers of engines, without passwords and queries of other addresses, and without the
    folders of this machine: paths are relative to where the run was started or to the home, others are last names."""
    text = _QUERY.sub(r"\1", _PASSWORD.sub("", _SERVER.sub("", text)))
    started = run.manifest.get("command", {}).get("folder")
    for place, short in ((f"{started}/" if started else "", ""), (f"{Path.home()}/", "~/")):
        if len(place) > 1:
            text = text.replace(place, short)
    return _PLACE.sub("", _QUOTED_PLACE.sub(r"\1", text))
