"""Constitutions: YAML files of principles, read, checked, compared, and imported from other formats."""

from __future__ import annotations

from cai.constitution.loading import load_constitution, shipped_names
from cai.constitution.principles import FORMS, Constitution, Form, Principle, PrincipleTest, Scope

__all__ = [
    "FORMS", "Constitution", "Form", "Principle", "PrincipleTest", "Scope", "load_constitution", "shipped_names",
]  # fmt: skip
