"""A reward model measured on held-out pairs and benchmarks: scored here, counted in `cai.evaluation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cai.evaluation.benchmark import ScoredRow, benchmark_figures
from cai.evaluation.figures import reward_figures, reward_plots
from cai.evaluation.refusals import opens_with_refusal
from cai.fitting import beginning
from cai.human_preferences.benchmarks import BenchmarkRow
from cai.models.reward import RewardScorer
from cai.records import Json, Messages, Preference
from cai.storage.run import atomic_write

Progress = Callable[[int, int], None]


def measured_pairs(scorer: RewardScorer, preferences: Sequence[Preference], progress: Progress | None = None) -> Json:
    """`reward_figures`, with how many pairs lost the left of their prompt and why others have no score."""
    scores = scorer.score_together(
        [(one.prompt.messages, (one.response_a, one.response_b)) for one in preferences], progress
    )
    figures = reward_figures(preferences, [a for a, _ in scores], [b for _, b in scores], refuses)
    return figures | {"max_length": scorer.max_length, **_fitted(scorer, [one.prompt.messages for one in preferences])}


def measured_benchmark(scorer: RewardScorer, rows: Sequence[BenchmarkRow], progress: Progress | None = None) -> Json:
    """`benchmark_figures`, with what `measured_pairs` adds."""
    scores = scorer.score_together([(row.messages, (*row.chosen, *row.rejected)) for row in rows], progress)
    scored = [
        ScoredRow(row.subset, row.id, tuple(found[: len(row.chosen)]), tuple(found[len(row.chosen) :]))
        for row, found in zip(rows, scores, strict=True)
    ]
    return benchmark_figures(scored) | {
        "max_length": scorer.max_length,
        **_fitted(scorer, [one.messages for one in rows]),
    }


def refuses(messages: Messages, text: str) -> bool:
    """Whether an answer refuses: by the rules of the embedded world for its own answers, else by how it opens.

    In that world an answer refuses that says no, evades, or lectures without helping.
    """
    from cai.embedded.oracle import find
    from cai.embedded.world import read_scene

    if read_scene(messages) is not None and (answer := find(messages, text).answer) is not None:
        return answer.stance == "engage" or not answer.helps
    return opens_with_refusal(messages, text)


def write_plots(folder: Path, figures: Json) -> list[Path]:
    """The plots of `reward_plots` in `folder`, each written as a whole."""
    paths = []
    for name, plot in reward_plots(figures).items():
        paths.append(folder / name)
        with atomic_write(paths[-1]) as handle:
            handle.write(plot)
    return paths


def _fitted(scorer: RewardScorer, prompts: Sequence[Messages]) -> Json:
    """Counts of the pairs or rows that the scorer's notes speak of, and how the first that is too long begins."""
    notes = scorer.notes
    return {
        "truncated": len(notes.truncated),
        "too_long": len(notes.too_long),
        "too_long_first": beginning(prompts[min(notes.too_long)]) if notes.too_long else "",
        "not_rendered": len(notes.not_rendered),
        "not_rendered_why": notes.reason,
    }
