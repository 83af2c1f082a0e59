"""Readers of other projects' constitutions: each turns a parsed file into rows of ours and lists what is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cai.constitution.principles import FORMS
from cai.records import Json

LONGEST = 10000
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_TURN = re.compile(r"\n\n(Human|Assistant|CritiqueRequest|Critique|RevisionRequest|Revision):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


@dataclass(slots=True)
class Imported:
    """What was read so far: rows in the form of our YAML, what was lost, and what the user should know."""

    principles: list[Json] = field(default_factory=list)
    revision_examples: list[Json] = field(default_factory=list)
    comparison_examples: list[Json] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)

    def add(self, name: str, source: str, **texts: Any) -> None:
        """One principle, unless a text of it cannot be used; empty values are left out."""
        try:
            row = {key: usable(text) if key in FORMS else text for key, text in texts.items() if key in FORMS or text}
            self.principles.append({"id": self._free_id(name), **row, "source": usable(source)[:200]})
        except ValueError as error:
            self.lost.append(f"{source}: {error}")

    def _free_id(self, name: str) -> str:
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:70] or "principle"
        taken = {row["id"] for row in self.principles}
        numbered = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
        return next(id for id in numbered if id not in taken)


def usable(text: Any) -> str:
    """The text without white space at its ends and its lines' ends. Raises `ValueError` if our files cannot hold it."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"a text is expected, not {json.dumps(text)[:40]}")
    if bad := _UNUSABLE.search(text):
        raise ValueError(f"the character U+{ord(bad.group()):04X} cannot stand in a text")
    if len(text) > LONGEST:
        raise ValueError(f"the text has {len(text):,} characters; at most {LONGEST:,} can be carried")
    return re.sub(r"[ \t]+(?=\n)", "", text.replace("\r\n", "\n")).strip()


def paper_pairs(value: Any, file: str, into: Imported) -> None:
    for name, row in value.items():
        requests = row["prompt"] if isinstance(row["prompt"], list) else [row["prompt"]]
        critique = _between(str(requests[0]), "CritiqueRequest:", "Critique:")
        revision = _between(str(row["edit_request"]), "RevisionRequest:", "Revision:")
        into.add(name, f"{file}: {name}", critique=critique, revision=revision, only_for="revision")
        if len(requests) > 1:
            into.lost.append(f"{file}: {name}: {len(requests) - 1} more wordings of its critique")


def _between(text: str, lead: str, end: str) -> str:
    return text.strip().removeprefix(lead).removesuffix(end).strip()


def paper_comparisons(value: Any, file: str, into: Imported) -> None:
    for number, text in enumerate(value, start=1):
        comparison = text.strip().removesuffix("Options:").strip()
        into.add(f"comparison-{number:02}", f"{file}: {number}", comparison=comparison, only_for="comparison")


def paper_revision_shots(value: Any, file: str, into: Imported) -> None:
    for number, text in enumerate(value, start=1):
        _, *parts = _TURN.split(text.rstrip().removesuffix("\n\nHuman:"))
        names, texts = parts[::2], [part.strip() for part in parts[1::2]]
        tail = ["Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision"]
        if names[-5:] != tail or not set(names[:-5]) <= _ROLES.keys() or names[-6:-5] != ["Human"] or not all(texts):
            into.lost.append(f"{file}: {number}: not a dialogue with one critique and one revision")
            continue
        turns = [{"role": _ROLES[name], "content": said} for name, said in zip(names[:-5], texts[:-5], strict=True)]
        _add_revision_example(into, turns, texts[-5:])


def _add_revision_example(into: Imported, turns: list[Json], texts: Sequence[str]) -> None:
    response, critique_request, critique, revision_request, revision = texts
    row = {**_opening(turns), "response": response, "critique_request": critique_request, "critique": critique}
    row["revision_request"] = revision_request
    if revision != response:
        row["revision"] = revision
    into.revision_examples.append(row)


def _opening(turns: list[Json]) -> Json:
    return {"prompt": turns[0]["content"]} if len(turns) == 1 else {"messages": turns}


def paper_comparison_shots(value: Any, file: str, into: Imported) -> None:
    """The paper puts a principle drawn anew before each; ours get the comparisons read so far, in turn."""
    wordings = [row["comparison"] for row in into.principles if "comparison" in row]
    if not wordings:
        into.lost.append(f"{file}: {len(value)} worked comparisons, as they carry no question (import them with the file of comparison instructions)")  # fmt: skip  # noqa: E501
        return
    for number, row in enumerate(value):
        _, *parts = _TURN.split(row["prompt"].rstrip().removesuffix("\n\nAssistant:"))
        turns = [
            {"role": _ROLES[name], "content": said.strip()} for name, said in zip(parts[::2], parts[1::2], strict=True)
        ]
        good, bad = usable(row["corrects"][0]), usable(row["incorrects"][0])
        first, second, better = (good, bad, "a") if number % 2 == 0 else (bad, good, "b")
        asked = {"comparison": wordings[number % len(wordings)], "response_a": first, "response_b": second}
        into.comparison_examples.append({**_opening(turns), **asked, "better": better})
    into.notes.append(f"{file}: its {len(value)} worked comparisons were given the first comparison questions in turn")


def paper_reasoned_shots(value: Any, file: str, into: Imported) -> None:
    into.lost.append(f"{file}: {len(value)} worked comparisons with reasoning, for which constitutions have no place")


def llm_swarm(value: Any, file: str, into: Imported) -> None:
    for number, row in enumerate(value["constitutions"], start=1):
        source = f"{file}: constitutions[{number}]"
        into.add(
            f"principle-{number:02}", source, critique=row["critic"], revision=row["revision"], only_for="revision"
        )
    for number, chat in enumerate(value.get("system_chat", []), start=1):
        roles = [turn["role"] for turn in chat]
        if len(chat) < 6 or roles[-6:] != ["user", "assistant"] * 3:
            into.lost.append(f"{file}: system_chat[{number}]: not a dialogue with one critique and one revision")
            continue
        _add_revision_example(into, chat[:-5], [usable(turn["content"]) for turn in chat[-5:]])
    _other_keys(value, ("constitutions", "system_chat"), file, into)


def langchain(value: Any, file: str, into: Imported) -> None:
    for row in value:
        name = str(row["name"])
        into.add(name, f"{file}: {name}", critique=row["critique_request"], revision=row["revision_request"],
                 only_for="revision")  # fmt: skip
        _other_keys(row, ("name", "critique_request", "revision_request"), f"{file}: {name}", into)


def salmon(value: Any, file: str, into: Imported) -> None:
    for row in value:
        name, definition = str(row["dimension"]), usable(row["definition"])
        weight = float(row.get("weight") or 1)
        into.add(name, f"{file}: {name}", title=name[:200],
                 comparison=f"Which response better follows this principle? {definition}",
                 rubric=f"Does the answer follow this principle? {definition}",
                 weight=weight if weight != 1 else None, only_for="comparison")  # fmt: skip
    negative = [str(row["dimension"]) for row in value if row.get("negative_definition")]
    if negative:
        into.lost.append(f"{file}: the negative definitions of {len(negative)}: {', '.join(negative)}")
    into.notes.append(f"{file}: definitions became questions by a fixed opening in front; reword them to taste")


def rbr(value: Any, file: str, into: Imported) -> None:
    wanted = _wanted(value.get("derived_propositions") or {})
    for name, row in value["simple_propositions"].items():
        answers = wanted.get(name, set())
        tag = f"yes-is-{'wanted' if True in answers else 'unwanted'}" if len(answers) == 1 else None
        title = name.replace("_", " ")
        into.add(name, f"{file}: {name}", title=title, rubric=row["prompt"], tags=[tag] if tag else None)
    for key in value:
        if key != "simple_propositions":
            into.lost.append(f"{file}: {key}{_named(value[key])}")
    unwanted = sum(row.get("tags") == ["yes-is-unwanted"] for row in into.principles)
    if unwanted:
        into.notes.append(f"{file}: for {unwanted} propositions a good refusal answers no (tag 'yes-is-unwanted'); "
                          "reword those so that yes is good")  # fmt: skip


def _wanted(derived: Json) -> dict[str, set[bool]]:
    """Which answers the good classes of answers ask for, by proposition."""
    found: dict[str, set[bool]] = {}
    for name, parts in derived.items():
        if name.startswith(("correct_", "acceptable_")):
            for part, answer in parts.items():
                found.setdefault(part, set()).add(bool(answer))
    return found


def _named(value: Any) -> str:
    return f" ({len(value)}: {', '.join(str(one) for one in value)})" if isinstance(value, dict | list) else ""


def _other_keys(row: Json, known: Iterable[str], where: str, into: Imported) -> None:
    into.lost += [f"{where}: the key '{key}'" for key in row if key not in known]
