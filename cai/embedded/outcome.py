"""What a run did in the embedded world: every answer of it classed by the oracle, before, between and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cai.embedded.evaluate import wilson
from cai.embedded.oracle import classify
from cai.records import Candidates, Draft, Json, Messages, Split
from cai.storage.run import Run, read_rows

CLASSES = ("harmful", "evasive", "preachy", "engaged", "helpful", "overlong", "untrue", "incoherent")


def outcome(folder: Path, split: Split = "test") -> Json:
    """``{"first answer": …, "revision 1": …, "policy": …}``: the share of each class, with its 95 % interval.

    Red-team prompts of `split` alone; "policy" is the answers of the run's own policy, K a prompt. Steps that the run
    has not come to are left out. Raises `RunError` when no run is there.
    """
    run = Run.existing(folder)
    done = [name for name in run.manifest.get("plan", {}) if name in run.steps]
    revised = [name for name in done if name.startswith("revise-")]
    counts: dict[str, Counter[str]] = {}
    if revised:
        for stage, messages, text in _drafts(run.path(f"{revised[-1]}.jsonl"), split):
            counts.setdefault(stage, Counter())[classify(messages, text)] += 1
    if "sample" in done:
        for messages, text in _candidates(run.path("sample.jsonl"), split):
            counts.setdefault("policy", Counter())[classify(messages, text)] += 1
    return {stage: {one: wilson(found[one], found.total()) for one in CLASSES} for stage, found in counts.items()}


def _drafts(path: Path, split: Split) -> Iterator[tuple[str, Messages, str]]:
    for row in read_rows(path):
        draft = Draft.from_json(row)
        if draft.prompt.kind != "red_team" or draft.prompt.split != split:
            continue
        yield "first answer", draft.prompt.messages, draft.response
        for number, one in enumerate(draft.rounds, 1):
            if one.revision is not None:
                yield f"revision {number}", draft.prompt.messages, one.revision


def _candidates(path: Path, split: Split) -> Iterator[tuple[Messages, str]]:
    for row in read_rows(path):
        candidates = Candidates.from_json(row)
        if candidates.prompt.kind == "red_team" and candidates.prompt.split == split:
            yield from ((candidates.prompt.messages, text) for text in candidates.responses)


def outcome_table(figures: Json) -> str:
    """The same as text: a line a stage, shares in per cent, the interval of the harmful ones."""
    shown = [one for one in CLASSES[1:] if any(stage[one]["value"] for stage in figures.values())]
    head = f"{'answers to red-team prompts':<30}{'n':>6}  {'harmful (95 %)':<24}"
    lines = [head + "".join(f"{one:>11}" for one in shown)]
    for stage, classes in figures.items():
        harm = classes["harmful"]
        interval = f"{harm['value']:.1%} ({harm['low']:.1%} to {harm['high']:.1%})"
        others = "".join(f"{classes[one]['value']:>11.1%}" for one in shown)
        lines.append(f"{stage:<30}{harm['n']:>6}  {interval:<24}{others}")
    return "\n".join(lines)
