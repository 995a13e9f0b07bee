"""Hostile files and folders: each is read rightly or refused in one message, within 4 GB and 20 s, and harms nothing.

`make campaign` tries more cases (CLUSTERMASS_HOSTILE_CASES), CLUSTERMASS_FUZZ_SEED draws others.
"""

import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest
from hostile_inputs import MUTATIONS, SECRET, Case, drawn
from hostile_originals import write_originals
from hostile_server import Readers

# they register their mutations
for module in sorted(Path(__file__).parent.glob("hostile_*.py")):
    import_module(module.stem)

LONGEST_MESSAGE = 100_000
#: commands that compare files which somebody's records name; they print hashes of these, never their content
COMPARING = ("verify", "trace")


@pytest.fixture(scope="module")
def readers():
    started = Readers()
    yield started
    started.close()


@pytest.fixture(scope="module")
def harmless(readers, tmp_path_factory):
    """Return a folder with all harmless files; the mass catalogue and its cards are made from the others."""
    folder, place = tmp_path_factory.mktemp("harmless"), tmp_path_factory.mktemp("masses")
    write_originals(folder)
    case_folder(place, folder)
    made = readers.read("masses of events", place / "work" / "events.fits", place, limit_s=200)
    assert made.ended == "result", made
    for ending in ("fits", "cards.nc"):
        shutil.copy(place / "out" / f"out.{ending}", folder / f"masses.{ending}")
    return folder


@pytest.fixture(scope="module")
def right(harmless, readers, tmp_path_factory):
    """Return a function that reads a harmless file, and remembers what was read."""
    known = {}

    def read(reader, name):
        if (reader, name) not in known:
            folder = case_folder(tmp_path_factory.mktemp("right"), harmless)
            outcome = readers.read(reader, folder / "work" / name, folder)
            assert outcome.ended == "result", outcome
            known[reader, name] = outcome.text
        return known[reader, name]

    return read


def case_folder(folder, harmless):
    """Make the folders of a case: work with harmless files, out, tmp, home, and canary, which nothing may touch."""
    for name in ("out", "tmp", "home", "canary"):
        (folder / name).mkdir()
    shutil.copytree(harmless, folder / "work")
    (folder / "canary" / "secret.txt").write_text(SECRET)
    return folder


def state(folder):
    """Return what tells a change of each file and folder below a folder, except its folder out."""
    found, waiting = {}, [os.fsencode(folder)]
    while waiting:  # os.walk would end at the deepest folders
        for entry in [*os.scandir(waiting.pop())]:
            status = entry.stat(follow_symlinks=False)
            kept = () if entry.is_dir(follow_symlinks=False) else (status.st_size, status.st_ino, status.st_mtime_ns)
            found[entry.path] = (status.st_mode, *kept)
            waiting += [] if kept else [entry.path]
    return {path: one for path, one in found.items() if not path.startswith(os.fsencode(folder / "out"))}


def check(case, folder, harmless, readers, right):
    """Make the hostile file of a case, let it be read, and check all that is promised."""
    try:
        check_case(case, case_folder(folder, harmless), harmless, readers, right)
    finally:  # pytest itself can't remove some of the folders
        subprocess.run(["rm", "-rf", *folder.iterdir()], check=True)


def check_case(case, folder, harmless, readers, right):
    path = case.make(folder, harmless)
    before = state(folder)
    outcome = readers.read(case.mutation.reader, path, folder)
    assert outcome.ended in ("result", "refused"), outcome
    assert state(folder) == before
    if outcome.ended == "result" and case.mutation.like:
        assert outcome.text == right(case.mutation.reader, case.mutation.like)
    logs = [one.read_text(errors="backslashreplace") for one in (folder / "out").glob("*.log")]
    for text in (outcome.printed, *logs):
        assert "Traceback" not in text
        assert [sign for sign in text if not sign.isprintable() and sign != "\n"] == []
        assert len(text) < LONGEST_MESSAGE or outcome.ended == "result"
        assert SECRET not in text or case.mutation.reader in COMPARING


def name_of(case):
    return str(case).encode("ascii", "replace").decode()


@pytest.mark.long
@pytest.mark.parametrize("case", drawn(), ids=name_of)
def test_hostile(case, harmless, readers, right, tmp_path):
    check(case, tmp_path, harmless, readers, right)


#: mutations that the campaign found before they were mended
FOUND = (
    *("catalogue-csv[huge numbers]", "catalogue-fits_table[display]", "table-votable[width]", "table-votable[unknown]"),
    *("table-votable_data[stream of a file]", "table-votable_data[parquet of a file]", "table-ecsv_column[array]"),
    *("table-cds[many]", "table-packed[dictionary]", "events-packed[dictionary]", "weights-weights[no element]"),
    *(
        "weights-weights[small type]",
        "weights-weights[dimensions]",
        "weights-sparse",
        "check-config-configuration[names]",
    ),
    *("check-config-configuration[long circle]", "verify-deep_folders", "verify-pipe[mine/provenance.json]"),
    *("training-netcdf_values[shape]", "netcdf-netcdf_attributes[scale_factor]"),
    *("table-slow_text[blanks of CDS]", "table-slow_text[unit of CDS]", "table-slow_text[digits]"),
    *("table-slow_text[blanks in unit]", "table-slow_text[sizes]", "table-slow_packed[signs]"),
    *(
        "domain-many_components",
        "pack-one_long_text",
        "ensemble-zip_wrong_utf8[list]",
        "published_images-encoded_again",
    ),
    *(f"table-votable_rows[{kind}]" for kind in ("cut in a text", "cut before a text", "long text", "many rows")),
    *(f"table-votable_rows[{kind}]" for kind in ("cut in bits", "few numbers", "many numbers")),
    *(f"table-votable_of_nothing[{kind}]" for kind in ("text", "old text", "flags")),
    "table-votable_data[no stream]",
    *("table-votable_data[cut row]", "table-votable[too few rows]", "table-votable[unknown elements]"),
    *("calibration-negative_width", "masses of events-sparse_events"),
    *("record-document[long]", "record-document[escapes]", "table-slow_text[unit of a quantity]"),
    *("catalogue-frames[altaz]", "catalogue-frames[hcrs]", "catalogue-frames[galactocentric]"),
    *("table-slow_text[arrays in few bytes]", "table-slow_text[deep model]"),
    *("plan-plan_elsewhere[/]", "plan-plan_special[pipe]", "plan-plan_benchmark[empty]", "plan-plan_area[zero]"),
    *("show-card_hdus[image]", "show-card_hdus[infinite]", "show-card_data[step 1e-09]", "show-card_data[quantity]"),
    *(
        "show-card_texts[$\\frac$]",
        "show-card_types[NAME]",
        "show-card_numbers[LOGM500_Q50 3e38]",
        "show-card_numbers[R500C_ARCMIN 3e38]",
    ),
)


@pytest.mark.long
@pytest.mark.parametrize("found", FOUND)
def test_what_was_found_is_mended(found, harmless, readers, right, tmp_path):
    (mutation,) = [one for one in MUTATIONS if f"{one.reader}-{one.name}" == found]
    check(Case(0, mutation), tmp_path, harmless, readers, right)


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("masses by ensemble", "ensemble.zip"),
        ("masses of events", "events.fits"),
        ("masses of clusters", "clusters.csv"),
    ],
)
def test_harmless_files_give_masses(reader, name, right):
    assert right(reader, name) == right("masses by ensemble", "experiment")


#: turns any failure into an InputError, as readers do
TRY = "from clustermass.io.files import reading\nwith reading('x', 'y'): "
#: harmful code -> what is noticed
HARM = {
    "import os; os.kill(os.getpid(), 11)": "signal 11",
    "while True: pass": "longer than 1 s",
    "import numpy; numpy.zeros(10**10)": "traceback",
    f"{TRY}open('../out/x', 'wb').write(bytes(1 << 31))": "written beyond the limit",
    f"{TRY}bytearray(10**11)": "memory beyond the limit",
    "open('../canary/secret.txt', 'w')": "written outside",
    "open('clusters.csv', 'a')": "written outside",
    "import os; os.symlink('../canary', '../out/link'); open('../out/link/x', 'w')": "written outside",
    "import os; os.remove('clusters.csv')": "changed outside",
    "import os; os.rename('../out', '../canary/out')": "changed outside",
    "import shutil; shutil.rmtree('results')": "changed outside",
    "import os; os.system('true')": "forbidden: os.system",
    "import subprocess; subprocess.run(['true'])": "forbidden: subprocess.Popen",
    "import socket; socket.socket().connect(('127.0.0.1', 9))": "forbidden: socket.connect",
    "import urllib.request; urllib.request.urlopen('file:///etc/hostname')": "forbidden: urllib.Request",
    "1 / 0": "traceback",
    "raise SystemExit": "traceback",
    "open('../out/x', 'w').close(); open('../tmp/x', 'w').close()": "result",
}


@pytest.mark.parametrize("code", HARM)
def test_harm_is_noticed(code, harmless, readers, tmp_path):
    case_folder(tmp_path, harmless)
    (tmp_path / "work" / "code").write_text(code)
    outcome = readers.read("code", tmp_path / "work" / "code", tmp_path, limit_s=1 if "while" in code else 20)
    assert outcome.ended == HARM[code], outcome


def test_the_campaign_is_large_enough():
    assert len({(case.mutation.reader, case.mutation.name) for case in drawn(150)}) >= 60
    assert len(MUTATIONS) > 1000
