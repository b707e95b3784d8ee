"""Building, and what is measured about it: time, crates, bytes."""

import os
import re
import shutil
import subprocess
import tempfile
import time

from .peers import ALL, HERE, LOCKING, TARGET
from .rows import Row

QUIET = ["--quiet", "--locked", "--manifest-path", str(HERE / "Cargo.toml")]


def cargo(*arguments, target=TARGET):
    subprocess.run(["cargo", *arguments, *QUIET, "--target-dir", str(target)], check=True)


def build_all():
    cargo("build", "--profile", "server", "--package", "versus-engine")
    for peer in ALL:
        # One package at a time: built together, each would have the features that any of them needs.
        cargo("build", "--release", "--package", peer.package)
        cargo("build", "--profile", "small", "--package", peer.package, "--bin", f"{peer.name}-cold")
    for peer in LOCKING:
        cargo("build", "--release", "--package", peer.function)


def sizes():
    values = {peer.name: peer.program("cold", "small").stat().st_size for peer in LOCKING}
    yield Row("bytes", "bytes of the stripped binary, TLS in", "bytes", values)


def crates():
    values = {}
    for peer in LOCKING:
        tree = subprocess.run(
            ["cargo", "tree", *QUIET, "--package", peer.package, "-e", "normal", "--prefix", "none"],
            check=True, capture_output=True, text=True).stdout
        names = {re.sub(r" \(.*", "", line) for line in tree.splitlines()}
        values[peer.name] = len({name for name in names if not name.startswith("versus-")})
    yield Row("crates", "crates in the tree", "count", values)


def clean_builds():
    """From nothing but downloaded sources."""
    wall, cpu = {}, {}
    for peer in LOCKING:
        scratch = tempfile.mkdtemp(prefix="versus-", dir=TARGET)
        try:
            before, started = os.times(), time.monotonic()
            cargo("build", "--release", "--package", peer.package, "--bin", f"{peer.name}-cold",
                  target=scratch)
            after = os.times()
            wall[peer.name] = time.monotonic() - started
            cpu[peer.name] = (after.children_user + after.children_system
                              - before.children_user - before.children_system)
        finally:
            shutil.rmtree(scratch)
    yield Row("build_wall", "clean release build, wall", "s", wall)
    yield Row("build_cpu", "clean release build, CPU", "s", cpu)
