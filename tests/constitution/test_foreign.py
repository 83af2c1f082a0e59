"""Imports: small files of each shape with planted losses, and the real files where they are."""
# ruff: noqa: E501

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cai.constitution import Constitution, load_constitution
from cai.constitution.foreign import FORMATS, Imported, imported_yaml, read_foreign
from cai.constitution.lint import check_file
from cai.errors import InputError
from cai.records import user

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real data is not here")


def carried(folder: Path, *paths: Path, format: str = "auto") -> tuple[Constitution, Imported]:
    imported = read_foreign(paths, format)
    out = folder / "imported.yaml"
    out.write_text(imported_yaml(imported, "imported", paths), encoding="utf-8")
    errors = [one for one in check_file(out)[1] if one.level == "error"]
    assert not errors, errors
    return load_constitution(out), imported


def saved(folder: Path, value: Any, name: str = "source.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


PAIRS = {
    "one": {"prompt": ["\n\nCritiqueRequest: Is it kind?\n\nCritique:"], "edit_request": "\n\nRevisionRequest: Be kind.\n\nRevision:"},
    "two": {"prompt": ["\n\nCritiqueRequest: Is it {true}?\n\nCritique:", "another"], "edit_request": "\n\nRevisionRequest: Be true.\n\nRevision:"},
}  # fmt: skip
COMPARISONS = ["\nWhich is kinder? Options:", "\nWhich is truer? Options:"]
SHOT = (
    "\n\nHuman: Hi\n\nAssistant: Go away.\n\nHuman: Why?\n\nAssistant: Because.\n\nCritiqueRequest: Kind?\n\nCritique: No."
    "\n\nRevisionRequest: Be kind.\n\nRevision: Sorry.\n\nHuman:"
)


def test_cai_paper_in_parts_and_together(tmp_path: Path) -> None:
    pairs = saved(tmp_path, PAIRS, "pairs.json")
    one, imported = carried(tmp_path, pairs)
    assert [(p.id, p.critique, p.revision) for p in one.principles] == [
        ("one", "Is it kind?", "Be kind."), ("two", "Is it {true}?", "Be true."),
    ]  # fmt: skip
    assert imported.lost == ["pairs.json: two: 1 more wordings of its critique"]
    shots = saved(tmp_path, [SHOT, "\n\nHuman: CritiqueRequest: no chain"], "a_shots.json")
    duels = saved(tmp_path, [{"prompt": "\n\nHuman: Hi\n\nAssistant:", "corrects": ["Hello"], "incorrects": ["Bah"]}] * 2, "a_duels.json")  # fmt: skip
    both, imported = carried(tmp_path, duels, shots, pairs, saved(tmp_path, COMPARISONS, "z.json"))
    assert Counter(p.only_for for p in both.principles) == {"revision": 2, "comparison": 2}
    both.require_forms(["critique", "revision", "comparison"])
    [example] = both.revision_examples
    assert [turn.role for turn in example.messages] == ["user", "assistant", "user"]
    assert (example.response, example.critique, example.revision) == ("Because.", "No.", "Sorry.")
    assert [(e.comparison, e.better, e.response_a) for e in both.comparison_examples] == [
        ("Which is kinder?", "a", "Hello"), ("Which is truer?", "b", "Bah"),
    ]  # fmt: skip
    assert any("a_shots.json: 2" in lost for lost in imported.lost)


def test_llm_swarm(tmp_path: Path) -> None:
    turns = [{"role": role, "content": f"{role} {n}"} for n, role in enumerate(["user", "assistant"] * 3)]
    value = {"constitutions": [{"critic": "C?", "revision": "R."}] * 2, "system_chat": [turns, turns[:4]], "extra": 1}
    one, imported = carried(tmp_path, saved(tmp_path, value))
    assert [p.id for p in one.principles] == ["principle-01", "principle-02"]
    assert one.revision_examples[0].messages == (user("user 0"),)
    assert one.revision_examples[0].revision == "assistant 5"
    assert [lost.split(": ", 1)[1] for lost in imported.lost] == [
        "system_chat[2]: not a dialogue with one critique and one revision", "the key 'extra'",
    ]  # fmt: skip


def test_langchain(tmp_path: Path) -> None:
    rows = [
        {"name": "Be Kind!", "critique_request": "Kind?\r\nReally? \nYes", "revision_request": "Be kind.", "note": "x"},
        {"name": "be kind", "critique_request": "True?", "revision_request": "Be true."},
        {"name": "lost", "critique_request": "x" * 10001, "revision_request": "y"},
        {"name": "bad", "critique_request": "\ud800", "revision_request": "y"},
        {"name": "empty", "critique_request": " ", "revision_request": "y"},
        {"name": "number", "critique_request": 5, "revision_request": "y"},
    ]
    one, imported = carried(tmp_path, saved(tmp_path, rows))
    assert [p.id for p in one.principles] == ["be-kind", "be-kind-2"]
    assert one.principles[0].critique == "Kind?\nReally?\nYes"
    assert one.principles[0].source == "source.json: Be Kind!"
    assert [lost.split(": ")[1] for lost in imported.lost] == ["Be Kind!", "lost", "bad", "empty", "number"]


def test_salmon(tmp_path: Path) -> None:
    rows = [{"dimension": "Brief", "definition": "Be brief.", "weight": 3}, {"dimension": "Kind", "definition": "Be kind.", "negative_definition": "Be rude."}]  # fmt: skip
    one, imported = carried(tmp_path, saved(tmp_path, rows))
    assert one.principles[0].comparison == "Which response better follows this principle? Be brief."
    assert [p.weight for p in one.principles] == [3, 1]
    assert imported.lost == ["source.json: the negative definitions of 1: Kind"]


def test_rbr(tmp_path: Path) -> None:
    path = tmp_path / "props.yaml"
    path.write_text(
        "prompt_template: x\nsimple_propositions:\n  apology: {prompt: Does it apologise?}\n  insult: {prompt: Does it insult?}\n"
        "  length: {prompt: Is it long?}\nderived_propositions:\n  correct_refusal: {apology: true, insult: false}\n"
    )
    one, imported = carried(tmp_path, path)
    assert [(p.id, p.tags) for p in one.principles] == [
        ("apology", ("yes-is-wanted",)),
        ("insult", ("yes-is-unwanted",)),
        ("length", ()),
    ]
    assert imported.lost == ["props.yaml: prompt_template", "props.yaml: derived_propositions (1: correct_refusal)"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '[{"name": "x"}]', "no known format; formats that can be imported: cai-paper, llm-swarm"),
        ("a.json", "[1, 2", "a.json:1:6: this is not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.json", "[]", "no known format"),
        ("a.md", "# A title\n\nSome words.\n", "a.md:3:1: neither JSON nor YAML of a known format"),
        ("a.json", " " * 300_000, "262,144 bytes"),
        ("a.yaml", "name: t\nprinciples: []\n", "a constitution of ours already"),
        ("a.json", json.dumps([SHOT]), "no principle; import it together"),
        ("a.json", '[{"prompt": "x", "corrects": ["y"], "incorrects": ["z"]}]', "nothing in it can be carried"),
        ("a.json", '[{"dimension": "x", "definition": 5}]', "looks like salmon, but an entry is not as it should be"),
        ("a.json", json.dumps({"constitutions": [{"critic": "a", "revision": "b"}], "system_chat": [[{}] * 6]}), "'role' is missing"),
        ("a.json", json.dumps([{"name": str(n), "critique_request": "a", "revision_request": "b"} for n in range(900)]), "too much for one constitution"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_one_clear_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        imported_yaml(read_foreign([path]), "x", [path])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_named_format_is_held_to(tmp_path: Path) -> None:
    path = saved(tmp_path, PAIRS)
    assert read_foreign([path], "cai-paper").formats == ["cai-paper"]
    with pytest.raises(
        InputError, match=r"1:1: the file is not in the format salmon; formats that can be imported: cai"
    ):
        read_foreign([path], "salmon")


@real
@pytest.mark.parametrize(
    ("source", "principles", "forms", "examples", "lost"),
    [
        ("cai_paper/prompts/CritiqueRevisionInstructions.json", 16, {"critique", "revision"}, (0, 0), 0),
        ("cai_paper/prompts/RLMadisonInstructions.json", 16, {"comparison"}, (0, 0), 0),
        ("cai_paper/prompts", 32, {"critique", "revision", "comparison"}, (5, 5), 1),
        ("llm_swarm_constitutions/constituion_grok.json", 2, {"critique", "revision"}, (4, 0), 0),
        ("llm_swarm_constitutions/constitution_anthropic.json", 16, {"critique", "revision"}, (4, 0), 0),
        ("llm_swarm_constitutions/exps_constitution_1705620057.json", 16, {"critique", "revision"}, (4, 0), 0),
        ("langchain_principles/principles.json", 54, {"critique", "revision"}, (0, 0), 0),
        ("salmon_principles/principle_collection_harmless.json", 11, {"comparison", "rubric"}, (0, 0), 0),
        ("salmon_principles/principle_collection_rm.json", 11, {"comparison", "rubric"}, (0, 0), 1),
        ("rbr_gold/proposition_prompts.yaml", 23, {"rubric"}, (0, 0), 4),
    ],
)
def test_real_files(
    tmp_path: Path, source: str, principles: int, forms: set[str], examples: tuple[int, int], lost: int
) -> None:
    one, imported = carried(tmp_path, DATA / source)
    assert len(one.principles) == principles
    assert {
        form for form in ("critique", "revision", "comparison", "rubric") for p in one.principles if p.form(form)
    } == forms  # type: ignore[arg-type]
    assert (len(one.revision_examples), len(one.comparison_examples)) == examples
    assert len(imported.lost) == lost


@real
def test_the_paper_comes_through_word_for_word(tmp_path: Path) -> None:
    folder = DATA / "cai_paper" / "prompts"
    one, _ = carried(tmp_path, folder)
    pairs = json.loads((folder / "CritiqueRevisionInstructions.json").read_text())
    for name, row in pairs.items():
        principle = one.by_id(name)
        assert row["prompt"] == [f"\n\nCritiqueRequest: {principle.critique}\n\nCritique:"]
        assert row["edit_request"] == f"\n\nRevisionRequest: {principle.revision}\n\nRevision:"
    sentences = json.loads((folder / "RLMadisonInstructions.json").read_text())
    assert [f"\n{p.comparison} Options:" for p in one.principles if p.comparison] == sentences


@real
@pytest.mark.parametrize(
    "name", ["claude_constitution/20260120-constitution.md", "dromedary_principles/dromedary_verbose_prompt.txt"]
)
def test_real_documents_that_are_no_lists_of_principles(name: str) -> None:
    with pytest.raises(InputError, match="formats that can be imported"):
        read_foreign([DATA / name])


def test_the_command_offers_every_format() -> None:
    from cai.cli.constitution import import_

    [option] = [one for one in import_.params if one.name == "format_name"]
    assert tuple(option.type.choices) == ("auto", *FORMATS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "why"), [("[" * 100_000, "nested too deep"), ("[" + "1" * 4301, "a number of more than 4,300 digits")]
)
def test_json_beyond_the_readers_limits_is_told_in_own_words(text, why, tmp_path):
    (tmp_path / "source.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"source.json: this is not JSON that can be read: {why}$"):
        read_foreign([tmp_path / "source.json"])
