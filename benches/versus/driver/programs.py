"""Running the programs of the peers."""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

VALGRIND = shutil.which("valgrind")


@dataclass
class Run:
    wall: float  # seconds
    cpu: float   # seconds
    status: int  # as a shell has it; that of a signal is negative
    errors: str


def once(arguments, environment, errors):
    """Runs a program to its end; `errors` is a file for what it says."""
    started = time.perf_counter()
    pid = start(arguments, environment, errors)
    status, cpu = ended(pid)
    return Run(time.perf_counter() - started, cpu, status, errors.read_text())


def start(arguments, environment, errors):
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    arguments = [str(argument) for argument in arguments]
    return os.posix_spawn(arguments[0], arguments, environment, file_actions=actions)


def ended(pid):
    """Its status and CPU seconds, once it has ended."""
    _, status, usage = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def must(run):
    if run.status:
        raise RuntimeError(f"a program failed: {run.errors}")
    return run


def instructions(arguments, environment):
    """That a program executes, the dynamic linker included; None where valgrind is missing."""
    if not VALGRIND:
        return None
    done = subprocess.run(
        [VALGRIND, "--tool=callgrind", "--callgrind-out-file=/dev/null", *map(str, arguments)],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"a program failed under valgrind: {done.stderr}")
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def bench(peer, environment, command, **options):
    """The line of JSON that `bench` prints."""
    arguments = bench_arguments(peer, command, **options)
    done = subprocess.run(arguments, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout)


def bench_arguments(peer, command, **options):
    arguments = [str(peer.program("bench")), command, "--table", peer.table]
    for name, value in options.items():
        arguments += [f"--{name}", str(value)]
    return arguments


class Station:
    """A process that acquires and releases when it is told to (common/src/station.rs)."""

    def __init__(self, peer, environment, **options):
        self.process = subprocess.Popen(
            bench_arguments(peer, "hold", **options), env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def hear(self, what):
        """When it was done, by the wall clock."""
        return json.loads(self.process.stdout.readline())[what]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
