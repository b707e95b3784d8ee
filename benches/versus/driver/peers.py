"""The programs that are compared, and where their files are."""

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or HERE / "target").resolve()


@dataclass(frozen=True)
class Peer:
    name: str      # of the package, after "versus-"
    title: str
    table: str           # one for each: they know nothing of one another's locks
    locks: bool = True   # False: can do no more than repeat what was recorded

    @property
    def package(self):
        return f"versus-{self.name}"

    @property
    def function(self):
        """The package of its Lambda function."""
        return f"versus-function-{self.name}"

    def program(self, kind, profile="release"):
        """`kind` is "cold", "bench" or "function"."""
        return TARGET / profile / f"{self.name}-{kind}"


DYNOLOCK = Peer("dynolock", "dynolock", "locks-1")
LEASE = Peer("lease", "dynamodb-lease", "locks-2")
SDK = Peer("sdk", "aws-sdk-dynamodb", "locks-3")
RAW = Peer("raw", "raw socket", "locks-1", locks=False)

# The order in which they take turns, and of the columns.
ALL = [DYNOLOCK, LEASE, SDK, RAW]
LOCKING = [peer for peer in ALL if peer.locks]


def choose(names):
    """Leaves the others out of both lists. dynolock stays: the floor repeats what it has sent."""
    for peers in (ALL, LOCKING):
        peers[:] = [peer for peer in peers if peer.name in names or peer is DYNOLOCK]
