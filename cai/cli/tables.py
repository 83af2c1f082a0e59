"""Plain aligned tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Aligned plain text: the first and last columns to the left, the rest to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: tuple[str, ...]) -> str:
        cells = [
            cell.ljust(w) if i in (0, len(head) - 1) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), *map(line, rows)])


def number_of(number: int, noun: str) -> str:
    """So many: 1 tie, 2 ties."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def count(value: int | None) -> str:
    """A whole number with thousands marked, or a dash."""
    return "-" if value is None else f"{value:,}"
