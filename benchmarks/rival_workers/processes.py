"""The parent's side of the workers: start them, have several do the same at once, take their time."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


def keep_to_cores(cores):
    """Keep this process and all that it starts to so many cores, where the system can; return how many there are."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    return len(os.sched_getaffinity(0))


@dataclass
class Workers:
    """`count` equal worker processes, each with so many threads; as a context they live until its end."""

    script: str
    python: Path | str = sys.executable
    count: int = 1
    threads: int = 1
    options: dict = field(default_factory=dict)
    max_rss_mib: int = 0
    processes: list = field(default_factory=list)

    def start(self, problem, messages):
        """Start the processes on the file `problem`; what they say beside their answers goes to `messages`."""
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
        """Have every process do `what`; its values, wall seconds until the last has answered, and CPU seconds of all.

        Raises
        ------
        RuntimeError
            A process has ended instead of answering.
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
