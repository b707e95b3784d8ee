"""What dynolock has set itself, each as a figure of one run."""

from dataclasses import dataclass

from .peers import DYNOLOCK, LEASE


@dataclass
class Target:
    title: str
    measured: float
    most: float
    unit: str

    @property
    def met(self):
        return self.measured <= self.most


def targets(rows):
    """Those whose rows have been measured."""
    by_name = {row.name: row for row in rows}

    def ours(name):
        row = by_name.get(name)
        return row and row.values.get(DYNOLOCK.name)

    def against_lease(name):
        mine = ours(name)
        theirs = mine and by_name[name].values.get(LEASE.name)
        return mine / theirs if theirs else None

    def beyond(name):
        row = by_name.get(name)
        return row and row.samples["beyond_4_plus_wait_per_100_ms"][DYNOLOCK.name]

    candidates = [
        ("binary, against dynamodb-lease", against_lease("bytes"), 0.32, "ratio"),
        ("clean release build, CPU, against dynamodb-lease", against_lease("build_cpu"), 0.28, "ratio"),
        ("crates in the tree", ours("crates"), 88, "count"),
        ("cold start, plain TCP, instructions, against dynamodb-lease",
         against_lease("cold_tcp_instructions"), 0.05, "fine"),
        ("cold start, TLS, instructions, against dynamodb-lease",
         against_lease("cold_tls_instructions"), 0.05, "fine"),
        ("one cycle, instructions, against dynamodb-lease", against_lease("cycle_instructions"), 0.42, "ratio"),
        ("one cycle, wall, against the raw socket", ours("cycle_ratio"), 1.15, "ratio"),
        ("hand-over after 20 ms", ours("hand_over_20_ms"), 15, "ms"),
        ("hand-over after 200 ms", ours("hand_over_200_ms"), 50, "ms"),
        ("hand-over after 2 s", ours("hand_over_2_s"), 100, "ms"),
        ("requests beyond 4 + wait/100 ms, worst, 20 ms", beyond("hand_over_20_ms_requests"), 0, "signed"),
        ("requests beyond 4 + wait/100 ms, worst, 200 ms", beyond("hand_over_200_ms_requests"), 0, "signed"),
        ("requests beyond 4 + wait/100 ms, worst, 2 s", beyond("hand_over_2_s_requests"), 0, "signed"),
        ("leases held at once, memory each", ours("many_memory"), 2, "KiB"),
        ("leases held at once, worst heartbeat lateness", ours("many_late"), 2, "s"),
        ("leases held at once, lost", ours("many_lost"), 0, "count"),
    ]
    return [Target(title, measured, most, unit)
            for title, measured, most, unit in candidates if measured is not None]
