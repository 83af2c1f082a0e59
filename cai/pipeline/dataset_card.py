"""The card of a folder of datasets, from what a run knows of itself: `README.md` and the constitution beside it."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cai import __version__
from cai.audit import untold
from cai.embedded import is_shipped, model_spec
from cai.errors import RunError
from cai.exports import CANNOT_CARRY, EXPORTS, load_export
from cai.exports.card import (
    MARK,
    PEOPLE,
    RULES,
    CardFacts,
    FormatFacts,
    ModelFacts,
    SplitFile,
    StepFacts,
    render_card,
    split_file,
)
from cai.exports.writing import LEFT_OUT
from cai.pipeline.audit_standing import DATASETS, current_audit
from cai.pipeline.export_facts import FACTS, RunFacts, public_name
from cai.pipeline.export_sources import is_graded
from cai.pipeline.job import SFT_MODEL
from cai.pipeline.rebuilding import of_run, public_file, public_path, public_reason, public_text, rebuild_command
from cai.pipeline.step import digest
from cai.recipe import Recipe
from cai.records import SPLITS, Json, Split
from cai.storage.run import Run, atomic_write, file_sha256

VERSION = 5
CARD, CONSTITUTION = "README.md", "constitution.yaml"
EXPORTED = "exports"
"""Where in a run `cai export` puts its datasets unless it is told."""
READABLE = ("parquet", "jsonl")
_TOLD = ("reasons", "left_out", "mix", "human")
"""What a card tells of a step beside its rows."""
_OF_FILE = ("rows", "kept", "used", "skipped")


def refresh_card(run: Run) -> None:
    """Write the card of the run's own `datasets/` if it is not there, or anything that it says has changed.

    A card that somebody edited by hand stays as it is until then, and for good without the line `MARK`.
    """
    told = {name: [entry["sha256"], *map(entry.get, _TOLD)] for name, entry in _in_order(run)}
    sources = [file_sha256(path) for name in (CONSTITUTION, "recipe.yaml") if (path := run.path(name)).exists()]
    known = digest([VERSION, __version__, told, sources, run.manifest.get("command")])
    folder = run.path(DATASETS)
    if (folder / CARD).exists() and (run.manifest.get("card") == known or not _is_ours(folder / CARD)):
        return
    datasets: Mapping[str, Mapping[str, int]] = run.steps["export"]["datasets"]
    formats = {
        name: {
            "rows": {split: counts[split] for split in SPLITS},
            "left_out": {why: n for why, n in counts.items() if why not in SPLITS and n},
            "labels": {"mode": "argmax"} if load_export(name).source in ("pairs", "answers") else None,
        }
        for name, counts in datasets.items()
    }
    _write(run, folder, formats, ())
    run.manifest["card"] = known
    run.save()


def write_card(run: Run, folder: Path) -> Path:
    """Write the card of `folder`, which holds one folder a format with its `export.json`; returns the card's path.

    Exports of another run, or of another state of this one, are named and not described. Raises `RunError` where a
    README.md is there that is no card.
    """
    check_place(run, folder)
    found = _found(folder)
    ours = described(run, folder)
    _write(run, folder, ours, tuple(name for name in found if name not in ours))
    return folder / CARD


def described(run: Run, folder: Path) -> dict[str, Json]:
    """The facts of the formats in `folder` that are of the run as it is: those that its card describes."""
    now = RunFacts.read(run).to_json()
    return {name: facts for name, facts in _found(folder).items() if facts.get("run") == now}


def _found(folder: Path) -> dict[str, Json]:
    return {name: _read(folder / name / FACTS) for name in EXPORTS if (folder / name / FACTS).is_file()}


def check_place(run: Run, folder: Path) -> None:
    """Raise `RunError` where a card would take the place of somebody's own file, or of one that `cai run` wrote."""
    if folder.resolve() in (run.folder.resolve(), run.path(DATASETS).resolve()):
        raise RunError(f"{folder}: cai run writes there; choose another --out, or none for {run.path(EXPORTED)}")
    card, constitution = folder / CARD, folder / CONSTITUTION
    if card.exists() and not _is_ours(card):
        raise RunError(f"{card}: there, and no card of cai; choose another --out")
    own = run.path(CONSTITUTION)
    if not card.exists() and constitution.exists() and own.exists() and file_sha256(constitution) != file_sha256(own):
        raise RunError(f"{constitution}: there, and not this run's; choose another --out")


def _is_ours(card: Path) -> bool:
    return MARK in card.read_text(encoding="utf-8", errors="replace")


def _write(run: Run, folder: Path, formats: Mapping[str, Json], others: tuple[str, ...]) -> None:
    text = render_card(card_facts(run, folder, formats, others))
    if run.path(CONSTITUTION).exists():
        with atomic_write(folder / CONSTITUTION, "wb") as copy:
            copy.write(run.path(CONSTITUTION).read_bytes())
    with atomic_write(folder / CARD) as handle:
        handle.write(text)


def card_facts(run: Run, folder: Path, formats: Mapping[str, Json], others: tuple[str, ...] = ()) -> CardFacts:
    """What a card says of the datasets in `folder`; `formats` are their facts as `export.json` has them."""
    about = RunFacts.read(run)
    constitution = about.constitution
    text = run.path(CONSTITUTION).read_text(encoding="utf-8") if constitution else ""
    exported = [facts["command"] for facts in formats.values() if "command" in facts]
    place = public_path(run.folder)
    commands = [
        rebuild_command(run, place if exported else None),
        *(f"{of_run(one, place)}{_out(run, folder)}" for one in exported),
    ]
    recipe = run.path("recipe.yaml")
    return CardFacts(
        constitution_name=constitution.name if constitution else Path(about.recipe.constitution).name,
        constitution_text=text,
        constitution_sha256=constitution.sha256 if constitution else "",
        formats=_formats(folder, formats),
        models=list(_models(run, about.recipe)),
        steps=[_step(name, entry, run) for name, entry in _in_order(run) if name != "export"],
        prompts=_prompts(run),
        command=public_text("\n".join(dict.fromkeys(commands)), run),
        recipe=public_text(recipe.read_text(encoding="utf-8"), run) if recipe.exists() else "",
        version=str(run.manifest.get("cai", __version__)),
        audit=_audit(run, about.recipe) if "audit" in dict(_in_order(run)) else None,
        kto="rubric" if is_graded(run, about.recipe) else "pair",
        clamp=_clamp(about.recipe),
        **_mixed_in(run),
        people=_people(about.recipe),
        language=_language(constitution.language if constitution else ""),
        filters={one["filter"]: one["prompts"] for facts in formats.values() for one in facts.get("filters", ())},
        others=others,
    )


def _out(run: Run, folder: Path) -> str:
    """The option of `cai export` that puts the datasets where they lie, if they are not in the run."""
    return "" if folder == run.path(EXPORTED) else f" --out {shlex.quote(public_path(folder))}"


def _formats(folder: Path, formats: Mapping[str, Json]) -> list[FormatFacts]:
    kinds = {name: _file_types(folder / name) for name in formats}
    common = max(READABLE, key=lambda kind: sum(kind in some for some in kinds.values()))
    return [_format(folder, name, facts, kinds[name], common) for name, facts in formats.items()]


def _format(folder: Path, name: str, facts: Json, kinds: list[str], common: str) -> FormatFacts:
    export = load_export(name)
    kind = common if common in kinds else next(iter(kinds), None)
    schema, files, documents = None, dict[Split, SplitFile](), list[str]()
    if kind is None:
        documents = [f"{name}/{file}" for file in facts.get("files", ()) if file != LEFT_OUT]
    elif kind != common:
        documents = [path for split in SPLITS if (folder / (path := f"{name}/{split}.{kind}")).exists()]
    else:
        schema = load_export(name, options=_with_margin(facts)).schema()
        for split in SPLITS:
            if (folder / name / f"{split}.{kind}").exists():
                files[split] = split_file(folder, f"{name}/{split}.{kind}", schema)
    return FormatFacts(
        name, export.consumer, facts["rows"], facts["left_out"], schema, files, kind == common, documents,
        made=_made(facts), notes=facts.get("notes", ()), usage=_usage(export.usage, kinds),
    )  # fmt: skip


def _usage(usage: str, kinds: list[str]) -> str:
    """What the reader is told, of the files that are there: it may have been asked for Parquet alone."""
    return usage if "jsonl" in kinds else usage.replace("train.jsonl", "train.parquet")


def _with_margin(facts: Json) -> Any:
    from cai.exports import ExportOptions

    return ExportOptions(margin=bool(facts.get("margin")))


def _file_types(folder: Path) -> list[str]:
    """The file types of a format that can be read row by row."""
    found = {path.suffix[1:] for split in SPLITS for path in folder.glob(f"{split}.*")}
    return [kind for kind in READABLE if kind in found]


def _made(facts: Json) -> list[str]:
    """How a format was asked for, in few words."""
    made = []
    if labels := facts.get("labels"):
        more = {"threshold": "|p − ½| ≥ {:g}", "copies": "{} rows a pair"}
        said = [wording.format(labels[key]) for key, wording in more.items() if key in labels]
        seed = [f"seed {labels['seed']}"] if labels["mode"] in ("bernoulli", "duplicate") and "seed" in labels else []
        made.append(", ".join([f"labels {labels['mode']}", *said, *seed]))
    made += ["with a margin"] if facts.get("margin") else []
    lost = facts.get("single_turn_only") and any(facts["left_out"].get(why) for why in CANNOT_CARRY)
    made += ["dialogues that it cannot carry left out"] if lost else []
    made += [_mix(facts)] if facts.get("mix") is not None else []
    return made + [one["filter"] for one in facts.get("filters", ())]


def _mix(facts: Json) -> str:
    """The share that was asked for and those that the rows have."""
    measured = facts.get("mix_measured") or {}
    found = ", ".join(f"{share:.3g} in {split}" for split, share in measured.items())
    return f"{facts['mix']:.3g} of the rows asked not to be red-team" + (f", measured {found}" if found else "")


def _models(run: Run, recipe: Recipe) -> Iterator[ModelFacts]:
    """The models as others may know them: without the address or folder that they were reached at."""
    start = recipe.model if recipe.sft.init in ("model", "base") else recipe.sft.init
    trained = f"{SFT_MODEL}, trained in this run from {public_name(start)}"
    roles = {
        "respond": ("answers and revisions", recipe.model),
        "critique-1": ("critiques", recipe.critic or recipe.model),
        "sample": ("the answers that are compared", recipe.model),
        "label": ("judge: the labels", recipe.judge or recipe.model),
    }
    for step, entry in _in_order(run):
        if step in roles:
            role, name = roles[step]
            fingerprint = str(entry["settings"].get("model", ""))
            own = fingerprint == SFT_MODEL
            if own and "sft" in run.steps:
                fingerprint = run.steps["sft"]["sha256"]
            yield ModelFacts(role, trained if own else public_name(name), fingerprint[:24])


def _in_order(run: Run) -> list[tuple[str, Json]]:
    """Finished steps in the order of the plan.

    The manifest's own order is that in which they were done last, and it keeps steps that the recipe has no more.
    """
    names = run.manifest.get("plan") or run.steps
    return [(name, run.steps[name]) for name in names if name in run.steps]


def _step(name: str, entry: Json, run: Run) -> StepFacts:
    """A step's counts; a reason may quote what a server or a library said, so it loses addresses and folders."""
    reasons: Counter[str] = Counter()
    for why, count in entry.get("reasons", {}).items():
        reasons[public_reason(why, run)] += count
    return StepFacts(name, entry["rows"], reasons, entry.get("left_out", {}))


def _audit(run: Run, recipe: Recipe) -> Json | None:
    """What the card tells of the run's audit, without where the judge was reached or the files of truth lie."""
    figures = current_audit(run)
    if figures is None:
        return None
    truth, liked = figures["truth"], figures["self_preference"]
    if truth and recipe.audit.truth:
        truth = {**truth, "source": ", ".join(map(public_file, recipe.audit.truth))}
    return {
        **{key: figures[key] for key in ("votes", "gates", "failed")},
        "untold": untold(figures["gates"]),
        "judge": _judge(figures["judge"], recipe),
        "truth": truth,
        "self_preference": liked and {"preferred": liked["preferred"]},
    }


def _judge(spec: str, recipe: Recipe) -> str:
    """The judge as the recipe names it where it stands for that very engine, such as ``embedded``."""
    named = recipe.judge or recipe.model
    return public_name(named if model_spec(named) == spec else spec)


def _prompts(run: Run) -> Json | None:
    """How the prompt files were read, without the folders that they lie in."""
    if not run.path("metrics/prompts.json").exists():
        return None
    summary = _read(run.path("metrics/prompts.json"))
    return {**summary, "files": [{**one, "path": Path(one["path"]).name} for one in summary["files"]]}


def _read(path: Path) -> Json:
    return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _clamp(recipe: Recipe) -> str:
    clamp = recipe.preferences.clamp
    if clamp == "auto":
        clamp = (0.4, 0.6) if recipe.label.reasoning_samples else None
    return f"held to {clamp[0]:g} – {clamp[1]:g}" if clamp else "not clamped"


def _mixed_in(run: Run) -> dict[str, Any]:
    """What the card tells of the labels that came with their pairs; files by their last names."""
    entry = run.steps.get("preferences", {})
    mix = entry.get("mix") or {}
    by_model = mix.get("by_model", 0)
    return {
        "human": sum(one.get("human", 0) for one in mix.get("splits", {}).values()) - by_model,
        "annotators": mix.get("annotators", {}),
        "by_model": by_model,
        "pairs": [
            {"path": public_file(file), "used": None} | {key: read[key] for key in _OF_FILE if key in read}
            for file, read in entry.get("human", {}).items()
        ],
    }


def _people(recipe: Recipe) -> str:
    ruled = [is_shipped(file) for file in recipe.preferences.human]
    if not any(ruled):
        return PEOPLE
    return RULES if all(ruled) else f"{PEOPLE}, or by {RULES}"


def _language(language: str) -> str | None:
    return language if re.fullmatch("[a-z]{2,3}", language) else None
