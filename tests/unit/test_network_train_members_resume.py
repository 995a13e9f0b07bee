"""Batches and kills: a member's files don't depend on its batch, nor on where its training was interrupted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.numpy import load
from test_network_train_members import train_batch, write_sky

from clustermass.errors import InputError
from clustermass.io.netcdf import read_netcdf
from clustermass.network import train as training
from clustermass.network.predict import use_device

use_device("cpu")
KILLS = int(os.environ.get("CLUSTERMASS_KILLS", "1"))
EPOCHS = 100 + 50 * KILLS
PLATEAU = {"schedule": "plateau", "plateau": {"factor": 0.5, "patience": 1, "minimum": 1e-5}}
KINDS = [
    {"epochs": 6, "keep": "best", "learning_rate": 0.05, **PLATEAU},
    {"epochs": 6, "keep": "last", "average_decay": 0.0},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_sky(tmp_path_factory.mktemp("sky"))


def contents(outputs):
    return {member: [path.read_bytes() for path in files] for member, files in outputs.items()}


def epochs_run(monkeypatch, stop_after=None):
    """Count the epochs that are computed; raise in the one after `stop_after`."""
    done, real = [], training.run_epochs

    def run(*arguments):
        if len(done) == stop_after:
            raise RuntimeError("power cut")
        done.append(1)
        return real(*arguments)

    monkeypatch.setattr(training, "run_epochs", run)
    return done


def test_members_of_a_batch_are_those_trained_alone_and_compiled_once(tmp_path, data):
    before = training.run_epochs._cache_size()
    batch = contents(train_batch(tmp_path, *data, [3, 4, 5]))
    assert training.run_epochs._cache_size() <= before + 1
    for member in (4, 5):
        folder = tmp_path / str(member)
        folder.mkdir()
        assert contents(train_batch(folder, *data, [member]))[member] == batch[member]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_interrupted_after_several_epochs_ends_with_the_same_bytes(tmp_path, data, monkeypatch, kind):
    whole = contents(train_batch(tmp_path, *data, [3], **kind))
    folder, left = tmp_path / "again", tmp_path / "checkpoints"
    folder.mkdir()
    for stop_after in (1, 3, 1):  # in all: after epochs 1, 4 and 5
        with monkeypatch.context() as patch:
            epochs_run(patch, stop_after)
            with pytest.raises(RuntimeError, match="power cut"):
                train_batch(folder, *data, [3], checkpoints=left, **kind)
    rates = read_netcdf(tmp_path / "03.nc")["learning_rate"].values
    assert rates[3] < rates[1] and rates[5] < rates[1]  # the plateau had been reached before an interruption
    rest = epochs_run(monkeypatch)
    assert contents(train_batch(folder, *data, [3], checkpoints=left, **kind)) == whole
    assert len(rest) == 1
    # finished: the files are written again, without an epoch
    for path in folder.iterdir():
        path.unlink()
    assert contents(train_batch(folder, *data, [3], checkpoints=left, **kind)) == whole
    assert len(rest) == 1
    (path,) = left.iterdir()
    assert all(name.startswith("['kept']") for name in load(path.read_bytes()))


def test_more_members_and_other_batches_train_only_the_new_ones(tmp_path, data, monkeypatch):
    left, rest = tmp_path / "checkpoints", epochs_run(monkeypatch)
    first = contents(train_batch(tmp_path, *data, [3, 4], checkpoints=left))
    assert len(rest) == 6
    again = contents(train_batch(tmp_path, *data, [3, 4, 5], checkpoints=left))
    assert len(rest) == 9
    assert {member: again[member] for member in first} == first


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 4e-3},
        {"keys": {"redshift_noise": 0.01}},
        {"keys": {"selection": {"log10_m500c_min": 13.5}}},
        {"keys": {"control": "no_energy"}},
    ],
)
def test_what_has_changed_is_trained_anew_and_its_old_checkpoint_removed(tmp_path, data, monkeypatch, change):
    left = tmp_path / "checkpoints"
    train_batch(tmp_path, *data, [3], checkpoints=left)
    (old,) = left.iterdir()
    rest = epochs_run(monkeypatch)
    made = contents(train_batch(tmp_path, *data, [3], checkpoints=left, **change))
    assert len(rest) == 3
    assert contents(train_batch(tmp_path, *data, [3], **change)) == made
    (new,) = left.iterdir()
    assert new.name != old.name


def test_a_change_of_the_code_or_of_a_package_is_one_too(tmp_path, data, monkeypatch):
    left = tmp_path / "checkpoints"
    for patched in (None, "source_hash", "version"):
        with monkeypatch.context() as patch:
            if patched:
                patch.setattr(f"clustermass.network.train_members.{patched}", lambda *_: "another")
            rest = epochs_run(patch)
            train_batch(tmp_path, *data, [3], checkpoints=left)
            assert len(rest) == 3, patched


def test_training_goes_on_without_checkpoints_where_none_can_be_written(tmp_path, data, caplog):
    (tmp_path / "file").write_text("no folder")
    made = contents(train_batch(tmp_path, *data, [3], checkpoints=tmp_path / "file" / "checkpoints"))
    assert contents(train_batch(tmp_path, *data, [3])) == made
    assert len([record for record in caplog.records if "no checkpoint can be written" in record.message]) == 1


def test_a_runaway_loss_leaves_no_checkpoint_of_it(tmp_path, data):
    with pytest.raises(InputError, match="member 03: the loss is"):
        train_batch(tmp_path, *data, [3], checkpoints=tmp_path / "checkpoints", learning_rate=1e30, schedule="constant")
    assert not (tmp_path / "checkpoints").exists()


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from safetensors.numpy import load
from test_network_train_members import train_batch
folder, *files = map(Path, sys.argv[3:])
train_batch(folder, files[:-1], files[-1], [3], checkpoints=folder / "checkpoints", epochs=int(sys.argv[2]))
"""


@pytest.mark.long
def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path, data):
    """CLUSTERMASS_KILLS=10 sets ten kills, each a random part of a second after the first new checkpoint."""
    images, split = data
    whole = contents(train_batch(tmp_path, images, split, [3], epochs=EPOCHS))
    folder, rng = tmp_path / "killed", random.Random(1)
    folder.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(EPOCHS)]
    command += [str(path) for path in (folder, *images, split)]
    reached = [0]
    for _ in range(KILLS):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and epochs_left(folder) <= reached[-1]:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
        reached.append(epochs_left(folder))
    assert all(early < late < EPOCHS for early, late in pairwise(reached)), reached
    assert contents(train_batch(folder, images, split, [3], checkpoints=folder / "checkpoints", epochs=EPOCHS)) == whole


def epochs_left(folder):
    """Epochs in the checkpoint of a training that runs."""
    files = list((folder / "checkpoints").glob("03.*.safetensors"))
    if not files:
        return 0
    content = files[0].read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["clustermass"]
    return len(json.loads(json.loads(header)["header"])["history"]["val_loss"])
