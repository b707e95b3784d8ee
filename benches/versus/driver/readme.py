"""What the README of the repository shows, between two markers."""

from .peers import RESULTS, ROOT
from .plots import PLOTS
from .report import table

BEGIN, END = "<!-- versus: written by benches/versus/run -->", "<!-- versus: end -->"


def write(rows, conditions):
    """Replaces what is between the markers, which must be there."""
    file = ROOT / "README.md"
    head, rest = file.read_text().split(BEGIN)
    _, tail = rest.split(END)
    plots = "\n".join(
        f"![{title}]({(RESULTS / name).relative_to(ROOT)}.svg)"
        for name, title, _ in PLOTS if (RESULTS / f"{name}.svg").exists())
    file.write_text(f"{head}{BEGIN}\n{conditions}\n\n{table(rows)}\n{plots}\n{END}{tail}")
