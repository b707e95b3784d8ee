"""Locks that nobody else wants."""

from . import programs
from .peers import ALL, DYNOLOCK, LOCKING, RAW
from .rows import Row


def record(server, scratch):
    """The requests that the floor repeats: dynolock's."""
    command = [DYNOLOCK.program("cold"), DYNOLOCK.table, "recorded"]
    # DynamoDB Local takes more than a second for the first request; it would be sent again.
    warm = server.environment(server.url)
    programs.must(programs.once([*command, 30_000], warm, scratch / "errors"))
    server.ask("reset")
    environment = server.environment(server.relays[0])
    programs.must(programs.once(command, environment, scratch / "errors"))
    server.ask(f"record {scratch / 'requests'}")


def one(server, scratch, rounds, count):
    environment = server.environment(server.url)
    environment["VERSUS_REQUESTS"] = str(scratch / "requests")
    wall = {peer.name: [] for peer in ALL}
    cpu = {peer.name: [] for peer in ALL}
    for _ in range(rounds):
        for peer in ALL:
            run = programs.bench(peer, environment, "cycles", count=count, warm=count // 10)
            wall[peer.name].append(run["median_us"])
            cpu[peer.name].append(run["cpu_seconds"] / count * 1e6)
    yield Row.of_samples("cycle_wall", "one uncontended cycle, wall", "us", wall)
    yield Row("cycle_ratio", "the same, against the raw socket", "ratio", against_floor(wall))
    yield Row.of_samples("cycle_cpu", "one uncontended cycle, CPU", "us", cpu)

    few, more = 20, 120
    if programs.VALGRIND:
        counted = {}
        for peer in ALL:
            counts = [
                programs.instructions(
                    programs.bench_arguments(peer, "cycles", count=count, timeout=60_000), environment)
                for count in (few, more)]
            counted[peer.name] = (counts[1] - counts[0]) / (more - few) / 1e6
        yield Row("cycle_instructions", "one uncontended cycle, instructions", "M", counted)

    requests, size = {}, {}
    environment["AWS_ENDPOINT_URL"] = server.relays[0]
    for peer in ALL:
        counts = []
        for count in (few, more):
            server.ask("reset")
            programs.bench(peer, environment, "cycles", count=count)
            counts.append(server.ask("counts 0"))
        requests[peer.name], sent, received = (
            (counts[1][what] - counts[0][what]) / (more - few)
            for what in ("requests", "sent", "received"))
        size[peer.name] = round(sent + received)
    yield Row("cycle_requests", "one uncontended cycle, requests", "count", requests)
    yield Row("cycle_bytes", "one uncontended cycle, bytes on the wire, both ways", "bytes", size)


def against_floor(wall):
    """Of nobody where the floor was not measured."""
    if RAW.name not in wall:
        return {}
    return {peer: measured_against_floor(wall, peer) for peer in wall}


def measured_against_floor(wall, peer):
    """The median of what each round says, whose runs have followed one another."""
    ratios = sorted(mine / floor for mine, floor in zip(wall[peer], wall[RAW.name]))
    middle = len(ratios) // 2
    return ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2


def rates(server, scratch, rounds, count):
    environment = server.environment(server.url)
    environment["VERSUS_REQUESTS"] = str(scratch / "requests")
    for tasks in (1, 16, 256):
        peers = ALL if tasks == 1 else LOCKING
        rates, failed = {peer.name: [] for peer in peers}, {}
        for _ in range(rounds):
            for peer in peers:
                try:
                    run = programs.bench(peer, environment, "cycles", count=count, tasks=tasks,
                                         warm=max(count // 10, tasks))
                except RuntimeError as error:
                    # A server that is too slow for so many at once; worth knowing, and no reason to stop.
                    failed[peer.name] = str(error)
                    continue
                rates[peer.name].append(count / run["seconds"])
        plural = "" if tasks == 1 else "s"
        row = Row.of_samples(f"rate_{tasks}", f"cycles per second, {tasks} task{plural}", "rate", rates)
        for peer in failed:
            row.values.pop(peer, None)
        row.samples["failed"] = failed
        yield row
