"""Functions of the parent process: start worker processes, make the same call in all of them at once, and time it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


def keep_to_cores(cores):
    """Restrict this process and its children to `cores` cores, if the system can; return the number of cores left."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    return len(os.sched_getaffinity(0))


@dataclass
class Workers:
    """`count` equal worker processes with `threads` threads each. It is a context manager, which ends them."""

    script: str
    python: Path | str = sys.executable
    count: int = 1
    threads: int = 1
    options: dict = field(default_factory=dict)
    max_rss_mib: int = 0
    processes: list = field(default_factory=list)

    def start(self, problem, messages):
        """Start the processes with the file `problem`; their output except the answers goes to the file `messages`."""
        command = [self.python, HERE / self.script, problem, json.dumps({"threads": self.threads, **self.options})]
        env = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": messages, "env": env, "text": True}
        self.messages = messages.name
        self.processes = [subprocess.Popen(command, bufsize=1, **pipes) for _ in range(self.count)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait(timeout=60)
            process.stdout.close()

    def do(self, what, **options):
        """Call the method `what` in every process; return the values, the wall seconds and the CPU seconds.

        The wall seconds end with the last answer.

        Raises
        ------
        RuntimeError
            A process ended without an answer.
        """
        start = time.perf_counter()
        for process in self.processes:
            process.stdin.write(json.dumps({"do": what, **options}) + "\n")
        lines = [process.stdout.readline() for process in self.processes]
        wall = time.perf_counter() - start
        if not all(lines):
            raise RuntimeError(f"{self.script} {self.options} ended while doing {what}; see {self.messages}")
        answers = [json.loads(line) for line in lines]
        self.max_rss_mib = sum(answer["max_rss_mib"] for answer in answers)
        return [answer["value"] for answer in answers], wall, sum(answer["cpu_s"] for answer in answers)
