"""Help and status are quick because they import nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch", "transformers", "datasets", "trl", "numpy", "pyarrow", "pydantic", "openai", "rich", "jsonschema", "scipy",
    "matplotlib", "accelerate", "peft",
}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("module", ["cai.cli", "cai.cli.run", "cai.cli.status", "cai.cli.show", "cai.pipeline.status"])
def test_importing_the_command_line_pulls_nothing_heavy(module: str) -> None:
    assert not loaded_by(f"import {module}") & HEAVY


def test_every_help_is_light_has_an_example_and_shows_it() -> None:
    walk = """
import click
from cai.cli import main
def visit(command, context, names):
    assert "Example" in (command.help or ""), f"{' '.join(names)} has no example"
    assert "\\\\b" not in command.help, f"{' '.join(names)} prints its paragraph mark"
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, f"{' '.join(names)} {option.name} has no help"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            visit(inner, click.Context(inner, parent=context, info_name=name), [*names, name])
    command.get_help(context)
visit(main, click.Context(main, info_name="cai"), ["cai"])
"""
    assert not loaded_by(walk) & HEAVY


def test_the_pipeline_can_be_imported_without_torch() -> None:
    assert not loaded_by("import cai.pipeline.run_recipe") & (HEAVY - {"jsonschema"})
