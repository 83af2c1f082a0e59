"""Imports go only downwards, as the design's table says; packages of one layer never import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "cai"
LAYERS = {
    4: {"cli"},
    3: {"pipeline"},
    2: {"models", "stages", "preferences", "audit", "exports", "imports", "training", "evaluation", "embedded"},
    1: {
        "registry", "yaml_files", "constitution", "prompts", "recipe", "recipe_files", "storage", "dialogues", "chat",
        "bands", "context", "control_tokens", "draws", "intervals", "schemas", "human_preferences", "linear", "memory",
        "packed", "fitting", "plots", "refusals", "reliability", "unspaced",
    },
    0: {"errors", "records", "judge_records"},
}  # fmt: skip
LAYER = {name: layer for layer, names in LAYERS.items() for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.name != "__init__.py")


def part(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "cai"}
    return {name.split(".")[1] for name in names if name.startswith("cai.") and name.count(".") >= 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below(path: Path) -> None:
    me = part(path)
    assert me in LAYER, f"{me} has no layer: put it in the table"
    for other in imported(ast.parse(path.read_text(encoding="utf-8"))) - {"__version__", me}:
        if LAYER[me] <= 1 and LAYER[other] == LAYER[me]:
            continue
        assert LAYER[other] < LAYER[me], f"{path.relative_to(ROOT)} imports cai.{other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_keeps_to_the_ceiling(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
