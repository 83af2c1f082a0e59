"""Figures as SVG text, for a browser or a paper; no library, no script, nothing from a user but escaped labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from cai.records import Json

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 420, 400, 62, 40, 18, 52
INK, FAINT, COLOUR = "#222", "#ccc", "#1f6fb2"


def reliability_diagram(bins: Sequence[Json], title: str) -> str:
    """Share that came true against the mean forecast of each bin, with its interval and n; the diagonal is calibrated.

    A bin is {mean_p, value, low, high, n}, all but n in 0 … 1.
    """
    parts = [_line(_x(0), _y(0), _x(1), _y(1), FAINT, dashed=True)]
    most = max((one["n"] for one in bins), default=1)
    for one in bins:
        x, radius = _x(one["mean_p"]), 3 + 5 * (one["n"] / most) ** 0.5
        parts.append(_line(x, _y(one["low"]), x, _y(one["high"]), COLOUR))
        parts.append(f'<circle cx="{x:.1f}" cy="{_y(one["value"]):.1f}" r="{radius:.1f}" fill="{COLOUR}">'
                     f"<title>n = {one['n']}</title></circle>")  # fmt: skip
        parts.append(_text(x, _y(one["high"]) - 5, f"{one['n']}", size=9))
    return _figure(title, "mean forecast", "share that came true (95 % interval)", [*_grid(), *parts])


def share_bars(rows: Sequence[tuple[str, Json]], title: str, what: str) -> str:
    """A bar for each row, {value, low, high, n} with 0 ≤ value ≤ 1, its interval as a line."""
    height = TOP + 26 * len(rows) + BOTTOM
    left, right = 190, WIDTH + 60
    parts = [_text(left + (right - left) * tick / 4, height - BOTTOM + 16, f"{tick / 4:.2g}") for tick in range(5)]
    for at, (name, one) in enumerate(rows):
        y = TOP + 26 * at + 6
        parts.append(_text(left - 8, y + 11, f"{name} (n = {one['n']})", anchor="end"))
        if one["value"] is None:
            parts.append(_text(left + 4, y + 11, "nothing to measure it on", anchor="start"))
            continue
        ends = [left + (right - left) * one[key] for key in ("value", "low", "high")]
        parts.append(f'<rect x="{left}" y="{y}" width="{ends[0] - left:.1f}" height="14" fill="{COLOUR}"/>')
        parts.append(_line(ends[1], y + 7, ends[2], y + 7, INK))
    parts.append(_text((left + right) / 2, height - 12, what))
    return _svg(right + RIGHT, height, [_text((right + RIGHT) / 2, 22, title, size=14), *parts])


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)


def _grid() -> Iterable[str]:
    for tick in range(6):
        at = tick / 5
        yield _line(_x(at), _y(0), _x(at), _y(0) + 4, INK)
        yield _line(_x(0) - 4, _y(at), _x(0), _y(at), INK)
        yield _text(_x(at), _y(0) + 18, f"{at:.1f}")
        yield _text(_x(0) - 8, _y(at) + 4, f"{at:.1f}", anchor="end")
    yield f'<rect x="{_x(0)}" y="{_y(1)}" width="{_x(1) - _x(0)}" height="{_y(0) - _y(1)}" fill="none" stroke="{INK}"/>'


def _figure(title: str, across: str, up: str, parts: Iterable[str]) -> str:
    middle = (_y(0) + _y(1)) / 2
    labels = [
        _text(WIDTH / 2, 22, title, size=14),
        _text((_x(0) + _x(1)) / 2, HEIGHT - 12, across),
        f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, up)}</g>',
    ]
    return _svg(WIDTH, HEIGHT, [*labels, *parts])


def _svg(width: float, height: float, parts: Iterable[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    body = "\n".join(parts)
    return f'{head} font-family="sans-serif">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1.5"{dash}/>'


def _text(x: float, y: float, text: str, size: int = 11, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
