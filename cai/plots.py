"""Figures as SVG text, for a browser or a paper; no library, no script, nothing from a user but escaped labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from cai.records import Json

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 420, 400, 62, 40, 18, 52
INK, FAINT, COLOUR, OPPOSED = "#222", "#ccc", "#1f6fb2", "#d9661f"
CELL = 36
_ENDS = ("value", "low", "high")


def reliability_diagram(
    bins: Sequence[Json], title: str, *, lowest: float = 0.0, across: str = "mean forecast",
    up: str = "share that came true (95 % interval)",
) -> str:  # fmt: skip
    """Share that came true against the mean forecast of each bin, with its interval and n; the diagonal is calibrated.

    A bin is {mean_p, value, low, high, n}, all but n in 0 … 1. Forecasts are shown from `lowest`, shares from 0.
    """

    def x(value: float) -> float:
        return _x((value - lowest) / (1 - lowest))

    parts = [_line(x(lowest), _y(lowest), x(1), _y(1), FAINT, dashed=True)]
    most = max((one["n"] for one in bins), default=1)
    for one in bins:
        at, radius = x(one["mean_p"]), 3 + 5 * (one["n"] / most) ** 0.5
        parts.append(_line(at, _y(one["low"]), at, _y(one["high"]), COLOUR))
        parts.append(f'<circle cx="{at:.1f}" cy="{_y(one["value"]):.1f}" r="{radius:.1f}" fill="{COLOUR}">'
                     f"<title>n = {one['n']}</title></circle>")  # fmt: skip
        parts.append(_text(at, _y(one["high"]) - 5, f"{one['n']}", size=9))
    return _figure(title, across, up, [*_grid(lowest), *parts])


def share_bars(rows: Sequence[tuple[str, Json]], title: str, what: str) -> str:
    """A bar for each row, {value, low, high, n} with 0 ≤ value ≤ 1, its interval as a line."""
    height = TOP + 26 * len(rows) + BOTTOM
    left, right = 190, WIDTH + 60
    parts = [_text(left + (right - left) * tick / 4, height - BOTTOM + 16, f"{tick / 4:.2g}") for tick in range(5)]
    for at, (name, one) in enumerate(rows):
        parts += _bar(name, one, left, right, TOP + 26 * at + 6)
    parts.append(_text((left + right) / 2, height - 12, what))
    return _svg(right + RIGHT, height, [_text((right + RIGHT) / 2, 22, title, size=14), *parts])


def grouped_bars(groups: Sequence[tuple[str, Sequence[tuple[str, Json]]]], title: str, what: str) -> str:
    """Bars as in `share_bars`, under the name of their group; a dashed line marks one half."""
    left, right, y = 290, WIDTH + 220, float(TOP)
    parts = []
    for name, rows in groups:
        if name:
            parts.append(_text(12, y + 18, name, size=12, anchor="start"))
            y += 24
        for label, one in rows:
            parts += _bar(label, one, left, right, y + 6)
            y += 22
        y += 6
    ticks = [_text(left + (right - left) * tick / 4, y + 16, f"{tick / 4:.2g}") for tick in range(5)]
    middle = (left + right) / 2
    chance = _line(middle, TOP, middle, y, FAINT, dashed=True)
    height = y + BOTTOM
    heads = [_text((right + RIGHT) / 2, 22, title, size=14), _text(middle, height - 12, what)]
    return _svg(right + RIGHT, height, [*heads, chance, *ticks, *parts])


def heat_map(pairs: Sequence[Json], title: str) -> str:
    """A square of names against names, −1 … 1 in each cell: blue above 0, orange below, deeper the further from it.

    A pair is {first, second, value, low, high, n} and stands in both its cells; a cell of no pair is empty.
    """
    names = sorted({one[side] for one in pairs for side in ("first", "second")})
    place = {name: at for at, name in enumerate(names)}
    left, top = 24 + 7 * max(map(len, names)), 50 + 5 * max(map(len, names))
    size = CELL * len(names)
    parts = [_text(12, 22, title, size=14, anchor="start")]
    for name, at in place.items():
        middle = at * CELL + CELL / 2
        across, up = left + middle + 4, top - 8
        parts.append(_text(left - 8, top + middle + 4, name, anchor="end"))
        parts.append(f'<g transform="rotate(-45 {across} {up})">{_text(across, up, name, anchor="start")}</g>')
    for one in pairs:
        x, y = (place[one[side]] * CELL for side in ("first", "second"))
        parts += [_cell(left + x, top + y, one), _cell(left + y, top + x, one)]
    parts.append(f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="{FAINT}"/>')
    return _svg(max(left + size + 5 * max(map(len, names)), 24 + 7.5 * len(title)), top + size + 16, parts)


def _cell(x: float, y: float, one: Json) -> str:
    strength, colour = min(1.0, abs(one["value"])), COLOUR if one["value"] >= 0 else OPPOSED
    square = f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{colour}" fill-opacity="{strength:.2f}"/>'
    ink = "#fff" if strength > 0.6 else INK
    value = _text(x + CELL / 2, y + CELL / 2 + 4, f"{one['value']:.2f}", size=10, colour=ink)
    said = (
        f"{one['first']}, {one['second']}: {one['value']:.2f} ({one['low']:.2f} to {one['high']:.2f}), n = {one['n']}"
    )
    return f"<g>{square}{value}<title>{escape(said)}</title></g>"


def _bar(label: str, one: Json, left: float, right: float, y: float) -> list[str]:
    named = _text(left - 8, y + 11, f"{label} (n = {one['n']})", anchor="end")
    if one["value"] is None:
        return [named, _text(left + 4, y + 11, "nothing to measure it on", anchor="start")]
    value, low, high = (left + (right - left) * (one[key] if one[key] is not None else one["value"]) for key in _ENDS)
    bar = f'<rect x="{left}" y="{y:.1f}" width="{value - left:.1f}" height="14" fill="{COLOUR}"/>'
    return [named, bar, _line(low, y + 7, high, y + 7, INK)]


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - RIGHT)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)


def _grid(lowest: float) -> Iterable[str]:
    for tick in range(6):
        at = tick / 5
        yield _line(_x(at), _y(0), _x(at), _y(0) + 4, INK)
        yield _line(_x(0) - 4, _y(at), _x(0), _y(at), INK)
        yield _text(_x(at), _y(0) + 18, f"{lowest + at * (1 - lowest):.1f}")
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


def _text(x: float, y: float, text: str, size: int = 11, anchor: str = "middle", colour: str = INK) -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {at} fill="{colour}">{escape(text)}</text>'
