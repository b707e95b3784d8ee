"""From the start of a Lambda function's process to its first answer."""

import os
import signal
import time

from . import programs
from .peers import LOCKING
from .rows import Row

# What Lambda sets, as far as a function asks for it.
VARIABLES = {
    "AWS_LAMBDA_FUNCTION_NAME": "versus",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/versus",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2030/01/01/[$LATEST]1",
}


def first_answer(server, scratch, count):
    for name, url, over in (("tcp", server.url, "plain TCP"), ("tls", server.tls, "TLS")):
        wall = {peer.name: [] for peer in LOCKING}
        cpu = {peer.name: [] for peer in LOCKING}
        for _ in range(count):
            for peer in LOCKING:
                run = programs.must(invoked(server, peer, url, scratch / "errors"))
                wall[peer.name].append(run.wall * 1e3)
                cpu[peer.name].append(run.cpu * 1e3)
        title = f"Lambda: process start to first answer, {over}"
        yield Row.of_samples(f"lambda_{name}_wall", f"{title}, wall", "ms", wall)
        yield Row.of_samples(f"lambda_{name}_cpu", f"{title}, CPU", "ms", cpu)


def invoked(server, peer, url, errors):
    """A function's run to its first answer; it is ended then, and has a status where there is none."""
    api = server.ask("invoke function")["api"]
    environment = {**server.environment(url), **VARIABLES,
                   "AWS_LAMBDA_RUNTIME_API": api, "TABLE": peer.table}
    # By the wall clock, as the server has it.
    started = time.time()
    pid = programs.start([peer.program("function")], environment, errors)
    try:
        outcome = server.ask("outcome")
    finally:
        os.kill(pid, signal.SIGKILL)
        status, cpu = programs.ended(pid)
    if outcome.get("body") == {"locked": "function"} and outcome["what"] == "response":
        return programs.Run(outcome["at"] - started, cpu, 0, "")
    return programs.Run(0, cpu, status, f"{outcome} {errors.read_text()}")
