"""Find the files of the package that the script of a rule imports, and the files whose change changes its code hash."""

import ast
import hashlib
import json
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from clustermass.io import provenance


class _HandedOver(BaseException):
    """Raised when a script calls the package; by then all its imports are done."""


def imported_files(jobs, config):
    """Return by rule the package's files that its script has imported when it calls the package."""
    for name in _libraries():  # loaded once for all of them
        import_module(name)
    return {rule: _in_a_child(job, config) for rule, job in jobs.items()}


def _libraries():
    for path in provenance.PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.split(".")[0] != "clustermass":
                yield node.module


def _in_a_child(job, config):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(writing, "w") as stream:
            try:
                answer = _run(job, config)
            except BaseException as error:
                answer = f"{type(error).__name__}: {error}"
            json.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = json.load(stream)
    os.waitpid(child, 0)
    if isinstance(answer, str):
        raise RuntimeError(f"{job.rule.name}: the script failed before it called the package: {answer}")
    return answer


def _run(job, config):
    for name in [name for name in sys.modules if name.split(".")[0] == "clustermass"]:
        del sys.modules[name]
    script = job.rule.basedir.join(job.rule.script).get_path_or_uri(secret_free=True)
    names = ("input", "output", "params", "wildcards", "log")
    fields = {name: getattr(job, name) for name in names}
    fields |= {"rule": job.rule.name, "config": config, "scriptdir": str(Path(script).parent)}
    source = compile(Path(script).read_text(encoding="utf-8"), script, "exec")
    sys.settrace(_stop_at_the_package)
    try:
        exec(source, {"snakemake": SimpleNamespace(**fields), "__name__": "__main__", "__file__": script})
    except _HandedOver:
        sys.settrace(None)
        return sorted(_relative(module) for name, module in sys.modules.items() if name.startswith("clustermass."))
    raise RuntimeError("it has called nothing of the package")


def _relative(module):
    return Path(module.__file__).relative_to(provenance.PACKAGE).as_posix()


def _stop_at_the_package(frame, event, _):
    name = frame.f_code.co_filename
    if event != "call" or not name.startswith(str(provenance.PACKAGE)) or name.endswith("/io/log.py"):
        return  # `io.log.step` surrounds a script's work
    caller = frame
    while caller is not None and caller.f_code.co_filename != "<frozen importlib._bootstrap>":
        caller = caller.f_back
    if caller is None:  # no import is under way
        raise _HandedOver


class Noticing:
    """Cache for a function of a file, by the content of the file."""

    def __init__(self, function):
        self._function, self._by_stat, self._by_content = function, {}, {}

    def __call__(self, path):
        """Return the function's value for a file."""
        stat = path.stat()
        key = path, stat.st_mtime_ns, stat.st_size
        if key not in self._by_stat:
            content = path.read_bytes()
            if content not in self._by_content:
                self._by_content[content] = self._function(path)
            self._by_stat[key] = self._by_content[content]
        return self._by_stat[key]


def notice_changed_files():
    """Use `Noticing` in place of the package's own caches, which never read a file again."""
    tree, imports = provenance._tree.__wrapped__, provenance._imports.__wrapped__
    relative = Noticing(lambda path: [inner.relative_to(provenance.PACKAGE) for inner in imports(path)])
    provenance._tree = Noticing(lambda path: hashlib.sha256(tree(path).encode()).hexdigest())
    provenance._imports = lambda path: [provenance.PACKAGE / inner for inner in relative(path)]


@contextmanager
def altered(path):
    """Add a statement to a module during the block."""
    text = path.read_bytes()
    path.write_bytes(text + b"\nALTERED = 1\n")
    yield
    path.write_bytes(text)


def hash_changes(calls):
    """Return for each call of `source_hash` (its arguments) the package's files whose change changes the hash.

    Each file is changed in place and restored, so the package must be a copy.
    """
    before = [provenance.source_hash(*call) for call in calls]
    changing = [[] for _ in calls]
    for path in sorted(provenance.PACKAGE.rglob("*.py")):
        with altered(path):
            for files, call, old in zip(changing, calls, before, strict=True):
                if provenance.source_hash(*call) != old:
                    files.append(path.relative_to(provenance.PACKAGE).as_posix())
    return changing
