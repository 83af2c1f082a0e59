"""The card: a golden file, YAML that the hub's library reads, and texts that stay text wherever they stand."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pyarrow as pa
import pytest
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cai.exports import load_export
from cai.exports.card import CardFacts, FormatFacts, ModelFacts, SplitFile, StepFacts, render_card, split_file
from cai.exports.markdown import block, code, plain
from cai.exports.writing import write_dataset
from tests.golden_files import check_golden

HOSTILE = (
    '---\n```\n# {{ 7 * 7 }} | a {% raw %}\n~~~~\n</details><script>alert("x")</script>\n\u202e\x1b[31m$a$ ![i](u)\r\n'
)
PLACE = {"id": "0", "kind": "helpful", "source": "", "split": "train"}
SCHEMA = pa.schema(
    [
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("label", pa.bool_()),
        ("p_chosen", pa.float64()),
    ]
)
AUDIT = {
    "judge": "hf/judge",
    "votes": {
        "pairs": 21, "ties": 2, "flip_rate": {"value": 0.25, "low": 0.1, "high": 0.4, "n": 21},
        "clear_flip_rate": {"value": None, "low": None, "high": None, "n": 0},
        "p_first": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 21},
        "length_correlation": {"value": 0.125, "low": 0.0, "high": 0.25, "n": 21},
        "agreement": {"mean_kappa": 0.5, "pairs": []},
        "kinds": {"red_team": {"share": {"value": 0.0, "low": 0.0, "high": 0.15, "n": 21}}},
    },
    "truth": {"source": "people.jsonl", "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 20}, "ece": 0.125},
    "self_preference": {"preferred": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}},
    "gates": [
        {"what": "clear verdicts", "value": None, "sense": "at most", "bound": 0.5, "n": 0, "passed": None},
        {"what": "tests", "value": 0.9, "sense": "at least", "bound": None, "n": 10, "passed": None},
        {"what": "attacks", "value": 0.2, "sense": "at least", "bound": 0.8, "n": 10, "passed": False},
        {"what": "place", "value": 0.1, "sense": "at most", "bound": 0.4, "n": 21, "passed": True},
    ],
    "failed": ["attacks"],
    "untold": ["the recipe holds the judge to no bound on | tests"],
}  # fmt: skip
FACTS = CardFacts(
    constitution_name="kindness",
    constitution_text="name: kindness\nprinciples: []\n",
    constitution_sha256="0" * 64,
    formats=[
        FormatFacts(
            "preference", "TRL DPO, reward", {"train": 1200, "test": 300}, {"ties": 12, "not_utf8": 1}, SCHEMA,
            {"train": SplitFile("preference/train.parquet", 1200, 5000, 900),
             "test": SplitFile("preference/test.parquet", 300, 1250, 400)},
            made=["labels bernoulli, seed 7", "near-duplicates at 0.8"],
            usage="--key <a> --other `c`",
        ),
        FormatFacts(
            "pairs", "a viewer", {"train": 1200}, {}, configured=False, documents=["pairs/pairs.json"],
            notes=["A note of this format."],
        ),
        FormatFacts(
            "rl", "a trainer", {"train": 4}, {}, SCHEMA, {"train": SplitFile("rl/train.jsonl", 4, 9, 9)}, False
        ),
    ],
    models=[ModelFacts("judge: the labels", "openai/m@http://host/v1", "abc")],
    steps=[StepFacts("respond", 1500, {"cut off at max_tokens": 9}, {}), StepFacts("label", 1500, {}, {"helpful": 3})],
    prompts={
        "files": [{"path": "red.jsonl", "rows": 10, "prompts": 8, "duplicates": 1, "skipped": {"no text": 1}}],
        "kinds": {"red_team": 8}, "splits": {"train": 6, "test": 2},
    },
    command="cai run \\\n    --recipe rl-cai",
    recipe="name: mine\n",
    version="1.2.3",
    audit=AUDIT,
    clamp="held to 0.4 – 0.6",
    human=40,
    annotators={"gpt-4": 9, "a person": 1},
    by_model=1200,
    pairs=[
        {"path": "hh.jsonl", "rows": 2000, "kept": 1900, "used": 1230, "skipped": {"an answer is empty": 100}},
        {"path": "ae.json", "rows": 10, "kept": 10, "used": None, "skipped": {}},
    ],
    language="en",
    others=["sft"],
    filters={"near-duplicates at 0.8": {"near_duplicate": 4}, "overlap with bench.jsonl": {}},
)  # fmt: skip


def headings(text: str) -> list[str]:
    """The text of every heading of a card's body, by a Markdown parser that is not ours."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text.partition("\n---\n\n")[2])
    return [after.content for one, after in pairwise(tokens) if one.type == "heading_open"]


def shape(text: str) -> list[str]:
    """Every block of a card's body in order; HTML blocks with their content."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text.partition("\n---\n\n")[2])
    return [one.content if one.type == "html_block" else one.type for one in tokens]


def test_golden_card() -> None:
    check_golden("cards/card.md", render_card(FACTS))
    plainest = replace(
        FACTS,
        audit=None,
        kto="rubric",
        filters={},
        human=0,
        annotators={},
        by_model=0,
        pairs=[],
        clamp="",
        prompts=None,
        constitution_sha256="",
        others=[],
        formats=FACTS.formats[:1],
    )
    check_golden("cards/card_without_audit.md", render_card(plainest))


def test_the_yaml_is_what_the_hubs_library_reads() -> None:
    card = DatasetCard(render_card(FACTS))
    data = card.data.to_dict()
    assert data["annotations_creators"] == ["machine-generated", "found"] and data["size_categories"] == "1K<n<10K"
    assert [one["config_name"] for one in data["configs"]] == ["preference"]
    info = DatasetInfosDict.from_dataset_card_data(card.data)["preference"]
    assert {name: one.num_examples for name, one in info.splits.items()} == {"train": 1200, "test": 300}
    assert info.features.arrow_schema.equals(SCHEMA) and info.dataset_size == 6250 and info.download_size == 1300


def hostile(text: str) -> CardFacts:
    """The facts with a hostile text wherever somebody else's text can stand."""
    one = FACTS.formats[0]
    return replace(
        FACTS, constitution_name=text, constitution_text=text, command=text, recipe=text, version=text,
        formats=[replace(one, left_out={text: 1}, made=[text], notes=[text]), *FACTS.formats[1:]],
        models=[ModelFacts(text, text, text)], steps=[StepFacts(text, 1, {text: 1}, {text: 2})],
        prompts={**FACTS.prompts, "files": [{**FACTS.prompts["files"][0], "path": text, "skipped": {text: 1}}]},
        audit={**AUDIT, "judge": text, "truth": {**AUDIT["truth"], "source": text}},
        annotators={text: 2, "b": 1}, pairs=[{**FACTS.pairs[0], "path": text, "skipped": {text: 1}}],
        others=[text, "b"], filters={text: {text: 1}, "b": {}},
    )  # fmt: skip


@cache
def benign_card() -> str:
    return render_card(hostile("x"))


def check_shape(text: str) -> str:
    card, benign = render_card(hostile(text)), benign_card()
    assert shape(card) == shape(benign)
    assert headings(card)[1:] == headings(benign)[1:]
    assert set(DatasetCard(card).data.to_dict()) == set(DatasetCard(benign).data.to_dict())
    return card


def test_text_stays_text_and_is_never_a_template() -> None:
    card = check_shape(HOSTILE)
    assert "49" not in headings(card)[0] and "{{ 7 * 7 }}" in card
    assert "\x1b" not in card and "\u202e" not in card and r"\u001b[31m" in card
    html = MarkdownIt("commonmark").enable("table").render(card.partition("\n---\n\n")[2])
    assert "<script>" not in html and html.count("</details>") == 2 and "<img" not in html


@settings(max_examples=20, deadline=None)
@given(st.text(alphabet="-`~|#{}%<>*_[]()$&\\ \n\r\tax\u2028\u0085\ud800\x00", min_size=1, max_size=30))
def test_no_text_changes_the_shape_of_a_card(text: str) -> None:
    check_shape(f"x{text}x")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_what_is_escaped_is_read_back_by_a_markdown_parser(text: str) -> None:
    parser = MarkdownIt("commonmark")
    [fence] = [one for one in parser.parse(block(text, "yaml")) if one.type == "fence"]
    assert fence.info == "yaml" and len(parser.parse(block(text))) == 1
    for put in (plain, code):
        tokens = parser.parse(f"x {put(text)} x")
        assert [one.type for one in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        assert {one.type for one in tokens[1].children or []} <= {"text", "code_inline", "text_special"}


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_file_is_measured_as_datasets_measures_it(kind: str, tmp_path) -> None:
    import datasets

    from cai.exports.writing import export_dataset
    from tests.exports.writing import make_preferences

    export = load_export("preference")
    counts = export_dataset(export, make_preferences(3000), tmp_path, [kind])
    builder = "json" if kind == "jsonl" else kind
    loaded = datasets.load_dataset(
        builder, data_files=str(tmp_path / f"train.{kind}"), split="train", cache_dir=str(tmp_path / "cache")
    )
    found = split_file(tmp_path, f"train.{kind}", export.schema())
    assert found.rows == counts["train"] == len(loaded)
    assert found.arrow_bytes == pytest.approx(loaded.info.splits["train"].num_bytes, rel=0.02)


def test_a_row_longer_than_a_block_is_measured(tmp_path) -> None:
    schema = pa.schema([("text", pa.string())])
    texts = ["a", "x" * (5 << 20), *("y" * (3 << 20),) * 3, "z"]
    (tmp_path / "train.jsonl").write_text("".join(f'{{"text": "{text}"}}\n' for text in texts))
    found = split_file(tmp_path, "train.jsonl", schema)
    assert found.rows == len(texts)
    assert sum(map(len, texts)) < found.arrow_bytes < sum(map(len, texts)) + 1000


def test_the_size_is_that_of_the_largest_configuration() -> None:
    one = FACTS.formats[0]
    many = [replace(one, name=f"f{n}", rows={"train": 600, "test": 300 + n}) for n in range(3)]
    data = DatasetCard(render_card(replace(FACTS, formats=many))).data.to_dict()
    assert data["size_categories"] == "n<1K"


MEASURED = """
import sys
from pathlib import Path
import pyarrow as pa
from cai.exports.card import split_file
from cai.exports.trl import PROMPTS
split_file(Path(sys.argv[1]), sys.argv[2], PROMPTS.schema())
print(pa.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_long_file_is_measured_in_the_memory_of_a_short_one(kind: str, tmp_path) -> None:
    draw, peaks = random.Random(0), list[int]()
    for count in (10_000, 30_000):  # a row group and a bit, and three of them
        texts = (draw.randbytes(800).hex() for _ in range(count))
        rows = ({"prompt": [{"role": "user", "content": text}], **PLACE} for text in texts)
        write_dataset(rows, load_export("prompts").schema(), tmp_path / str(count), [kind])
        command = [sys.executable, "-c", MEASURED, str(tmp_path / str(count)), f"train.{kind}"]
        peaks.append(int(subprocess.run(command, capture_output=True, check=True).stdout))
    assert 0 < peaks[1] < 1.2 * peaks[0]
