"""The command: builds, measures, writes."""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import build, contention, cycles, functions, many, peers, plots, readme, report, start
from .peers import RESULTS, ROOT, TARGET
from .rows import Row
from .server import Server
from .targets import targets

LOCAL = "DYNOLOCK_TEST_ENDPOINT"


def main(arguments):
    parser = argparse.ArgumentParser(prog="benches/versus/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts; no clean builds, no long hold; results in target/results/")
    parser.add_argument("--dynamodb-local", action="store_true",
                        help="on DynamoDB Local in place of the embedded engine")
    parser.add_argument("--write-readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--only", metavar="PART", action="append", choices=list(PARTS),
                        help="measure this part, and keep what results.json has of the others")
    parser.add_argument("--peer", metavar="NAME", action="append",
                        choices=[peer.name for peer in peers.ALL],
                        help="leave out the peers that are not named")
    options = parser.parse_args(arguments)
    if options.write_readme and (options.quick or options.peer or options.dynamodb_local):
        parser.error("the README shows a full run on the embedded engine")
    if options.dynamodb_local and LOCAL not in os.environ:
        # It starts the server, and this again.
        command = str(ROOT / ".ci" / "dynamodb-local")
        os.execv(command, [command, sys.executable, str(ROOT / "benches/versus/run"), *arguments])
    # So that what has been started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.peer:
        peers.choose(options.peer)
    say("building")
    build.build_all()
    # Only what took its time is kept in the repository.
    results = TARGET / "results" if options.quick or options.peer else RESULTS
    if options.dynamodb_local:
        results /= "dynamodb-local"
    rows = measure(options, results)
    print((results / "table.md").read_text())
    for failure in (failures := start.failures(rows)):
        say(f"dynolock does not end clearly; {failure}")
    return 1 if failures else 0


# In the order of the table. Each takes a server, a folder for what must be written, and whether it
# is to be quick.
PARTS = {
    "size": lambda server, scratch, quick: [
        *build.sizes(), *build.crates(), *([] if quick else build.clean_builds())],
    "start": lambda server, scratch, quick: [
        *start.cold(server, scratch, 5 if quick else 20), *start.bad_environments(server, scratch)],
    "lambda": lambda server, scratch, quick: [
        *functions.first_answer(server, scratch, 5 if quick else 20)],
    "cycle": lambda server, scratch, quick: [
        *cycles.one(server, scratch, 5 if quick else 20, 200 if quick else 500),
        *cycles.rates(server, scratch, 2 if quick else 5, 1000 if quick else 2000)],
    "contention": lambda server, scratch, quick: [
        *contention.hand_over(server, 4 if quick else 20),
        *contention.take_over(server, 1 if quick else 5, lease=5)],
    "many": lambda server, scratch, quick: [] if quick else [*many.many(server, 10_000, 180)],
}


def measure(options, results):
    """Writes down what there is after each part: the whole takes long. The rows in the end."""
    parts = kept(results) if options.only else {}
    with tempfile.TemporaryDirectory(prefix="versus-") as scratch:
        scratch = Path(scratch)
        upstream = os.environ[LOCAL].removeprefix("http://") if options.dynamodb_local else None
        with Server(scratch, upstream) as server:
            server.create_tables()
            cycles.record(server, scratch)
            for part in options.only or PARTS:
                say(part)
                parts[part] = PARTS[part](server, scratch, options.quick)
                write(parts, options, results)
    return in_order(parts)


def kept(results):
    """The rows of an earlier run, by part."""
    file = results / "results.json"
    found = json.loads(file.read_text())["parts"] if file.exists() else {}
    return {part: [Row(**row) for row in rows] for part, rows in found.items()}


def in_order(parts):
    """What is shown: a row that no peer has a figure for is left out."""
    return [row for part in PARTS for row in parts.get(part, []) if row.values]


def write(parts, options, results):
    rows = in_order(parts)
    aims = targets(rows)
    conditions = describe(options)
    results.mkdir(parents=True, exist_ok=True)
    (results / "table.md").write_text(report.document(rows, aims, conditions))
    (results / "results.json").write_text(json.dumps({
        "conditions": conditions,
        "parts": {part: [row.as_json() for row in parts[part]] for part in PARTS if part in parts},
        "targets": [{**vars(aim), "met": aim.met} for aim in aims],
    }, indent=1) + "\n")
    for name, content in plots.plots(rows):
        (results / name).write_text(content)
    if options.write_readme:
        readme.write(rows, conditions)


def describe(options):
    server = "DynamoDB Local" if options.dynamodb_local else "the embedded engine, in memory"
    quick = " --quick" if options.quick else ""
    local = " --dynamodb-local" if options.dynamodb_local else ""
    return (f"By `benches/versus/run{quick}{local}`, on {platform.machine()} {platform.system()} with "
            f"{os.cpu_count()} cores; server: {server}.")


def say(what):
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)
