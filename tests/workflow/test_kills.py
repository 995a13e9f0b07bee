"""`make results` again after everything was killed: the bytes of a run that nobody interrupted.

CLUSTERMASS_KILLS=20 sets twenty kills. The time of an uninterrupted run is divided into equal parts, one for each kill,
and a random moment is drawn in each part. The test starts with the files that the run had made by this moment, and
kills everything a few seconds later. CLUSTERMASS_CAMPAIGN names a folder for reports on the kills.
"""

import json
import os
import random
import time
from pathlib import Path

import pytest
from clones import at_work, clone, data_files, kill, make_results, notes, start, started

pytestmark = [pytest.mark.workflow, pytest.mark.long]
KILLS = int(os.environ.get("CLUSTERMASS_KILLS", "1"))
LATEST_S = 3.0
HOUR_S = 3600


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment_one_more_call_ends_with_the_same_bytes(finished, tmp_path, number):
    rng = random.Random(number)
    begins, ends = zip(*notes(finished).values(), strict=True)
    begun, ended = min(begins), max(set(ends) - {max(ends)})  # the report is made in any case
    moment = begun + (number + rng.random()) / KILLS * (ended - begun)
    folder = clone(tmp_path / "Cúmulos de galaxias", finished, moment)
    already, later = data_files(folder), rng.uniform(0, LATEST_S)
    with start(folder) as process:
        cut_short = started(folder, process)
        time.sleep(later)
        assert process.poll() is None, "it had ended already"
        cut_short = at_work(folder) or cut_short
        kill(process)
    age_leftovers(folder)
    status, said = make_results(folder)
    assert status == 0, said
    assert "An earlier run was killed: taking its lock away" in said
    ours, theirs = data_files(folder), data_files(finished)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert len(ours) > max(40, len(already))
    report(number, (moment - begun) / (ended - begun), later, cut_short, len(ours))


def age_leftovers(folder):
    """Make unfinished files look old: `make results` removes only files that no process can still be writing."""
    for path in (folder / "results").rglob(".*.part*"):
        os.utime(path, (time.time() - HOUR_S,) * 2)


def report(number, share, later, cut_short, compared):
    record = {"share_of_the_run": round(share, 3), "seconds_later": round(later, 2), "cut_short": cut_short}
    print(f"kill {number}: {record}, {compared} files compared")
    if folder := os.environ.get("CLUSTERMASS_CAMPAIGN"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        path = Path(folder) / f"kill_{number:02d}.json"
        path.write_text(json.dumps({**record, "files_compared": compared, "same_bytes": True}, indent=2) + "\n")
