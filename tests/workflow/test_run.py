"""`make results`: the locks that it respects, the files that it removes, and its arguments."""

import fcntl
import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from runs import ROOT

HOUR_S = 3600
WAITS = "print(flush=True); import time; time.sleep(60)"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return the module workflow/run.py, at work in a folder without results."""
    monkeypatch.syspath_prepend(ROOT / "workflow")
    spec = importlib.util.spec_from_file_location("run", ROOT / "workflow" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake" / "locks").mkdir(parents=True)
    (tmp_path / ".snakemake" / "log").mkdir()
    return module


@pytest.fixture
def python(tmp_path):
    """Return a function that starts Python in the folder with a given command line, and waits until it runs."""
    alive = []

    def start(*arguments):
        process = subprocess.Popen([sys.executable, *arguments], cwd=tmp_path, stdout=subprocess.PIPE)
        alive.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in alive:
        process.kill()
        process.communicate()


def test_a_second_make_results_names_the_one_at_work(run, tmp_path, capsys):
    lock = tmp_path / ".snakemake" / "clustermass.lock"
    with lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run.main(["--cores", "1"]) == 1
        assert "Another `make results` is at work in this folder (it has just begun" in capsys.readouterr().err
        run.note(held, "1234 elsewhere")
        assert run.main(["--cores", "1"]) == 1
    assert "(process 1234 on elsewhere; wait for it, or end it there with `kill 1234`" in capsys.readouterr().err
    with run.alone():
        assert lock.read_text().split()[0] == str(os.getpid())


def test_a_snakemake_at_work_here_is_named(run, python, capsys):
    inside_a_job = python("-c", WAITS, "-m", "snakemake", "--target-jobs", "a:b")
    with run.alone():
        pass
    at_work = python("-c", WAITS, "-m", "snakemake", "--cores", "2")
    assert run.main([]) == 1
    said = capsys.readouterr().err
    assert f"A snakemake is at work in this folder (process {at_work.pid})" in said
    assert inside_a_job.poll() is None


def test_a_killed_runs_lock_is_taken_away_and_finished_files_stay(run, tmp_path, capsys):
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").touch()
    run.recover()
    assert list((tmp_path / ".snakemake" / "locks").iterdir()) == []
    assert "An earlier run was killed: taking its lock away" in capsys.readouterr().err
    run.recover()
    assert capsys.readouterr().err == ""


def test_a_lock_that_was_set_on_another_machine_stays(run, tmp_path):
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.touch()
    (tmp_path / ".snakemake" / "log" / "2026-01-01T000000.000000.snakemake.log").write_text("  Host: elsewhere\n")
    with pytest.raises(run.InputError, match=r"(?s)began on elsewhere .*rm -r \.snakemake/locks"):
        run.recover()
    assert lock.exists()


def test_of_an_endless_log_only_a_part_is_read(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["leftovers"], "LOG_BYTES", 1000)
    log = tmp_path / ".snakemake" / "log" / "2026-01-01.snakemake.log"
    log.write_text("host: one\n")
    os.truncate(log, 10**13)  # without content, it takes no room on the disk
    with log.open("ab") as stream:
        stream.write(b"No space left on device")
    assert sys.modules["leftovers"].host_of_last_run(tmp_path / ".snakemake") == "one"
    assert run.said_since(0.0).strip("\0") == "No space left on device"


def test_steps_without_a_snakemake_are_ended_and_no_others(run, python, tmp_path):
    scripts = tmp_path / ".snakemake" / "scripts"
    scripts.mkdir()
    name = "tmp_a1b2c3d.evaluate.py"
    (scripts / name).write_text(WAITS)
    (tmp_path / "mine.py").write_text(WAITS)
    # one whose parents are no snakemake: this test; one that is the child of one; one of somebody else's
    orphan, other = python(str(scripts / name)), python(str(tmp_path / "mine.py"))
    parent = f"import subprocess, sys; subprocess.run([sys.executable, {str(scripts / name)!r}])"
    snakemake = python("-c", parent, "-m", "snakemake", "--target-jobs", "a:b")
    (at_work,) = psutil.Process(snakemake.pid).children()
    run.recover()
    orphan.wait(30)  # its exit status went to `recover`
    assert (other.poll(), snakemake.poll(), at_work.is_running()) == (None, None, True)
    at_work.kill()


def test_a_snakemake_that_python_code_started_is_known_by_its_open_log(run, python, tmp_path):
    scripts, log = tmp_path / ".snakemake" / "scripts", tmp_path / ".snakemake" / "log" / "x.snakemake.log"
    scripts.mkdir()
    step = scripts / "tmp_a1b2c3d.evaluate.py"
    step.write_text(WAITS)
    reader = python("-c", f"open_log = open({str(log)!r}, 'w+').close() or open({str(log)!r}); {WAITS}")
    run.recover()  # who only reads the log is no snakemake
    code = f"import subprocess, sys; log = open({str(log)!r}, 'a'); subprocess.run([sys.executable, {str(step)!r}])"
    snakemake = python("-c", code)
    (at_work,) = psutil.Process(snakemake.pid).children()
    with (
        pytest.raises(run.InputError, match=f"A snakemake is at work in this folder .process {snakemake.pid}"),
        run.alone(),
    ):
        pass
    run.recover()
    assert (reader.poll(), snakemake.poll(), at_work.is_running()) == (None, None, True)
    at_work.kill()


def test_programs_that_show_a_steps_script_or_belong_to_others_go_on(run, python, tmp_path, monkeypatch):
    scripts = tmp_path / ".snakemake" / "scripts"
    scripts.mkdir()
    name, mine = scripts / "tmp_a1b2c3d.evaluate.py", scripts / "notes.py"
    for path in (name, mine):
        path.write_text(WAITS)
    tail = subprocess.Popen(["tail", "-f", str(name)], stdout=subprocess.DEVNULL)
    shows, own = python("-c", WAITS, str(name)), python(str(mine))
    parent = f"import subprocess, sys; subprocess.run([sys.executable, {str(name)!r}])"
    snakemakes = [python("-c", parent, "-msnakemake"), python("-c", parent, "-Pm", "snakemake")]
    steps = [psutil.Process(one.pid).children()[0] for one in snakemakes]
    run.recover()
    assert [one.poll() for one in (tail, shows, own, *snakemakes)] == [None] * 5
    for process in (tail, *steps):
        process.kill()
    tail.wait()
    of_another = python(str(name))
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 12345)
        run.recover()
    assert of_another.poll() is None


def denied(process, **_):
    raise psutil.AccessDenied(process.pid)


@pytest.mark.parametrize("asked", ["parents", "children", "terminate", "kill"])
def test_a_process_that_tells_nothing_is_no_fault(run, python, tmp_path, monkeypatch, asked):
    scripts = tmp_path / ".snakemake" / "scripts"
    scripts.mkdir()
    (scripts / "tmp_a1b2c3d.evaluate.py").write_text(f"import signal; signal.signal(15, signal.SIG_IGN); {WAITS}")
    python(str(scripts / "tmp_a1b2c3d.evaluate.py"))
    monkeypatch.setattr(psutil.Process, asked, denied)
    monkeypatch.setattr("processes.PATIENCE_S", 0.2)
    run.recover()


def test_recovery_follows_no_link_and_takes_only_what_is_its_own(run, tmp_path):
    notes, results, elsewhere = tmp_path / "notes.txt", tmp_path / "results", tmp_path / "elsewhere"
    notes.write_text("mine")
    (results / ".x.nc.abcd1234.part.nc").mkdir(parents=True)
    (results / ".x.parts").mkdir()
    elsewhere.mkdir()
    names = [".notes.part1", ".a.part", ".a.nc.abcd123.part.nc", ".a.nc.abcd1234.part.fits", "a.abcd1234.part"]
    others = [*(results / name for name in names), elsewhere / ".a.nc.abcd1234.part.nc"]
    for path in others:
        path.touch()
    for name, target in (("link", notes), ("gone", tmp_path / "nowhere")):
        (results / f".{name}.nc.abcd1234.part.nc").symlink_to(target)
    (results / "folder").symlink_to(elsewhere)
    log = tmp_path / ".snakemake" / "log" / "9.snakemake.log"
    log.symlink_to(tmp_path / "nowhere")
    before = sorted(results.iterdir())
    for path in (*before, *others, notes):
        os.utime(path, (time.time() - HOUR_S,) * 2, follow_symlinks=False)
    with pytest.raises(run.InputError, match=r"9\.snakemake\.log: is a link or no file"):
        run.recover()
    assert run.said_since(0.0) == ""
    log.unlink()
    run.recover()
    assert sorted(results.iterdir()) == before
    assert all(path.exists() for path in (*others, notes))


def test_a_lock_that_is_a_link_or_another_users_is_a_sentence(run, tmp_path, monkeypatch, capsys):
    notes, lock = tmp_path / "notes.txt", tmp_path / ".snakemake" / "clustermass.lock"
    notes.write_text("mine")
    lock.symlink_to(notes)
    assert run.main([]) == 1
    assert "clustermass.lock: can't be opened (Too many levels of symbolic links). Remove it" in capsys.readouterr().err
    lock.unlink()
    locks = tmp_path / ".snakemake" / "locks"
    (locks / "notes.txt").write_text("mine")
    run.recover()
    first = locks / "0.input.lock"
    first.symlink_to(notes)
    with pytest.raises(run.InputError, match=r"0\.input\.lock: is a link or no file"):
        run.recover()
    first.unlink()
    first.touch()
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 12345)
        with pytest.raises(run.InputError, match=r"another user's snakemake has locked this folder.* to remove"):
            run.recover()
    locks.rename(tmp_path / "elsewhere")
    locks.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(run.InputError, match=r"locks: is a link"):
        run.recover()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["0.input.lock", "notes.txt"]
    assert notes.read_text() == "mine"


def test_what_a_neighbour_wrote_into_the_lock_is_not_believed(run, tmp_path, capsys):
    lock = tmp_path / ".snakemake" / "clustermass.lock"
    for content in ("1; rm -r ~ host", "\x1b[2J x", "12 a\x1b[2J\nb", "²  x", b"\xff\xfe"):
        lock.write_bytes(content if isinstance(content, bytes) else content.encode())
        with lock.open("a+") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert run.main(["--cores", "1"]) == 1
        said = capsys.readouterr().err
        assert "rm -r" not in said
        assert "\x1b" not in said
        assert said.count("\n") == 1


def test_only_the_jobs_of_a_run_are_cancelled(run, tmp_path, monkeypatch):
    recover = importlib.import_module("recover")
    run_id = "0b1c2d3e-0000-4000-8000-0123456789ab"
    said = f"SLURM run ID: {run_id}\nSLURM run ID: bash\nSLURM run ID: \n"
    (tmp_path / ".snakemake" / "log" / "1.snakemake.log").write_text(said)
    queue = f"7 {run_id}\n8 bash\n9 my job\n10 \n11\n"
    asked = []

    def answer(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, queue if len(asked) == 1 else "")

    monkeypatch.setattr(recover.subprocess, "run", answer)
    assert recover.cancel_jobs(tmp_path) == 1
    assert asked[1] == ["scancel", "7"]


@pytest.fixture
def recover(run, tmp_path, monkeypatch):
    """Return the module workflow/recover.py, to which two files are unrecorded: the older one was copied here."""
    recover = importlib.import_module("recover")
    for name in ("copied.nc", "made.nc"):
        (tmp_path / "results").mkdir(exist_ok=True)
        (tmp_path / "results" / name).touch()
    os.utime(tmp_path / "results" / "copied.nc", (time.time() - 24 * HOUR_S,) * 2)
    monkeypatch.setattr(recover, "unrecorded", lambda _: ["results/copied.nc", "results/made.nc"])
    monkeypatch.setattr(recover, "cancel_jobs", lambda _: 0)
    monkeypatch.setattr(recover.shutil, "which", lambda name: name)
    return recover


def test_recovery_on_slurm_removes_what_was_made_since_the_first_run(recover, tmp_path, capsys):
    began = time.strftime("%Y-%m-%dT%H%M%S", time.localtime(time.time() - HOUR_S))
    (tmp_path / ".snakemake" / "log" / f"{began}.123456.snakemake.log").touch()
    assert recover.main([]) == 0
    assert "0 jobs cancelled, 1 files removed" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["copied.nc"]


def test_recovery_on_slurm_removes_nothing_where_snakemake_never_ran(recover, tmp_path, monkeypatch, capsys):
    assert recover.main([]) == 0
    assert "0 jobs cancelled, 0 files removed" in capsys.readouterr().out
    monkeypatch.setattr(recover.shutil, "which", lambda _: None)
    assert recover.main([]) == 1
    assert "squeue: no such command." in capsys.readouterr().err
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_recovery_on_slurm_touches_nothing_of_a_snakemake_on_another_machine(recover, tmp_path, monkeypatch, capsys):
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.touch()
    (tmp_path / ".snakemake" / "log" / "2026-01-01T000000.000000.snakemake.log").write_text("host: elsewhere\n")
    monkeypatch.setattr(recover, "cancel_jobs", lambda _: pytest.fail("jobs are cancelled"))
    assert recover.main([]) == 1
    assert "A snakemake that began on elsewhere has locked this folder." in capsys.readouterr().err
    assert lock.exists() and len(list((tmp_path / "results").iterdir())) == 2


@pytest.mark.parametrize("module", ["run", "recover"])
def test_no_package_is_imported_from_the_current_folder(tmp_path, module):
    for name in ("numpy", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    code = f"import sys; sys.path.append({str(ROOT / 'workflow')!r}); import {module}; print(*{module}.SNAKEMAKE[:4])"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    done = subprocess.run([*done.stdout.split(), "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_killed_writer_left_is_taken_away_once_nobody_can_be_writing_it(run, tmp_path):
    script = textwrap.dedent("""
        import os, signal
        from clustermass.io.files import atomic
        with atomic("results/skies/images.nc") as temporary:
            temporary.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", script])
    (left,) = (tmp_path / "results" / "skies").iterdir()
    (tmp_path / "results" / "skies" / "truth.part.fits").touch()
    run.recover()
    assert left.exists()
    for path in left.parent.iterdir():
        os.utime(path, (time.time() - HOUR_S,) * 2)
    run.recover()
    assert [path.name for path in left.parent.iterdir()] == ["truth.part.fits"]


def test_a_configuration_that_is_missing_is_one_sentence(run, capsys):
    assert run.main(["--cores", "1", "--configfile", "nothere.yaml"]) == 1
    assert capsys.readouterr().err == "nothere.yaml: can't be read (No such file or directory).\n"


@pytest.mark.parametrize(("cores", "passed"), [("3", ["--cores", "3"]), ("all", [])])
def test_the_plan_tells_the_time_at_the_start_and_its_failure_is_silent(run, tmp_path, capsys, cores, passed):
    (tmp_path / "workflow").mkdir()
    script = tmp_path / "workflow" / "plan.py"
    script.write_text("import sys; print(sys.argv[1:])")
    run.estimate(["--cores", cores, "--configfile", "a.yaml", "b.yaml"])
    assert capsys.readouterr().err == f"{['--short', *passed, 'a.yaml', 'b.yaml']}\n"
    script.write_text("print('half'); 1 / 0")
    run.estimate(["--cores", cores])
    assert capsys.readouterr() == ("", "")


def test_the_run_is_named_by_the_configuration_files(run, monkeypatch):
    monkeypatch.setattr(run, "ROOT", ROOT)
    overlays = ["--configfile", "config/test.yaml"]
    assert run.config_arguments(["--cores", "2", *overlays, "-n"]) == overlays
    assert run.config_arguments(["--cores", "2"]) == []
    assert run.run_name(["--configfile", str(ROOT / "config" / "test.yaml")]) == "test"
    assert run.run_name(["--cores", "2"]) == "default"
