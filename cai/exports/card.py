"""A dataset's card: the hub's YAML, and what whoever trains on the data should know. Facts come in, text goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai.exports.files import BUFFER, TABLE
from cai.exports.markdown import block, code, one_line, plain
from cai.prompts.splits import SAYS_SOMETHING
from cai.records import SPLITS, Json, Split

if TYPE_CHECKING:
    import pyarrow as pa
    from huggingface_hub import DatasetCardData

TEMPLATE = "card.md.jinja"
MARK = "<!-- Written by cai from the facts of its run; the next export writes it anew. -->"
TAGS = ("rlaif", "constitutional-ai", "synthetic", "preference", "cai")
LONGEST = 65536
"""Characters of a constitution that are shown; the whole file lies beside the card."""
BLOCK = 1 << 22
"""Bytes of JSON lines that are measured at a time, where no row is longer."""
_SIZES = (("n<1K", 1e3), ("1K<n<10K", 1e4), ("10K<n<100K", 1e5), ("100K<n<1M", 1e6), ("1M<n<10M", 1e7))


PEOPLE, RULES = "people", "the rules of the embedded world, which stand for people"
"""Who ranked the answers whose `source` is ``human``."""
NAMED, NAME = 5, 80
"""Annotators that are named, and characters of a name."""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A split as it lies on disk: its `path` under the card's folder, rows, bytes in Arrow and bytes on disk."""

    path: str
    rows: int
    arrow_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class FormatFacts:
    """One format: who reads it, rows by split, what was left out by reason, and `made`, how it was asked for.

    `schema` and the `files` of its splits are there where `datasets` can read it; `configured` is whether it does so by
    the format's name: it reads one file type a folder. `documents` are paths of what it cannot read so. `notes` is what
    a reader must know besides, and `usage` what it is told to read the format.
    """

    name: str
    consumer: str
    rows: Mapping[Split, int]
    left_out: Mapping[str, int]
    schema: pa.Schema | None = None
    files: Mapping[Split, SplitFile] = field(default_factory=dict)
    configured: bool = True
    documents: Sequence[str] = ()
    made: Sequence[str] = ()
    notes: Sequence[str] = ()
    usage: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which model did what; `fingerprint` is over the weights or whatever else tells what a server serves."""

    role: str
    name: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StepFacts:
    """A step's rows, and how many records were rejected or left out under which reason."""

    step: str
    rows: int
    rejected: Mapping[str, int]
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card says. `audit` is `metrics/audit.json`, None if the judge was not audited.

    `prompts` is `PromptSet.summary()`, None where it is not known. `kto` is where the labels of unpaired formats come
    from: "rubric" or "pair". `human` counts the labels that `people` gave, `annotators` those of them whose rows name
    another, and `by_model` the labels that came with their pairs and say that a model gave them; `pairs` are the files
    of all these: {path, rows, kept, used, skipped}. `filters` has what was taken out before any format was made, with
    counts of prompts by reason. `others` are folders beside these that are of another run.
    """

    constitution_name: str
    constitution_text: str
    constitution_sha256: str
    formats: Sequence[FormatFacts]
    models: Sequence[ModelFacts]
    steps: Sequence[StepFacts]
    prompts: Json | None
    command: str
    recipe: str
    version: str
    audit: Json | None = None
    kto: str = "pair"
    clamp: str = ""
    human: int = 0
    people: str = PEOPLE
    annotators: Mapping[str, int] = field(default_factory=dict)
    by_model: int = 0
    pairs: Sequence[Json] = ()
    language: str | None = None
    filters: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    others: Sequence[str] = ()


def render_card(facts: CardFacts) -> str:
    """The whole README.md. Text of the facts is data to the template and is escaped where it is put."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=_put
    )
    environment.filters |= {"code": code, "block": block, "count": _count, "share": _share, "estimate": _estimate}
    template = environment.from_string((files("cai.exports") / TEMPLATE).read_text(encoding="utf-8"))
    body = template.render(
        facts=facts,
        splits=SPLITS,
        shown=facts.constitution_text[:LONGEST],
        notes=list(dict.fromkeys(note for one in facts.formats for note in one.notes)),
        configured=[one for one in facts.formats if one.configured and one.files],
        by_path=[path for one in facts.formats if not one.configured for path in _paths(one)],
        greeting=SAYS_SOMETHING,
        named=[(name[:NAME], rows) for name, rows in facts.annotators.items()][:NAMED],
        reasons=_reasons,
        verdict=_verdict,
    )
    return f"---\n{card_data(facts).to_yaml()}\n---\n\n{MARK}\n\n{body}"


def card_data(facts: CardFacts) -> DatasetCardData:
    """The YAML of the card, as `huggingface_hub` and `datasets` write it."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    rows = max((sum(one.rows.values()) for one in facts.formats), default=0)
    found = facts.by_model or (facts.human and facts.people != RULES)
    data = DatasetCardData(
        language=facts.language,
        annotations_creators=["machine-generated", *(["found"] if found else [])],
        language_creators=["machine-generated", "found"],
        size_categories=next((name for name, most in _SIZES if rows < most), "n>10M"),
        task_categories=["text-generation", "reinforcement-learning"],
        pretty_name=f"Constitutional AI data: {one_line(facts.constitution_name)[:80]}",
        tags=list(TAGS),
    )
    named = {one.name: one for one in facts.formats if one.configured and one.files}
    DatasetInfosDict({name: _info(one) for name, one in named.items()}).to_dataset_card_data(data)
    configs = MetadataConfigs({name: _config(one, name == next(iter(named))) for name, one in named.items()})
    configs.to_dataset_card_data(data)
    return data


def _info(one: FormatFacts) -> Any:
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo

    splits = SplitDict()
    for split, file in one.files.items():
        splits.add(SplitInfo(name=split, num_bytes=file.arrow_bytes, num_examples=file.rows))
    files = one.files.values()
    return DatasetInfo(
        features=Features.from_arrow_schema(one.schema),
        splits=splits,
        download_size=sum(file.file_bytes for file in files),
        dataset_size=sum(file.arrow_bytes for file in files),
    )


def _config(one: FormatFacts, first: bool) -> Json:
    paths = [{"split": split, "path": file.path} for split, file in one.files.items()]
    return {"data_files": paths, **({"default": True} if first else {})}


def _paths(one: FormatFacts) -> list[str]:
    return [*(file.path for file in one.files.values()), *one.documents]


def _put(value: object) -> object:
    """What `{{ … }}` puts into the card: what is Markdown already as it is, all other text as plain text."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else plain(value)


def _reasons(counts: Mapping[str, int]) -> str:
    """ "12 ties, 3 not_utf8"; escaped where it is put."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def _verdict(gate: Json) -> str:
    if gate["passed"] is None:
        return "left open" if gate["bound"] is None else "not measured"
    return "held" if gate["passed"] else "FAILED"


def _count(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _estimate(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return "–"
    return f"{one['value']:.3g} ({one['low']:.2g} – {one['high']:.2g}, n = {one['n']:,})"


def split_file(folder: Path, path: str, schema: pa.Schema) -> SplitFile:
    """A Parquet or JSON Lines file of `schema` measured, streamed."""
    file = folder / path
    rows, size = _of_parquet(file) if file.suffix == ".parquet" else _of_json(file, schema)
    return SplitFile(path, rows, size, file.stat().st_size)


def _of_parquet(path: Path) -> tuple[int, int]:
    """Rows and bytes in Arrow. A reader of batches holds on to all that it has read, so each row group has its own."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, buffer_size=BUFFER) as file:
        groups = ([number] for number in range(file.num_row_groups))
        batches = (one for group in groups for one in file.iter_batches(TABLE, row_groups=group, use_threads=False))
        return file.metadata.num_rows, sum(one.nbytes for one in batches)


def _of_json(path: Path, schema: pa.Schema) -> tuple[int, int]:
    """The same of whole lines, `BLOCK` bytes of them or one that is longer: a row beyond its block is not read."""
    import pyarrow as pa
    import pyarrow.json as reader

    parse = reader.ParseOptions(explicit_schema=schema)
    rows = size = 0
    with path.open("rb") as handle:
        while lines := b"".join(handle.readlines(BLOCK)):
            read = reader.ReadOptions(use_threads=False, block_size=len(lines) + 1)
            for batch in reader.read_json(pa.BufferReader(lines), read, parse).to_batches():
                rows, size = rows + batch.num_rows, size + batch.nbytes
    return rows, size
