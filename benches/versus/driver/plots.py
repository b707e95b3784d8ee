"""Bars, as SVG that can be read on light and on dark ground."""

from html import escape

from .peers import ALL
from .report import shown

# (file, title, rows)
PLOTS = [
    ("size", "Size and build", ["bytes", "crates", "build_cpu"]),
    ("start", "From process start to first lock released, and to a Lambda function's first answer",
     ["cold_tcp_wall", "cold_tcp_instructions", "cold_tls_wall", "cold_tls_instructions",
      "lambda_tcp_wall", "lambda_tls_wall"]),
    ("cycle", "Acquire and release, nobody else about",
     ["cycle_wall", "cycle_cpu", "cycle_instructions", "rate_1", "rate_16", "rate_256"]),
    ("hand-over", "From release to the next holder", ["hand_over_20_ms", "hand_over_200_ms", "hand_over_2_s"]),
    ("many", "Ten thousand leases at once", ["many_memory", "many_cpu", "many_late"]),
]
COLOURS = {"dynolock": "#2a9d8f", "lease": "#e08a3c", "sdk": "#6c8ebf", "raw": "#9a9a9a"}
# The grey has enough contrast on white and on black: a page's ground is not always the system's.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #767676 }
.title { font-size: 15px; font-weight: 600 }
.row { font-weight: 600 }
"""
WIDTH, LABEL, BAR, STEP = 680, 130, 440, 19


def plots(rows):
    """Gives (file name, content) for each plot that has something to show."""
    by_name = {row.name: row for row in rows}
    for file, title, names in PLOTS:
        chosen = [by_name[name] for name in names if name in by_name]
        if chosen:
            yield f"{file}.svg", plot(title, chosen)


def plot(title, rows):
    shapes, y = [text(0, 16, title, "title")], 42
    for row in rows:
        shapes.append(text(0, y, row.title, "row"))
        y += 8
        longest = max(row.values.values()) or 1
        for peer in ALL:
            if peer.name not in row.values:
                continue
            value = row.values[peer.name]
            length = max(1, BAR * value / longest)
            shapes.append(text(0, y + 13, peer.title))
            shapes.append(f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="14" rx="2" '
                          f'fill="{COLOURS[peer.name]}"/>')
            shapes.append(text(LABEL + length + 6, y + 13, shown(value, row.unit)))
            y += STEP
        y += 24
    height = y - 20
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">\n<style>{STYLE}</style>\n'
            + "\n".join(shapes) + "\n</svg>\n")


def text(x, y, content, kind=None):
    mark = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y}"{mark}>{escape(content)}</text>'
