"""What is known of a run that exports tell: its constitution, models and settings; ``export.json`` beside each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cai import __version__
from cai.constitution import Constitution, load_constitution
from cai.errors import ConfigError
from cai.exports import CANNOT_CARRY, Export, ExportOptions
from cai.exports.columns import PROVENANCE
from cai.exports.writing import DatasetWriter
from cai.recipe import Recipe
from cai.recipe_files import load_recipe
from cai.records import SPLITS, Json
from cai.storage.run import Run, file_sha256

FACTS = "export.json"
OF_ROWS = (*CANNOT_CARRY, "turn_marker_in_text", "not_utf8")
"""Reasons that a format gives row by row; all others leave out a whole record."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run's recipe and its own copy of the constitution, None where there is none."""

    run: Run
    recipe: Recipe
    constitution: Constitution | None

    @classmethod
    def read(cls, run: Run) -> RunFacts:
        """Raises `InputError` for a recipe or constitution that cannot be read."""
        recipe, constitution = run.path("recipe.yaml"), run.path("constitution.yaml")
        return cls(
            run,
            load_recipe(str(recipe)) if recipe.exists() else Recipe(),
            load_constitution(str(constitution)) if constitution.exists() else None,
        )

    @property
    def models(self) -> dict[str, str]:
        """The models by role, as others may know them: without the server or folder they were reached at."""
        recipe = self.recipe
        specs = {"model": recipe.model, "critic": recipe.critic, "judge": recipe.judge}
        return {role: public_name(spec or recipe.model) for role, spec in specs.items()}

    @property
    def principles(self) -> dict[str, str]:
        """What the judge was asked under each principle, by its id."""
        principles = self.constitution.principles if self.constitution else ()
        return {one.id: one.comparison or one.critique or one.id for one in principles}

    @property
    def grade_weights(self) -> dict[str, float] | None:
        """Weights of the principles in a mean of grades; None where they were drawn by weight already.

        `preferences.weights` count before those of the constitution.
        """
        own = dict(self.recipe.preferences.weights)
        if self.recipe.rubric.principles_per_answer != "all" or self.constitution is None:
            return own or None
        return {one.id: one.weight for one in self.constitution.principles} | own

    @property
    def provenance(self) -> dict[str, str]:
        """The fields `PROVENANCE` of every native row."""
        sha256 = self.constitution.sha256 if self.constitution else ""
        models = self.models
        values = (sha256, models["model"], models["judge"], str(self.recipe.seed), self.run.manifest.get("cai", ""))
        return dict(zip(PROVENANCE, values, strict=True))

    def options(self, asked: ExportOptions | None = None, seed: int | None = None) -> ExportOptions:
        """What was `asked`, with all that the run itself gives; the seed is the recipe's where it is None."""
        return replace(
            asked or ExportOptions(),
            seed=self.recipe.seed if seed is None else seed,
            principles=self.principles,
            provenance=self.provenance,
        )

    def to_json(self) -> Json:
        one = self.constitution
        return {
            "name": self.recipe.name,
            "seed": self.recipe.seed,
            "cai": self.run.manifest.get("cai", ""),
            "constitution": {"name": one.name, "sha256": one.sha256, "principles": len(one.principles)} if one else {},
            "models": self.models,
            "inputs": {step: entry["sha256"] for step, entry in self.run.steps.items() if _is_data(entry)},
        }


def _is_data(entry: Json) -> bool:
    return str(entry["output"]).endswith(".jsonl")


def public_name(spec: str) -> str:
    """``openai/NAME@URL`` without the URL, and of ``hf/FOLDER`` only the last part of a folder on this machine."""
    spec = spec.partition("@")[0]
    if spec.startswith((".", "/", "~")):
        return Path(spec).name
    engine, slash, name = spec.partition("/")
    here = name.startswith((".", "/", "~")) or (engine == "hf" and name.count("/") > 1) or Path(name).is_dir()
    return f"{engine}/{Path(name).name}" if slash and here else spec


def export_facts(name: str, writer: DatasetWriter, asked: Json, about: RunFacts) -> Json:
    """The facts of one export that was written: what was asked, rows and left-out rows, files, and the run."""
    export, counts = writer.export, writer.counts
    left_out = {why: n for why, n in sorted(counts.items()) if why not in SPLITS and n}
    return {
        "format": name,
        "consumer": export.consumer,
        "cai": __version__,
        **_labels(export),
        "margin": export.with_margin,
        **asked,
        "rows": {split: counts[split] for split in SPLITS},
        "kinds": {
            split: {kind: n for (side, kind), n in sorted(writer.kinds.items()) if side == split} for split in SPLITS
        },
        "mix_measured": _mix(writer) if asked.get("mix") is not None else None,
        "label_from": dict(sorted(writer.label_from.items())),
        "left_out": left_out,
        "left_out_unit": _units(writer, left_out),
        "columns": {} if export.document else {field.name: str(field.type) for field in export.schema()},
        "files": {file: _file(writer.folder / file) for file in [*writer.files(), *writer.left_out()]},
        "run": about.to_json(),
        "notes": _notes(writer),
    }


def _units(writer: DatasetWriter, left_out: Iterable[str]) -> dict[str, str]:
    """What each reason counts, where a record that is left out stands for several rows; else empty."""
    export, found = writer.export, writer.label_from
    copied = export.options.labels == "duplicate" and export.source in ("pairs", "answers")
    if not copied and not found["pair"]:
        return {}
    graded = "answers or pairs" if found["pair"] else "answers"
    unit = graded if found["rubric"] else "pairs"
    return {why: "rows" if why in OF_ROWS else unit for why in left_out}


def _mix(writer: DatasetWriter) -> dict[str, float]:
    """The share of rows whose prompt is not red-team, of each split that has rows."""
    counts, kinds = writer.counts, writer.kinds
    return {split: 1.0 - kinds[split, "red_team"] / counts[split] for split in SPLITS if counts[split]}


def _labels(export: Export) -> Json:
    """How soft labels were made hard; null where the format has none to make."""
    options = export.options
    if export.source not in ("pairs", "answers"):
        return {"labels": None}
    used: Json = {"mode": options.labels, "seed": options.seed}
    used |= {"threshold": options.threshold} if options.labels == "threshold" else {}
    return {"labels": used | ({"copies": options.copies} if options.labels == "duplicate" else {})}


def _file(path: Path) -> Json:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _notes(writer: DatasetWriter) -> list[str]:
    """What a reader of the labels must know."""
    graded, paired = writer.label_from["rubric"], writer.label_from["pair"]
    if writer.export.source != "answers" or not paired:
        return []
    some = f"{paired:,} of the {graded + paired:,} labels" if graded else "The labels"
    return [
        f"{some} do not come from absolute rubrics: the chosen answer of a pair is taken for desirable and the "
        "rejected one for undesirable, whatever each is by itself."
    ]


def check_options(options: ExportOptions, share: float | None) -> None:
    """Raise `ConfigError` for a value that cannot be used."""
    if not 0.0 <= options.threshold <= 0.5:
        raise ConfigError(f"--threshold {options.threshold:g}: expected 0 … 0.5, the least |p − ½| that is kept")
    if not 1 <= options.copies <= 1000:
        raise ConfigError(f"--copies {options.copies}: expected 1 … 1000 rows a preference")
    if share is not None and not 0.0 < share < 1.0:
        raise ConfigError(f"--mix {share:g}: expected a share between 0 and 1, both excluded")
