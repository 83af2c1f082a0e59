"""The card of a folder of datasets, from what a run knows of itself: `README.md` and the constitution beside it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cai import __version__
from cai.exports import load_export
from cai.exports.card import CardFacts, FormatFacts, ModelFacts, SplitFile, StepFacts, render_card, split_file
from cai.pipeline.job import SFT_MODEL
from cai.pipeline.step import digest
from cai.recipe import Recipe
from cai.recipe_files import load_recipe
from cai.records import SPLITS, Json, Split
from cai.storage.run import Run, atomic_write, file_sha256

VERSION = 1
CARD, CONSTITUTION = "README.md", "constitution.yaml"
READABLE = ("parquet", "jsonl")
_FLAGS = ("constitution", "model", "critic", "judge", "limit", "until", "seed")
_PASSWORD = re.compile(r"(?<=://)[^/\s'\"@]+@")
_QUERY = re.compile(r"(https?://[^\s'\"?]+)\?[^\s'\"]*")


def write_card(
    run: Run, folder: Path, datasets: Mapping[str, Mapping[str, int]], labels: Json | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Write the card of `folder`, which holds one folder a format, and return its path.

    `datasets` has for each format its rows by split and what was left out by reason, `labels` how soft labels were made
    hard (`CardFacts.labels`), `filters` what was taken out of the records before. Files are read to be measured.
    """
    facts = card_facts(run, folder, datasets, labels, filters)
    with atomic_write(folder / CONSTITUTION, "wb") as copy:
        copy.write(run.path(CONSTITUTION).read_bytes())
    with atomic_write(folder / CARD) as handle:
        handle.write(render_card(facts))
    return folder / CARD


def refresh_card(run: Run) -> None:
    """Write the card of the run's own `datasets/` if it is not there, or anything that it says has changed.

    A card that somebody edited by hand is left as it is until then.
    """
    told = {name: [entry["sha256"], entry.get("reasons"), entry.get("left_out")] for name, entry in _in_order(run)}
    sources = [file_sha256(run.path(name)) for name in (CONSTITUTION, "recipe.yaml")]
    known = digest([VERSION, __version__, told, sources, run.manifest.get("command")])
    folder = run.path("datasets")
    if run.manifest.get("card") == known and (folder / CARD).exists():
        return
    write_card(run, folder, run.steps["export"]["datasets"])
    run.manifest["card"] = known
    run.save()


def card_facts(
    run: Run, folder: Path, datasets: Mapping[str, Mapping[str, int]], labels: Json | None = None,
    filters: Mapping[str, Any] | None = None,
) -> CardFacts:  # fmt: skip
    """What a card of this run's datasets says; see `write_card`."""
    recipe = load_recipe(str(run.path("recipe.yaml")))
    constitution = run.path(CONSTITUTION)
    text = constitution.read_text(encoding="utf-8")
    return CardFacts(
        constitution_name=_name(text, recipe.constitution),
        constitution_text=text,
        constitution_sha256=file_sha256(constitution),
        formats=_formats(folder, recipe, datasets),
        models=_models(run, recipe),
        steps=[_step(name, entry) for name, entry in _in_order(run) if name != "export"],
        prompts=_prompts(run),
        command=_public(rebuild_command(run.manifest.get("command", {})), run),
        recipe=_public(run.path("recipe.yaml").read_text(encoding="utf-8"), run),
        version=str(run.manifest.get("cai", __version__)),
        audit=_audit(run),
        labels={"mode": "argmax", **(labels or {})},
        kto="rubric" if "rubric" in dict(_in_order(run)) else "pair",
        clamp=_clamp(recipe),
        human=_human(run),
        language=_language(text),
        filters=filters or {},
    )


def _formats(folder: Path, recipe: Recipe, datasets: Mapping[str, Mapping[str, int]]) -> list[FormatFacts]:
    kinds = {name: _file_types(folder / name) for name in datasets}
    common = max(READABLE, key=lambda kind: sum(kind in some for some in kinds.values()))
    found = []
    for name, counts in datasets.items():
        export = load_export(name, recipe)
        kind = common if common in kinds[name] else next(iter(kinds[name]), None)
        splits: dict[Split, SplitFile] = {}
        for split in SPLITS:
            if kind in READABLE and (folder / name / f"{split}.{kind}").exists():
                splits[split] = split_file(folder, f"{name}/{split}.{kind}", export.schema())
        left_out = {why: count for why, count in counts.items() if why not in SPLITS and count}
        consumer = getattr(export, "consumer", "TRL")
        found.append(FormatFacts(name, consumer, export.schema(), splits, left_out, kind == common))
    return found


def _file_types(folder: Path) -> list[str]:
    """Of the data files of a format, those that can be measured first."""
    found = {path.suffix[1:] for split in SPLITS for path in folder.glob(f"{split}.*")}
    return [*(kind for kind in READABLE if kind in found), *sorted(found - set(READABLE))]


def _models(run: Run, recipe: Recipe) -> list[ModelFacts]:
    critic, judge = recipe.critic or recipe.model, recipe.judge or recipe.model
    start = recipe.model if recipe.sft.init in ("model", "base") else recipe.sft.init
    policy = f"{SFT_MODEL}, trained in this run from {start}" if recipe.sample.policy == "sft" else recipe.model
    roles = {
        "respond": ("answers and revisions", recipe.model), "critique-1": ("critiques", critic),
        "sample": ("the answers that are compared", policy), "label": ("judge: the labels", judge),
    }  # fmt: skip
    found = []
    for step, (role, name) in roles.items():
        if step in run.steps:
            fingerprint = str(run.steps[step]["settings"].get("model", ""))
            if fingerprint == SFT_MODEL and "sft" in run.steps:
                fingerprint = run.steps["sft"]["sha256"][:24]
            found.append(ModelFacts(role, _public(name, run), fingerprint))
    return found


def _in_order(run: Run) -> list[tuple[str, Json]]:
    """Finished steps in the order of the plan.

    The manifest's own order is that in which they were done last, and it keeps steps that the recipe has no more.
    """
    return [(name, run.steps[name]) for name in run.manifest["plan"] if name in run.steps]


def _step(name: str, entry: Json) -> StepFacts:
    return StepFacts(name, entry["rows"], entry.get("reasons", {}), entry.get("left_out", {}))


def _prompts(run: Run) -> Json:
    summary: Json = json.loads(run.path("metrics/prompts.json").read_text(encoding="utf-8"))
    files = [{**one, "path": Path(one["path"]).name} for one in summary["files"]]
    return {**summary, "files": files}


def _audit(run: Run) -> Json | None:
    path = run.path("metrics/audit.json")
    if "audit" not in dict(_in_order(run)) or not path.exists():
        return None
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _clamp(recipe: Recipe) -> str:
    clamp = recipe.preferences.clamp
    if clamp == "auto":
        clamp = (0.4, 0.6) if recipe.label.reasoning_samples else None
    return f"held to {clamp[0]:g} – {clamp[1]:g}" if clamp else "not clamped"


def _human(run: Run) -> int:
    mix = run.steps.get("preferences", {}).get("mix") or {}
    return sum(one.get("human", 0) for one in mix.get("splits", {}).values())


def _name(constitution: str, default: str) -> str:
    return str(_document(constitution).get("name", default))


def _language(constitution: str) -> str | None:
    language = str(_document(constitution).get("language", "en"))
    return language if re.fullmatch("[a-z]{2,3}", language) else None


def _document(constitution: str) -> Json:
    import yaml

    value = yaml.safe_load(constitution)
    return value if isinstance(value, dict) else {}


# -------------------------------------------------------------------------------------------- how to make it again


def rebuild_command(command: Json) -> str:
    """The `cai run …` that the manifest remembers, one option a line."""
    overrides = dict(command.get("overrides", {}))
    parts = ["cai run", *([f"--recipe {shlex.quote(command['recipe'])}"] if command.get("recipe") else [])]
    prompts = overrides.pop("prompts", ())
    parts += [f"--prompts {shlex.quote(str(one))}" for one in prompts]
    parts += [f"--{key} {shlex.quote(str(overrides.pop(key)))}" for key in _FLAGS if overrides.get(key) is not None]
    parts += [f"--set {shlex.quote(f'{key}={_plain(value)}')}" for key, value in overrides.items()]
    return " \\\n    ".join(parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _public(text: str, run: Run) -> str:
    """The text without passwords and queries of addresses, and with paths relative to where the run was started."""
    text = _QUERY.sub(r"\1", _PASSWORD.sub("", text))
    folder = run.manifest.get("command", {}).get("folder")
    places: Sequence[tuple[str, str]] = ((f"{folder}/", ""), (f"{Path.home()}/", "~/")) if folder else ()
    for place, short in places:
        if len(place) > 1:
            text = text.replace(place, short)
    return text
