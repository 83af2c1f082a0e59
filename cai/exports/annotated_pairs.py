"""Annotated pairs v2.0, which the viewer of inverse constitutional AI opens: one JSON document with `metadata`,
`annotators` and `comparisons`. The label is the default annotator, and every principle that voted is one too.

The viewer is feedback-forensics; the format and its writer are inverse-cai's.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import IO

from cai.exports import Carries, Export, ExportOptions, Row
from cai.exports.items import Comparison
from cai.records import Json

DESCRIPTION = "Default annotator from original dataset (from column `preferred_text`)"
"""What the format's own writer says of the annotator that all others are compared with, to the letter."""
_NAME = "preferred_text"
"""Its name there, under which the viewer selects it at the start."""
_RENAMED = {"weight": "label_weight"}
"""Metadata that the viewer has a column of its own for."""
_METADATA = {
    "version": "2.0",
    "description": "Pairs of answers, the better one by the average over principles, orders and samples (the default "
    "annotator; p_a is its probability that answer a is the better one), and what every principle says",
    "dataset_name": "annotated_pairs",
    "available_metadata_keys_per_comparison": ["p_a", "label_weight", "kind", "source", "prompt_source", "split"],
}


def annotator_id(description: str) -> str:
    """8 hexadecimal digits of a description, as the format's own writer makes them."""
    return hashlib.md5(description.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:8]


LABEL = annotator_id(DESCRIPTION)
"""The id of the default annotator: the viewer looks for no other, whatever a document's metadata say."""


def _comparison(one: Comparison) -> Row:
    """The annotations under the principles' own ids; the document has those of the format."""
    preference = one.preference
    annotations = {LABEL: _choice(preference.p_a)}
    annotations |= {id: _choice(p) for id, p in one.p_by_principle.items()}
    return {
        "prompt": one.turns[-1]["content"],
        "response_a": {"text": preference.response_a},
        "response_b": {"text": preference.response_b},
        "annotations": annotations,
    }


def _choice(p: float | None) -> Json:
    """An annotation: the format knows "a", "b", or none with its reason."""
    if p is None:
        return {"pref": None, "no_pref_reason": "invalid"}
    return {"pref": None, "no_pref_reason": "tie"} if p == 0.5 else {"pref": "a" if p > 0.5 else "b"}


class Document:
    """Writes the document as rows come; the annotators stand at its end, for who voted is known only then."""

    def __init__(self, handle: IO[bytes], options: ExportOptions) -> None:
        self._handle, self._options = handle, options
        self._ids = {LABEL: LABEL}
        self._texts = Counter(options.principles.values())
        self._begun = False

    def add(self, row: Row, shared: Row, line: bytes) -> None:
        row = {**row, **shared}
        own = {name: row[name] for name in ("id", "prompt", "response_a", "response_b")}
        own["annotations"] = {self._id(name): choice for name, choice in row["annotations"].items()}
        metadata = {_RENAMED.get(name, name): str(value) for name, value in row.items() if name not in own}
        self._begin()
        self._write({**own, "metadata": metadata})

    def _id(self, principle: str) -> str:
        """From the principle's text, so that runs can be compared; with its name where another has the same text."""
        if principle not in self._ids:
            text = self._options.principles.get(principle, principle)
            self._ids[principle] = annotator_id(text if self._texts[text] < 2 else f"{text}\n{principle}")
        return self._ids[principle]

    def _begin(self) -> None:
        self._handle.write(b",\n" if self._begun else b'{"metadata": ')
        if not self._begun:
            self._write({**_METADATA, "default_annotator": LABEL})
            self._handle.write(b',\n"comparisons": [\n')
        self._begun = True

    def _write(self, value: Json) -> None:
        self._handle.write(json.dumps(value, ensure_ascii=False).encode())

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the document, unless an error cut it off."""
        if kind is None:
            self._handle.write(b'\n],\n"annotators": ')
            self._write(self._annotators())
            self._handle.write(b"}\n")

    def _annotators(self) -> Json:
        found: Json = {LABEL: {"name": _NAME, "description": DESCRIPTION, "type": "unknown"}}
        for name, id in sorted(self._ids.items()):
            if name != LABEL:
                text = self._options.principles.get(name, name)
                found[id] = {"name": name, "description": text, "type": "principle"}
        return found


ANNOTATED_PAIRS = Export(
    "inverse constitutional AI's viewer",
    "comparisons",
    _comparison,
    {"prompt": "text", "response_a": "text", "response_b": "text", "annotations": "text"},
    carries=Carries(turns=False, system=False, any_order=False),
    files=("json",),
    usage="feedback-forensics --datapath FOLDER/annotated_pairs.json",
    document=Document,
)
