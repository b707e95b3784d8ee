"""The table in Markdown."""

from .peers import ALL, LEASE, SDK

FORMATS = {
    "bytes": lambda value: f"{value:,.0f}",
    "count": lambda value: f"{value:g}",
    "s": lambda value: f"{value:.1f} s" if value >= 10 else f"{value:.2f} s",
    "ms": lambda value: f"{value:.1f} ms",
    "us": lambda value: f"{value:.0f} µs",
    "M": lambda value: f"{value:.3f} M" if value < 10 else f"{value:.1f} M",
    "KiB": lambda value: f"{value:.2f} KiB",
    "ratio": lambda value: f"{value:.2f}",
    "fine": lambda value: f"{value:.3f}",
    "signed": lambda value: f"{value:+.1f}",
    "rate": lambda value: f"{value:,.0f}",
}


def shown(value, unit):
    return "-" if value is None else FORMATS[unit](value)


def footnotes(rows):
    """By (row, peer): what must be said beside the figure."""
    notes = {}
    for row in rows:
        if row.name.startswith(("cold_", "lambda_")) and LEASE.name in row.values:
            notes[row.name, LEASE.name] = "asks for the table and its time to live first: two requests more"
        for peer in row.samples.get("failed", ()):
            notes[row.name, peer] = "a cycle failed; results.json has the error"
        if row.name == "many_memory" and LEASE.name in row.values:
            notes[row.name, LEASE.name] = "replaces the item, and never sees what was in it"
        if row.name == "take_over":
            notes[row.name, LEASE.name] = "counts whole seconds"
            notes[row.name, SDK.name] = "believes every clock; allows for no skew"
        if row.name == "bad_environments":
            for peer, cases in row.samples.items():
                unclear = [case for case, said in cases.items() if not said["clear"]]
                if unclear:
                    notes[row.name, peer] = "not so: " + ", ".join(unclear)
    return notes


def table(rows):
    notes, numbers = footnotes(rows), {}

    def cell(row, peer):
        text = shown(row.values.get(peer.name), row.unit)
        note = notes.get((row.name, peer.name))
        if note:
            text += f" [{numbers.setdefault(note, len(numbers) + 1)}]"
        return text

    lines = ["| | " + " | ".join(peer.title for peer in ALL) + " |", "|---" + "|--:" * len(ALL) + "|"]
    lines += [f"| {row.title} | " + " | ".join(cell(row, peer) for peer in ALL) + " |" for row in rows]
    if numbers:
        lines += [""] + [f"[{number}] {note[0].upper()}{note[1:]}.  " for note, number in numbers.items()]
    return "\n".join(line.rstrip() if not line.endswith(".  ") else line for line in lines) + "\n"


def target_table(targets):
    lines = ["| target | at most | measured | |", "|---|--:|--:|---|"]
    for target in targets:
        most = f"{target.most:g}" if target.unit in ("ratio", "fine", "signed") else shown(target.most, target.unit)
        lines.append(f"| {target.title} | {most} | {shown(target.measured, target.unit)} "
                     f"| {'met' if target.met else '**not met**'} |")
    return "\n".join(lines) + "\n"


def document(rows, targets, conditions):
    return (f"# Results\n\n{conditions}\n\n{table(rows)}\n## Targets\n\n{target_table(targets)}")
