"""Two processes that want the same lock."""

import time
from contextlib import ExitStack

from .peers import LOCKING
from .programs import Station
from .rows import Row


def hand_over(server, rounds):
    for hold, title in ((0.02, "20 ms"), (0.2, "200 ms"), (2.0, "2 s")):
        times = {peer.name: [] for peer in LOCKING}
        requests = {peer.name: [] for peer in LOCKING}
        excess = {peer.name: [] for peer in LOCKING}
        with ExitStack() as stack:
            pairs = {peer.name: pair(server, peer, stack, lease=10) for peer in LOCKING}
            for number in range(rounds):
                # Around the nominal time, so that no peer's rhythm is met by luck; the same for all.
                held = hold * (0.75 + 0.5 * (number + 0.5) / rounds)
                for peer in LOCKING:
                    holder, waiter = pairs[peer.name]
                    server.ask("reset")
                    holder.tell(f"hold handed {held * 1e6:.0f}")
                    began = holder.hear("acquired")
                    waiter.tell("acquire handed")
                    released, acquired = holder.hear("released"), waiter.hear("acquired")
                    asked = server.ask("counts 1")["requests"]
                    waiter.tell("release")
                    waiter.hear("released")
                    times[peer.name].append((acquired - released) * 1e3)
                    requests[peer.name].append(asked)
                    excess[peer.name].append(asked - (4 + (acquired - began) / 0.1))
        name = title.replace(" ", "_")
        yield Row.of_samples(f"hand_over_{name}", f"hand-over after a hold of {title}", "ms", times)
        row = Row.of_samples(f"hand_over_{name}_requests",
                             f"hand-over after a hold of {title}, requests of the waiter", "count", requests)
        row.samples["beyond_4_plus_wait_per_100_ms"] = {
            peer: max(values) for peer, values in excess.items()}
        yield row


def pair(server, peer, stack, lease):
    """A holder and a waiter, each behind a relay of its own, that have worked before."""
    stations = []
    for relay in server.relays:
        station = Station(peer, server.environment(relay), lease=lease * 1000,
                          heartbeat=lease * 200, timeout=60_000)
        stack.callback(station.end)
        station.tell("acquire warm")
        station.hear("acquired")
        station.tell("release")
        station.hear("released")
        stations.append(station)
    return stations


def take_over(server, rounds, lease):
    """The holder is killed; the waiter has waited all the time."""
    times = {peer.name: [] for peer in LOCKING}
    for number in range(rounds):
        # At once for all: they do little but wait.
        with ExitStack() as stack:
            pairs = {peer.name: pair(server, peer, stack, lease) for peer in LOCKING}
            for holder, waiter in pairs.values():
                holder.tell("acquire crashed")
                holder.hear("acquired")
                waiter.tell("acquire crashed")
            time.sleep(lease / 2 + lease * number / rounds)
            killed = {}
            for name, (holder, _) in pairs.items():
                killed[name] = time.time()
                holder.kill()
            for name, (_, waiter) in pairs.items():
                times[name].append(waiter.hear("acquired") - killed[name])
                waiter.tell("release")
                waiter.hear("released")
    yield Row.of_samples("take_over", f"take-over after a crash, lease of {lease} s", "s", times)
