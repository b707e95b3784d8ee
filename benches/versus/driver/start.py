"""From the start of a process to its end, with one lock acquired and released in between."""

import socket

from . import programs
from .peers import ALL, DYNOLOCK, LOCKING
from .rows import Row


def cold(server, scratch, count):
    yield from cold_over(server.environment(server.url), scratch, count, ALL, "tcp", "plain TCP")
    yield from cold_over(server.environment(server.tls), scratch, count, LOCKING, "tls", "TLS")


def cold_over(environment, scratch, count, peers, name, title):
    environment["VERSUS_REQUESTS"] = str(scratch / "requests")
    runs = {peer.name: [] for peer in peers}
    counted = {peer.name: [] for peer in peers}
    for _ in range(count):
        for peer in peers:
            command = [peer.program("cold"), peer.table, "cold"]
            runs[peer.name].append(programs.must(programs.once(command, environment, scratch / "errors")))
    for _ in range(3 if programs.VALGRIND else 0):
        for peer in peers:
            # So slow that it needs more time than the program would have.
            command = [peer.program("cold"), peer.table, "cold", 30_000]
            counted[peer.name].append(programs.instructions(command, environment))
    start = f"cold start to first lock released, {title}"
    yield Row.of_samples(f"cold_{name}_wall", f"{start}, wall", "ms",
                         {peer: [run.wall * 1e3 for run in all] for peer, all in runs.items()})
    yield Row.of_samples(f"cold_{name}_cpu", f"{start}, CPU", "ms",
                         {peer: [run.cpu * 1e3 for run in all] for peer, all in runs.items()})
    yield Row.of_samples(f"cold_{name}_instructions", f"{start}, instructions", "M",
                         {peer: [one / 1e6 for one in all] for peer, all in counted.items()})


def bad_environments(server, scratch):
    """Each must end with one line on standard error and a status, within a second."""
    good = server.environment(server.url)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
        # Bound, and not listening: whoever connects is refused.
        cases = {
            "no region": (without(good, "AWS_REGION"), None),
            "no credentials": (without(good, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), None),
            "no table": (good, "nothing"),
            "nobody listens": ({**good, "AWS_ENDPOINT_URL": nobody}, None),
            "no such host": ({**good, "AWS_ENDPOINT_URL": "http://nowhere.invalid"}, None),
        }
        said = {peer.name: {} for peer in LOCKING}
        for case, (environment, table) in cases.items():
            for peer in LOCKING:
                command = [peer.program("cold"), table or peer.table, "cold"]
                said[peer.name][case] = judged(programs.once(command, environment, scratch / "errors"))
    values = {peer: sum(case["clear"] for case in told.values()) for peer, told in said.items()}
    yield Row("bad_environments", f"of {len(cases)} bad environments, ended by one line within a second",
              "count", values, said)


def judged(run):
    """What a program made of a bad environment."""
    lines = len(run.errors.splitlines())
    return {
        "clear": run.status > 0 and lines == 1 and run.wall < 1,
        "status": run.status, "lines": lines, "seconds": round(run.wall, 3), "errors": run.errors.rstrip()}


def failures(rows):
    """The bad environments that dynolock itself did not end so: this must not be."""
    return [f"{case}: {said}" for row in rows if row.name == "bad_environments"
            for case, said in row.samples[DYNOLOCK.name].items() if not said["clear"]]


def without(environment, *names):
    return {name: value for name, value in environment.items() if name not in names}
