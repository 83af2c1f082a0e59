"""Prompts that no format is to hold: near-duplicates, and those that overlap with files which must stay unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cai.exports import LeftOut, Reason
from cai.exports.decontamination import contaminated
from cai.exports.items import id_of, prompt_of
from cai.exports.near_duplicates import check_threshold, near_duplicates
from cai.pipeline.export_sources import Fed, has_human, own_labels
from cai.pipeline.rebuilding import public_file
from cai.prompts import parse_spec, read_prompts
from cai.records import Json, Preference, Prompt, Split
from cai.storage.run import Run, read_rows


@dataclass(slots=True)
class PromptFilter:
    """A filter of `export_run`. `threshold` is that of `near_duplicates`; `unseen` are prompt files.

    All prompts of the run are searched, whatever formats are made, so that every format leaves out the same ones: first
    those that overlap with `unseen`, on both sides of the split, then the near-duplicates among the rest. Raises
    `ConfigError` for the threshold and `InputError` for a file, both when made.
    """

    run: Run
    threshold: float | None = None
    unseen: tuple[str, ...] = ()
    _against: dict[str, tuple[Prompt, ...]] = field(init=False)
    _found: dict[str, Reason] | None = field(default=None, init=False)
    _by_file: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        if self.threshold is not None:
            check_threshold(self.threshold)
        self._against = {file: read_prompts([file]).prompts for file in self.unseen}

    def __call__(self, read: Callable[[], Fed]) -> Fed:
        found = self.found()
        for source, record in read():
            prompt = None if isinstance(record, LeftOut) else prompt_of(record)
            if prompt is None or prompt.id not in found:
                yield source, record
            else:
                yield source, LeftOut(found[prompt.id], id_of(record), prompt.split)

    def found(self) -> dict[str, Reason]:
        """Prompt id -> why it is left out; searched for once."""
        if self._found is None:
            self._found = {}
            for id, file in contaminated(self._prompts(), self._against).items():
                self._found[id] = "contaminated"
                self._by_file[file] += 1
            if self.threshold is not None:
                self._found |= near_duplicates(self._prompts("test"), self._prompts("train"), self.threshold)
        return self._found

    def told(self) -> list[Json]:
        """``[{filter, prompts: {reason: count}}, …]``: what was asked for and how many prompts it took out."""
        counts = Counter(self.found().values())
        told: list[Json] = [
            {"filter": f"overlap with {parse_spec(file).path.name}", "prompts": {"contaminated": self._by_file[file]}}
            for file in self.unseen
        ]
        if self.threshold is not None:
            near = {why: n for why, n in sorted(counts.items()) if why != "contaminated"}
            told.append({"filter": f"near-duplicates at {self.threshold:g}", "prompts": near})
        return told

    def words(self) -> list[str]:
        """The options of `cai export` that ask for this filter; files by their last names."""
        words = [] if self.threshold is None else ["--near-duplicates", f"{self.threshold:g}"]
        return words + [word for file in self.unseen for word in ("--decontaminate", public_file(file))]

    def _prompts(self, split: Split | None = None) -> Iterator[Prompt]:
        """The prompts of the run and of the pairs that were mixed in, less those that are left out already."""
        assert self._found is not None
        for prompt in _prompts_of(self.run):
            if (split is None or prompt.split == split) and prompt.id not in self._found:
                yield prompt


def _prompts_of(run: Run) -> Iterator[Prompt]:
    if run.path("prompts.jsonl").exists():
        yield from (Prompt.from_json(row) for row in read_rows(run.path("prompts.jsonl")))
    if has_human(run) and run.path("preferences.jsonl").exists():
        own = own_labels(run)
        rows = (Preference.from_json(row) for row in read_rows(run.path("preferences.jsonl")))
        yield from (one.prompt for at, one in enumerate(rows) if at >= own or one.source == "human")
