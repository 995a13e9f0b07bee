"""Checkpoint files: what is written comes back, what isn't whole is refused, and a failure stops nothing."""

import logging
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clustermass.errors import InputError
from clustermass.network import checkpoints as watch
from clustermass.network.checkpoints import Checkpoints, History, Member, Watch, decode, encode


def example(epoch: int = 3, number: int = 3) -> Member:
    kernel = np.arange(600, dtype=np.float32).reshape(20, 30).T / 7  # not contiguous
    history = History([0.1 + 0.2, 1 / 3, 1e-300], [0.5] * 3, [1e-3] * 3)
    return Member(number, {"count": np.int32(7)}, {"kernel": kernel}, epoch, history)


def same(one: Member, other: Member) -> bool:
    arrays = [(one.kept["kernel"], other.kept["kernel"]), (one.progress["count"], other.progress["count"])]
    return (one.number, one.kept_epoch, one.history) == (other.number, other.kept_epoch, other.history) and all(
        np.array_equal(mine, theirs) and mine.dtype == theirs.dtype for mine, theirs in arrays
    )


def is_fresh(member: Member) -> bool:
    return member.history.epochs == 0


def fresh(number: int = 3) -> Member:
    return Member(number, {"count": np.int32(0)}, {"kernel": np.zeros((30, 20), np.float32)})


def test_come_back_to_the_last_bit_and_equal_ones_have_equal_bytes():
    assert same(decode(encode(example()), fresh()), example())
    assert encode(decode(encode(example()), fresh())) == encode(example())
    assert encode(example()) != encode(example(epoch=4))


def test_every_single_flipped_bit_and_every_missing_end_is_noticed():
    content = encode(example())
    rng = np.random.default_rng(1)
    for place in [*range(0, 40), *rng.integers(0, len(content), 300)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            decoded = decode(bytes(damaged), fresh())
        except ValueError:
            continue
        assert same(decoded, example()), place  # padding or the order of keys: the content is whole
    for length in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="not a whole checkpoint"):
            decode(content[:length], fresh())


@pytest.fixture
def store(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", {"recipe": {"epochs": 5}, "arrays": "abc"})


def test_a_file_is_found_again_only_under_the_same_hash(store):
    assert is_fresh(store.resume(fresh()))
    store.write(example())
    assert same(store.resume(fresh()), example())
    assert is_fresh(store.resume(fresh(4)))
    for other in ({"recipe": {"epochs": 6}, "arrays": "abc"}, {"recipe": {"epochs": 5}, "arrays": "abd"}):
        assert is_fresh(Checkpoints(store.folder, other).resume(fresh()))


def test_a_finished_one_removes_old_hashes_and_half_writes_of_this_member_only(store):
    old = Checkpoints(store.folder, {"arrays": "old"})
    old.write(example())
    old.write(example(number=13))
    (store.folder / f".{old.path(3).name}.x1.part.safetensors").write_text("half")
    store.write(example())
    assert old.path(3).exists()  # not before the new one is finished
    store.write(replace(example(5), progress=None))
    assert sorted(store.folder.iterdir()) == sorted([store.path(3), old.path(13)])


def test_one_that_doesnt_fit_counts_as_none_too(store, caplog):
    store.write(example())
    other = Member(3, {"count": np.int32(0)}, {"kernel": np.zeros((30, 21), np.float32)})
    assert store.resume(other) is other
    assert "of another network" in caplog.text


def test_a_finished_one_holds_its_result_alone(store):
    finished = example()
    finished.progress = None
    store.write(finished)
    assert store.resume(fresh()).progress is None


@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda _: b"", lambda _: b"text " * 50])
def test_a_damaged_file_has_one_line_in_the_log_and_counts_as_none(store, caplog, damage):
    store.write(example())
    store.path(3).write_bytes(damage(store.path(3).read_bytes()))
    assert is_fresh(store.resume(fresh()))
    (record,) = caplog.records
    assert "member 03: checkpoint" in record.message and "starting afresh" in record.message
    store.write(example())
    assert same(store.resume(fresh()), example())


def test_a_folder_that_cant_be_made_is_logged_once_and_read_as_empty(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    store = Checkpoints(tmp_path / "file" / "checkpoints", {})
    assert is_fresh(store.resume(fresh()))
    for _ in range(3):
        store.write(replace(example(), progress=None))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "member 03: no checkpoint can be written" in record.message


def test_a_full_disk_leaves_the_file_before_whole_and_no_half_one(store, caplog):
    """A limit on the size of files makes the system refuse the write, as a full disk does."""
    store.write(example())
    before, limit = store.path(3).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limit[1]))
    try:
        store.write(example(4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert store.path(3).read_bytes() == before
    assert [path.name for path in Path(store.folder).iterdir()] == [store.path(3).name]
    assert "File too large" in caplog.text


RECIPE = {"epochs": 9, "gradient_clip": 5.0}
RATES = np.array([[1e-3, 2e-3, 3e-3], [4e-3, 5e-3, 6e-3]])
FINE = np.array([[0.5, -3.0, 9e5], [0.4, 0.3, 0.2]])


def watching(recipe=RECIPE, extreme=8.0, epochs=2):
    history = History([0.1] * epochs, [0.2] * epochs, [1e-3] * epochs)
    group = [Member(number, None, None, 0, history) for number in (4, 12)]
    return group, Watch(group, recipe, lambda: extreme)


@pytest.mark.parametrize("loss", [np.nan, np.inf, -np.nan, 2e6])
def test_the_first_bad_batch_of_any_member_is_named(loss):
    losses = FINE.copy()
    losses[1, 1] = losses[0, 2] = loss
    expected = r"member 12: the loss is .* in epoch 3, batch 2 of 3, at learning rate 5.00e-03\. Likely cause: too high"
    with pytest.raises(InputError, match=expected):
        watching()[1].check_steps(losses, RATES)


def test_high_but_bearable_losses_stop_nothing():
    watching()[1].check_steps(FINE, RATES)
    watching()[1].check_validation(np.array([0.3, 1e9]), RATES)


@pytest.mark.parametrize(
    ("recipe", "extreme", "cause"),
    [
        (RECIPE, 1e5, "pixels of 1e\\+05 standard deviations"),
        (RECIPE, np.nan, "pixels of nan standard deviations"),
        (RECIPE | {"gradient_clip": 0.0}, 8.0, "Set the recipe's gradient_clip"),
        (RECIPE, 8.0, "Lower the recipe's learning_rate"),
    ],
)
def test_the_likely_cause(recipe, extreme, cause):
    with pytest.raises(InputError, match=cause):
        watching(recipe, extreme)[1].check_steps(FINE * np.nan, RATES)


def test_a_validation_loss_that_isnt_finite_has_its_own_cause():
    expected = (
        "member 12: the validation loss is nan after epoch 3, at learning rate 6.00e-03, .* split and the selection"
    )
    with pytest.raises(InputError, match=expected):
        watching()[1].check_validation(np.array([0.3, np.nan]), RATES)


def test_progress_has_epoch_losses_rate_and_time_left(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 10.0, 12.0, 18.0])
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    group, guard = watching(epochs=3)
    for _ in range(3):  # 10 s of compilation and an epoch, then one in 2 s and one in 6 s
        group[0].add_epoch(0.5, 0.25, 1e-3, "last")  # they share their history
        guard.report()
    assert [record.message.split(": ", 1)[1] for record in caplog.records] == [
        "epoch 5 of 9, loss 0.500, validation 0.250, 0.50 epochs/s, 8 s left",
        "epoch 6 of 9, loss 0.500, validation 0.250, 0.25 epochs/s, 12 s left",
    ]
    assert caplog.records[0].message.startswith("members 04 to 12: ")
