"""The figures of throughput.py as a picture and as a table, for docs/explain/performance.md.

    python tests/benchmarks/throughput.py --json figures.json
    python tests/benchmarks/chart.py figures.json docs/explain/throughput.svg

Bars are messages per second as a ratio to the hand-written aiohttp loop of the same round. The
table, in Markdown, goes to standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

SHOWN = {  # peer -> colour; told apart by lightness as well
    "httpx": "#b9b9b9",
    "httpx2": "#8e8e8e",
    "SDK": "#2f7fb8",
    "aiohttp": "#4a4a4a",
    "SDK, fast": "#c2571a",
    "bare httptools": "#eda35e",
    "SDK, pyreqwest": "#5f8f4e",
    "bare pyreqwest": "#b7d3a8",
}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 880, 400, 56, 84, 44
IN_A_ROW = 4  # of the legend
COLUMNS = {
    "rate": "messages/s",
    "ratio": "to aiohttp",
    "cpu_us": "CPU µs each",
    "cpu_ratio": "CPU to aiohttp",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "peak_mb": "peak MB",
    "server_busy": "server busy",
}
Figures = dict[str, dict[str, dict[str, float]]]


def picture(figures: Figures) -> str:
    """Draw groups of bars, one group for each number in flight."""
    peers = [name for name in SHOWN if any(name in rows for rows in figures.values())]
    top = max(rows[name]["ratio"] for rows in figures.values() for name in peers if name in rows)
    height = HEIGHT - TOP - BOTTOM
    step = (WIDTH - LEFT - 16) / len(figures)
    bar = step * 0.84 / len(peers)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="system-ui, sans-serif" font-size="12">'
        ),
        "<title>Messages per second, as a ratio to a hand-written aiohttp loop</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for line in range(int(top * 2) + 1):
        y = TOP + height * (1 - line / 2 / top)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        )
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{line / 2:g} x</text>'
        )
    for group, (in_flight, rows) in enumerate(figures.items()):
        left = LEFT + group * step + step * 0.08
        for place, name in enumerate(peers):
            if name in rows:
                parts.append(_bar(left + place * bar, bar, rows[name]["ratio"], top, height, name))
        middle = LEFT + (group + 0.5) * step
        label = f"{int(in_flight):,} in flight"
        parts.append(
            f'<text x="{middle:.1f}" y="{HEIGHT - 16}" text-anchor="middle">{label}</text>'
        )
    for place, name in enumerate(peers):
        row, column = divmod(place, IN_A_ROW)
        x, y = LEFT + column * 140, 16 + row * 22
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{SHOWN[name]}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 10}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _bar(x: float, width: float, ratio: float, top: float, height: float, name: str) -> str:
    tall = height * ratio / top
    label = f"{ratio:.2f}" if ratio < 1 else f"{ratio:.2g}"
    y = TOP + height - tall
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{tall:.1f}" '
        f'fill="{SHOWN[name]}"><title>{escape(name)}: {ratio:.2f} x</title></rect>'
        f'<text x="{x + width / 2 - 1:.1f}" y="{y - 4:.1f}" text-anchor="middle" '
        f'font-size="9">{label}</text>'
    )


def table(figures: Figures) -> str:
    """Write every figure down, in Markdown."""
    lines = []
    for in_flight, rows in figures.items():
        lines += [f"| {int(in_flight):,} in flight | {' | '.join(COLUMNS.values())} |"]
        lines += ["|---|" + "---:|" * len(COLUMNS)]
        for name, row in rows.items():
            cells = (_cell(key, row[key]) for key in COLUMNS)
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(key: str, value: float) -> str:
    if key in ("ratio", "cpu_ratio"):
        return f"{value:.2f}"
    if key == "server_busy":
        return f"{value:.0%}"
    if key in ("p50_ms", "p99_ms"):
        return f"{value:.1f}" if value else "-"
    return f"{value:,.0f}"


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    figures: Any = json.loads(source.read_text(encoding="utf-8"))
    target.write_text(picture(figures), encoding="utf-8")
    print(table(figures))


if __name__ == "__main__":
    main()
