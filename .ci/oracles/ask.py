"""Asks our side: one JSON object a line, to `examples/oracle.rs`."""

import json
import os
import random
import subprocess
import sys

ORACLE = os.environ["DYNOLOCK_ORACLE"]
CASES = int(os.environ.get("DYNOLOCK_ORACLE_CASES", "12000"))


def ask(questions):
    """The answers, in order."""
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    done = subprocess.run([ORACLE], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(questions):
        sys.exit(f"{len(questions)} questions, {len(answers)} answers")
    return answers


def seeded(name):
    """A generator whose seed is printed; DYNOLOCK_ORACLE_SEED repeats a run."""
    seed = os.environ.get("DYNOLOCK_ORACLE_SEED") or str(random.SystemRandom().getrandbits(32))
    print(f"{name}: seed {seed}", flush=True)
    return random.Random(f"{name} {seed}")


class Tally:
    """Counts cases that agree, and ends the program where one does not."""

    def __init__(self, name):
        self.name, self.agreed = name, {}

    def compare(self, what, ours, theirs, case):
        if ours != theirs:
            sys.exit(f"{self.name}: {what} differs\n  case   {case!r}\n  ours   {ours!r}\n  theirs {theirs!r}")
        self.agreed[what] = self.agreed.get(what, 0) + 1

    def report(self, least=1):
        for what, count in self.agreed.items():
            print(f"{self.name}: {what}: {count} cases agree", flush=True)
        if not self.agreed or min(self.agreed.values()) < least:
            sys.exit(f"{self.name}: too few cases: {self.agreed}")
