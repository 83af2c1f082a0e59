"""Pairs that people ranked, or that come ranked from elsewhere, as `Preference` records with the source "human"."""

from __future__ import annotations

from cai.human_preferences.reading import HumanPreferences, PairNotes, left_out_lines, read_human_preferences

__all__ = ["HumanPreferences", "PairNotes", "left_out_lines", "read_human_preferences"]
