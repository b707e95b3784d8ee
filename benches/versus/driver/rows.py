"""One row of the table: one thing, measured for each peer that has it."""

from dataclasses import asdict, dataclass, field
from statistics import median


@dataclass
class Row:
    name: str
    title: str
    unit: str      # see report.py
    values: dict   # by the peer's name; who is missing was not, or cannot be, measured
    samples: dict = field(default_factory=dict)

    @classmethod
    def of_samples(cls, name, title, unit, samples):
        """The median of each peer's samples, where it has any."""
        samples = {peer: list(values) for peer, values in samples.items() if values}
        values = {peer: median(values) for peer, values in samples.items()}
        return cls(name, title, unit, values, samples)

    def as_json(self):
        return asdict(self)
