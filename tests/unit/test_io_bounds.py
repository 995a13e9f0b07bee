"""Reading a file is stopped when it takes far more memory or processor time than its size explains."""

import resource
import signal
import threading
import time

import numpy as np
import pytest

from clustermass.errors import InputError
from clustermass.io import bounds
from clustermass.io.bounds import bounded


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("RA,DEC,Z\n")
    return path


def test_memory_is_bounded_during_the_reading_only(small):
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(InputError, match=r"small\.csv: needs far more memory than .* of its size"), bounded(small):
        np.empty(2 * 10**9, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert np.empty(2 * 10**9, np.uint8).nbytes == 2 * 10**9


def test_a_larger_file_may_take_more_memory(small):
    small.write_bytes(bytes(10**7))
    with bounded(small):
        assert np.empty(2 * 10**9, np.uint8).nbytes == 2 * 10**9


def test_processor_time_is_bounded_during_the_reading_only(small, monkeypatch):
    monkeypatch.setattr(bounds, "_SECONDS", 0.1)
    before = signal.getsignal(signal.SIGPROF)
    with pytest.raises(InputError, match=r"small\.csv: takes more than 0 s of processor time"), bounded(small):
        spend(5.0)
    assert signal.getsignal(signal.SIGPROF) == before
    spend(0.3)


def test_a_thread_other_than_the_first_reads_without_a_bound_on_time(small, monkeypatch):
    monkeypatch.setattr(bounds, "_SECONDS", 0.1)
    ended = []

    def read():
        with bounded(small):
            spend(0.3)
        ended.append(True)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert ended == [True]


def spend(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
