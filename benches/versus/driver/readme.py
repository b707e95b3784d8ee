"""What the README of the repository shows, between two markers."""

from .peers import RESULTS, ROOT
from .plots import PLOTS
from .report import table

BEGIN, END = "<!-- versus: written by benches/versus/run -->", "<!-- versus: end -->"


def write(rows, conditions):
    """Replaces what is between the markers, which must be there."""
    file = ROOT / "README.md"
    plots = [(title, RESULTS / f"{name}.svg") for name, title, _ in PLOTS]
    plots = [(title, plot.relative_to(ROOT)) for title, plot in plots if plot.exists()]
    file.write_text(replaced(file.read_text(), rows, conditions, plots))


def replaced(text, rows, conditions, plots):
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    shown = "\n".join(f"![{title}]({path})" for title, path in plots)
    return f"{head}{BEGIN}\n{conditions}\n\n{table(rows)}\n{shown}\n{END}{tail}"
