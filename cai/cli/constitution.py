"""`cai constitution`: write, check, look at, compare and import constitution files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cai.cli.out_path import OutPath

if TYPE_CHECKING:
    from pathlib import Path

    from cai.constitution import Constitution, Principle
    from cai.constitution.changes import Change, Step
    from cai.constitution.foreign_formats import Imported
    from cai.constitution.lint import Finding

FORMS = ("critique", "revision", "comparison", "rubric")


@click.group()
def constitution() -> None:
    """Write, check, look at, compare and import constitutions.

    A constitution is a YAML file of principles, given by its path or by the name of one that is shipped.

    \b
    Example:
        cai constitution new my.yaml
        cai constitution check my.yaml
    """


@constitution.command()
@click.argument("path", type=OutPath(files="*"))
@click.option("--from", "source", default="minimal", show_default=True, help="A shipped name or a path to copy.")
def new(path: Path, source: str) -> None:
    """Write a new constitution at PATH, a commented copy to edit.

    A file that is there is never overwritten. The schema is put beside it, in `.cai/`, where editors find it.

    \b
    Example:
        cai constitution new my.yaml
        cai constitution new strict.yaml --from harmlessness
    """
    from cai.constitution.writing import SCHEMA_COPY, new_constitution

    written = new_constitution(path, source)
    click.echo(f"Wrote {written} (a copy of {source}) and, for your editor, {written.parent / SCHEMA_COPY}")
    click.echo(f"Next: edit it, then  cai constitution check {written}")


@constitution.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME_OR_PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(names: tuple[str, ...], as_json: bool) -> None:
    """Find mistakes: exit 2 if there are errors, 0 if there are only warnings.

    Looks for missing forms, repeated ids, nearly equal texts, contradictory scopes, principles that no prompt reaches,
    over-long texts, and tests of principles that are not there.

    \b
    Example:
        cai constitution check my.yaml
        cai constitution check harmlessness --json
    """
    from cai.constitution.lint import check_file

    results = []
    for name in names:
        path, findings = check_file(name)
        results.append((str(path or name), findings))
    failed = any(one.level == "error" for _, findings in results for one in findings)
    if as_json:
        _print_json(
            {
                "ok": not failed,
                "files": [{"path": name, "findings": [one.to_json() for one in rows]} for name, rows in results],
            }
        )
    else:
        for name, findings in results:
            _print_findings(name, findings)
    if failed:
        raise click.exceptions.Exit(2)


def _print_findings(name: str, findings: list[Finding]) -> None:
    for one in findings:
        where = ":".join(str(part) for part in (name, one.line, one.column) if part is not None)
        click.echo(f"{where}: {_level(one)}: {one.message} [{one.code}]")
    errors = sum(one.level == "error" for one in findings)
    warnings = len(findings) - errors
    click.echo(f"{name}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _level(one: Finding) -> str:
    return click.style(one.level, fg="red" if one.level == "error" else "yellow", bold=True)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


@constitution.command()
@click.argument("name", required=False, metavar="[NAME_OR_PATH]")
@click.option("--id", "principle", metavar="ID", help="Show this principle in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str | None, principle: str | None, as_json: bool) -> None:
    """Show the principles of a constitution, or one in full; without a name, what is shipped.

    \b
    Example:
        cai constitution show harmlessness
        cai constitution show harmlessness --id no-sermon
    """
    from cai.constitution import load_constitution, shipped_names

    if name is None:
        if principle is not None:
            raise click.UsageError("--id needs the name of a constitution before it")
        _show_shipped([load_constitution(one) for one in shipped_names()], as_json)
        return
    loaded = load_constitution(name)
    shown = [loaded.by_id(principle)] if principle is not None else list(loaded.principles)
    if as_json:
        _print_json({**_summary(loaded), "principles": [_principle_json(one) for one in shown]})
    elif principle is not None:
        _show_principle(shown[0])
    else:
        _show_table(loaded)


def _show_shipped(loaded: list[Constitution], as_json: bool) -> None:
    if as_json:
        _print_json({"shipped": [_summary(one) for one in loaded]})
        return
    for one in loaded:
        click.echo(f"{one.name:26} {len(one.principles):3} principles  {one.description}")


def _summary(one: Constitution) -> dict[str, object]:
    return {
        "name": one.name,
        "description": one.description,
        "language": one.language,
        "path": str(one.path),
        "sha256": one.sha256,
        "revision_examples": len(one.revision_examples),
        "comparison_examples": len(one.comparison_examples),
        "tests": len(one.tests),
    }


def _principle_json(one: Principle) -> dict[str, object]:
    return {
        "id": one.id,
        "title": one.title,
        **{form: getattr(one, form) or None for form in FORMS},
        "weight": one.weight,
        "tags": list(one.tags),
        "applies_to": one.applies_to.to_json(),
        "only_for": one.only_for,
        "source": one.source,
        "line": one.line,
    }


def _show_table(loaded: Constitution) -> None:
    click.echo(f"{loaded.name}: {loaded.description}".rstrip(": "))
    click.echo(f"{loaded.path}  sha256 {loaded.sha256[:12]}")
    rows = [("id", "forms", "weight", "tags", "applies to", "title")]
    for one in loaded.principles:
        forms = "".join(letter if getattr(one, form) else "-" for letter, form in zip("CRPQ", FORMS, strict=True))
        rows.append((one.id, forms, f"{one.weight:g}", ",".join(one.tags), str(one.applies_to), one.title))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    click.echo()
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo()
    click.echo(
        f"{_count(len(loaded.principles), 'principle')}, "
        f"{_count(len(loaded.revision_examples), 'worked revision')}, "
        f"{_count(len(loaded.comparison_examples), 'worked comparison')}, {_count(len(loaded.tests), 'test')}. "
        "Forms: C critique, R revision, P comparison, Q yes/no rubric."
    )


def _show_principle(one: Principle) -> None:
    click.echo(f"{one.id}{f': {one.title}' if one.title else ''}  (line {one.line})")
    for form in FORMS:
        text = getattr(one, form) or "(none)"
        click.echo(f"\n{form}:\n{click.wrap_text(text, 100, '    ', '    ', preserve_paragraphs=True)}")
    click.echo(f"\nweight {one.weight:g}; applies to {one.applies_to}")
    for label, text in (("only for", one.only_for), ("tags", ", ".join(one.tags)), ("source", one.source)):
        if text:
            click.echo(f"{label}: {text}")


@constitution.command()
@click.argument("before")
@click.argument("after")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diff(before: str, after: str, as_json: bool) -> None:
    """Show what differs from BEFORE to AFTER, word by word, and what share of draws it moves.

    \b
    Example:
        cai constitution diff harmlessness my.yaml
    """
    from cai.constitution import load_constitution
    from cai.constitution.changes import compare

    old, new_one = load_constitution(before), load_constitution(after)
    change = compare(old, new_one)
    if as_json:
        _print_json(change.to_json())
        return
    _print_change(change)


def _print_change(change: Change) -> None:
    from cai.constitution.changes import word_steps

    for label, ids, colour in (("added", change.added, "green"), ("removed", change.removed, "red")):
        for id in ids:
            click.echo(f"{click.style(label, fg=colour)}: {id}")
    for old_id, new_id in change.renamed:
        click.echo(f"renamed: {old_id} -> {new_id} (the same texts; to the draws it is another principle)")
    for one in change.rewordings:
        click.echo(f"{one.kind}: {one.principle}.{one.form}")
        click.echo("    " + " ".join(_marked(step, text.strip()) for step, text in word_steps(one.before, one.after)))
    for line in change.settings:
        click.echo(f"changed: {line}")
    for kind in change.examples:
        click.echo(f"changed: the worked examples of {kind}s, which go before every question of that sort")
    if not any((change.added, change.removed, change.renamed, change.rewordings, change.settings, change.examples)):
        click.echo("No differences in what a model or a draw sees.")
        return
    for form, share in change.moved.items():
        click.echo(f"{form}: {share:.1%} of draws move to another principle; {change.asked_anew[form]:.1%} ask anew")


def _marked(step: Step, text: str) -> str:
    if step == "same":
        return text
    return click.style(f"[-{text}-]", fg="red") if step == "gone" else click.style(f"{{+{text}+}}", fg="green")


@constitution.command(name="import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["auto", "cai-paper", "llm-swarm", "langchain", "salmon", "rbr"]),
    default="auto",
    show_default=True,
    help="The format of the files; auto recognises it.",
)
@click.option(
    "--out", type=OutPath(files="*"), help="Where to write; the standard output if left out. Never overwrites."
)
@click.option("--name", help="The name of the constitution; that of the output or the first file if left out.")
@click.option("--language", default="en", show_default=True, help="The language of the wordings.")
def import_(files: tuple[str, ...], format_name: str, out: Path | None, name: str | None, language: str) -> None:
    """Turn constitutions in other formats into one of ours, and say what could not be carried.

    Several files, or a folder, become one constitution. Reads the critique and revision instructions, comparison
    sentences and worked examples of the Constitutional AI paper, llm-swarm and LangChain constitutions, SALMON
    principles, and the propositions of rule-based rewards.

    \b
    Example:
        cai constitution import principles.json --out mine.yaml
        cai constitution import CritiqueRevisionInstructions.json RLMadisonInstructions.json --out paper.yaml
    """
    from pathlib import Path

    from cai.constitution.foreign import imported_yaml, read_foreign
    from cai.constitution.writing import schema_line, write_new

    imported = read_foreign(files, format_name)
    text = imported_yaml(imported, name or Path(out or files[0]).stem, files, language)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_new(out, f"{schema_line()}\n#\n{text}")
    _report_import(imported, out)


def _report_import(imported: Imported, out: Path | None) -> None:
    formats = ", ".join(dict.fromkeys(imported.formats))
    counts = [
        _count(len(imported.principles), "principle"),
        *([_count(len(imported.revision_examples), "worked revision")] if imported.revision_examples else []),
        *([_count(len(imported.comparison_examples), "worked comparison")] if imported.comparison_examples else []),
    ]
    click.echo(f"Read {', '.join(counts)} ({formats}).", err=True)
    for note in imported.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"Not carried: {len(imported.lost) or 'nothing was lost'}", err=True)
    for lost in imported.lost:
        click.echo(f"  {lost}", err=True)
    if out is not None:
        click.echo(f"Wrote {out}. Next:  cai constitution check {out}", err=True)


def _print_json(value: dict[str, object]) -> None:
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@constitution.command("test")
@click.argument("name", metavar="NAME_OR_PATH", default="harmlessness", required=False)
@click.option("--judge", default="embedded", show_default=True, metavar="ENGINE/NAME", help="Who judges.")
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="A recipe's setting, such as label.template=paper."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def test_command(ctx: click.Context, name: str, judge: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Put the constitution's own tests to a judge: exit 1 if one fails.

    Each test is a pair of answers under one principle, asked in both orders as a run's labels are; answers are kept in
    outputs/.store and never asked for twice. Tests of principles without a `comparison` are not asked, but counted; a
    file in which `cai constitution check` finds an error is refused.

    \b
    Example:
        cai constitution test my.yaml --judge hf/./my-judge
        cai constitution test my.yaml --judge openai/NAME@http://localhost:8000/v1
    """
    import json
    from pathlib import Path

    from cai.pipeline.audit_asking import judge_tests, untold_tests
    from cai.recipe_files import load_recipe, parse_sets

    recipe = load_recipe("rl-cai", parse_sets(sets) | {"constitution": name, "judge": judge})
    found = judge_tests(recipe, Path("outputs") / "constitution-test")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        asked_with = " ".join(f"{key}={json.dumps(value)}" for key, value in found["asked_with"].items())
        click.echo(f"asked with {asked_with} (--set; `cai audit RUN` asks with the run's own)")
        for row in found["tests"]:
            p = "  -  " if row["p_better"] is None else f"{row['p_better']:.3f}"
            asked = row["prompt"] if len(row["prompt"]) <= 70 else row["prompt"][:69] + "…"
            why = f"  (no verdict: {row['why']})" if row["why"] else ""
            click.echo(f"{'passed' if row['passed'] else 'FAILED'}  {p}  {row['principle']:<28} {asked}{why}")
        passed = found["passed"]
        interval = f"{passed['low']:.1%} to {passed['high']:.1%} of such tests"
        calls = f"{found['calls_made']} calls, {found['calls_saved']} saved"
        click.echo(f"\n{round(passed['value'] * passed['n'])} of {passed['n']} passed ({interval}); {calls}")
        for line in untold_tests(found["not_asked"]):
            click.echo(line)
    ctx.exit(0 if all(row["passed"] for row in found["tests"]) else 1)
