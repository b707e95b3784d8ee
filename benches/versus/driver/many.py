"""Ten thousand leases, held at once."""

from . import programs
from .peers import LOCKING
from .rows import Row

LEASE, HEARTBEAT = 60, 20  # seconds


def many(server, leases, seconds):
    memory, cpu, late, lost, raw = {}, {}, {}, {}, {}
    for peer in LOCKING:
        server.put_items(peer.table, leases, 1024)
        server.ask("reset")
        run = programs.bench(peer, server.environment(server.relays[0]), "many", leases=leases,
                             seconds=seconds, lease=LEASE * 1000, heartbeat=HEARTBEAT * 1000)
        gaps = server.ask("gaps")
        raw[peer.name] = [{**run, **gaps}]
        memory[peer.name] = (run["memory_kib"] - run["idle_kib"]) / leases
        cpu[peer.name] = run["cpu_seconds"] / run["seconds"] * 1e3
        late[peer.name] = max(0.0, gaps["longest_gap"] - HEARTBEAT, gaps["longest_open"] - HEARTBEAT)
        lost[peer.name] = run["lost"]
    what = f"{leases:,} leases"
    yield Row("many_memory", f"{what}, memory each", "KiB", memory, raw)
    yield Row("many_cpu", f"{what}, CPU per second", "ms", cpu)
    yield Row("many_late", f"{what}, worst heartbeat lateness", "s", late)
    yield Row("many_lost", f"{what}, lost", "count", lost)
