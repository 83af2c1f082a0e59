"""The constitution commands, run for real in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cai.cli.constitution import constitution
from cai.constitution.loading import SHIPPED
from cai.errors import InputError


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*words: str) -> Result:
    return CliRunner().invoke(constitution, list(words), catch_exceptions=False)


def test_new_check_show_and_diff() -> None:
    assert "Next: edit it" in run("new", "my.yaml").output
    checked = run("check", "my.yaml", "harmlessness")
    assert checked.exit_code == 0
    assert checked.output.splitlines()[0] == "my.yaml: no errors, no warnings"
    shown = run("show", "my.yaml").output.splitlines()
    assert shown[3].split() == ["id", "forms", "weight", "tags", "applies", "to", "title"]
    assert shown[4].startswith("no-harm  CRPQ   2       harm")
    text = (
        Path("my.yaml")
        .read_text()
        .replace("is less likely to help", "does less to help")
        .replace("weight: 2", "weight: 3")
    )
    Path("mine.yaml").write_text(text)
    lines = run("diff", "my.yaml", "mine.yaml").output.splitlines()
    assert lines[0] == "reworded: no-harm.comparison"
    assert lines[1] == "    Which response [-is-] {+does+} less [-likely-] to help somebody do harm?"
    assert lines[2] == "changed: no-harm: weight 2 -> 3"
    assert lines[3].startswith("critique: 10.0% of draws move to another principle; 10.0% ask anew")
    assert lines[4].startswith("comparison: 10.0% of draws move to another principle; 60.0% ask anew")
    assert run("diff", "my.yaml", "my.yaml").output == "No differences in what a model or a draw sees.\n"
    assert json.loads(run("diff", "my.yaml", "mine.yaml", "--json").output)["settings"] == ["no-harm: weight 2 -> 3"]


def test_show_one_and_what_is_shipped() -> None:
    assert run("show").output.splitlines()[0].startswith("harmlessness                16 principles  Answers that")
    whole = run("show", "harmlessness", "--id", "no-sermon").output
    assert "comparison:\n    Which response is less preachy?\n" in whole
    value = json.loads(run("show", "harmlessness", "--id", "no-sermon", "--json").output)
    assert [one["id"] for one in value["principles"]] == ["no-sermon"] and value["tests"] == 18
    assert run("show", "--id", "x").exit_code == 2


def test_check_reports_errors_with_exit_2() -> None:
    Path("bad.yaml").write_text("name: t\nprinciples:\n  - id: a\n    critque: x\n    rubric: 12\n")
    result = run("check", "bad.yaml")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "bad.yaml:4:5: error: unknown key 'critque'; did you mean 'critique'? [invalid]",
        "bad.yaml:5:13: error: principles[1].rubric must be a text, not the number 12; "
        "put it in quotes if it is meant as a text [invalid]",
        "bad.yaml: 2 errors, no warnings",
    ]
    result = run("check", "bad.yaml", "minimal", "--json")
    assert result.exit_code == 2
    value = json.loads(result.output)
    assert [len(one["findings"]) for one in value["files"]] == [2, 0] and value["ok"] is False
    assert value["files"][0]["findings"][0]["line"] == 4


def test_import_to_a_file_and_to_the_standard_output() -> None:
    rows = [{"name": "kind", "critique_request": "Is it kind?", "revision_request": "Be kind."}]
    Path("principles.json").write_text(json.dumps(rows))
    result = run("import", "principles.json", "--out", "mine.yaml")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Read 1 principle (langchain).",
        "Not carried: nothing was lost",
        "Wrote mine.yaml. Next:  cai constitution check mine.yaml",
    ]
    assert run("check", "mine.yaml").exit_code == 0
    assert run("import", "principles.json", "--name", "mine").stdout in Path("mine.yaml").read_text()
    with pytest.raises(InputError, match="never overwritten"):
        run("import", "principles.json", "--out", "mine.yaml")


def test_the_top_of_the_tree_links_to_what_is_shipped() -> None:
    link = SHIPPED.parents[2] / "constitutions"
    if not (SHIPPED.parents[2] / "pyproject.toml").is_file():
        pytest.skip("not run from a checkout")
    assert link.is_symlink() and link.resolve() == SHIPPED.resolve()


@pytest.mark.parametrize("name", ["new", "check", "show", "diff", "import"])
def test_every_command_has_an_example(name: str) -> None:
    assert f"cai constitution {name} " in run(name, "--help").output
