"""The reader of pickles: plain data as Python's own reader has them, anything else refused and nothing executed."""

import builtins
import os
import pickle
import pickletools
import subprocess
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
from confined import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from clustermass.errors import InputError
from clustermass.ingest.published_images import read_pickle
from clustermass.ingest.published_set import rows_of_images

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def written(folder, content, protocol=4):
    path = folder / "x.pickle"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


def same(ours, theirs):
    if isinstance(theirs, np.ndarray):
        native = theirs.dtype.newbyteorder("=")
        return isinstance(ours, np.ndarray) and ours.dtype == native and np.array_equal(ours, theirs)
    if isinstance(theirs, list | tuple):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in theirs)
    return ours == theirs


def plain_data():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(50, 50, 10))
    return {
        "cluster": [np.int64(-3), "a", np.str_("é"), 4.5, None, True, 10**30, np.float32(1.5), b"\xff\x00", b""],
        "gsm_3dImgs": [shared, np.asfortranarray(rng.normal(size=(3, 4))), np.ones((2, 6))[:, ::2], shared],
        "kinds": [np.arange(5, dtype=">i2"), np.array(["ab", "c"]), np.zeros((0, 3)), np.array(2.5), np.array([True])],
        "nested": {"t": (1, (2, 3, 4, 5, ()), [[], [1, {}]])},
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_of_every_protocol_come_as_python_itself_reads_them(tmp_path, protocol):
    path = written(tmp_path, plain_data(), protocol)
    read = read_pickle(path)
    assert same(read, pickle.loads(path.read_bytes()))
    assert read["gsm_3dImgs"][0] is read["gsm_3dImgs"][3]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("mine", "theirs"), [(b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")])
def test_files_of_numpy_1_and_of_numpy_2(tmp_path, protocol, mine, theirs):
    original = pickle.dumps([np.arange(6.0).reshape(2, 3), np.float64(2.5)], protocol=protocol)
    name = {True: b"numpy._core", False: b"numpy.core"}[b"numpy._core" in original]
    content = renamed(original, name.decode(), theirs.decode())
    assert theirs + b"." in content
    array, number = read_pickle(written(tmp_path, content))
    assert np.array_equal(array, [[0, 1, 2], [3, 4, 5]])
    assert number == 2.5


def renamed(content, old, new):
    """Return the same pickle with the module's name replaced, its length written anew, without frames."""
    result = b""
    for operation, argument, start, end in operations(content):
        if operation == "FRAME":
            continue
        if operation == "SHORT_BINUNICODE" and argument.startswith(old + "."):
            text = argument.replace(old, new).encode()
            result += b"\x8c" + bytes([len(text)]) + text
        elif operation == "GLOBAL":
            result += b"c" + argument.replace(old, new).replace(" ", "\n").encode() + b"\n"
        else:
            result += content[start:end]
    return result


def operations(content):
    found = [(operation.name, argument, place) for operation, argument, place in pickletools.genops(content)]
    ends = [place for _, _, place in found[1:]] + [len(content)]
    return [(name, argument, start, end) for (name, argument, start), end in zip(found, ends, strict=True)]


def test_a_python_2_pickle_of_text_bytes(tmp_path):
    # what Python 2's protocol 2 makes of {'cluster': [7]}: text as SHORT_BINSTRING
    assert read_pickle(written(tmp_path, b"\x80\x02}q\x00U\x07clusterq\x01]q\x02K\x07as.")) == {"cluster": [7]}


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Plain:
    """An instance of a class of one's own."""


def hostile(trap):
    touch = f"touch {trap}"
    array = np.arange(3.0)
    return {
        "os.system": Calls(os.system, touch),
        "subprocess": Calls(subprocess.call, ["touch", str(trap)]),
        "eval": Calls(builtins.eval, f"open({str(trap)!r}, 'w')"),
        "exec": Calls(builtins.exec, f"open({str(trap)!r}, 'w')"),
        "open": Calls(builtins.open, str(trap), "w"),
        "getattr": Calls(getattr, array, "tofile"),
        "numpy.load": Calls(np.load, str(trap), None, True),
        "numpy.save": Calls(np.save, str(trap), array),
        "numpy.fromfile": Calls(np.fromfile, str(trap)),
        "numpy.testing": Calls(np.testing.assert_equal, 1, 1),
        "nested": {"cluster": [1, [Calls(list, (Calls(os.system, touch),))]]},
        "in a key": {("a", Calls(os.system, touch)): 1},
        "ordered": OrderedDict(a=1),
        "set": {1, 2},
        "complex": 1j,
        "slice": slice(3),
        "class": Plain,
        "instance": Plain(),
        "array of objects": np.array([{}, None], dtype=object),
        "record array": np.zeros(2, dtype=[("a", "f8")]),
        "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
        "date": np.datetime64("2020-01-01"),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", list(hostile("x")))
def test_anything_else_is_refused_and_nothing_is_executed(tmp_path, name, protocol):
    trap = tmp_path / "trap"
    content = hostile(trap)[name]
    path = written(tmp_path, [1, content], protocol)
    with pytest.raises(InputError, match=r"x\.pickle: "):
        read_pickle(path)
    assert not trap.exists()


def test_the_trap_does_spring_for_pythons_own_reader(tmp_path):
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(hostile(trap)["os.system"]))
    assert trap.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'true'\no.", "os.system"),
        (b"\x80\x02cos\nsystem\n)\x81.", "os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Pabc\n.", "PERSID"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.", "numpy.ndarray.dump"),
        (b"cpandas.core.indexes.base\n_new_Index\n)R.", "pandas.core.indexes.base._new_Index"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cbuiltins\neval\n.", "builtins.eval"),
        (b"c_codecs\ndecode\n.", "_codecs.decode"),
    ],
)
def test_the_message_names_what_was_found(tmp_path, content, named):
    with pytest.raises(InputError, match="Nothing of it was executed") as caught:
        read_pickle(written(tmp_path, content))
    assert f"holds {named}" in str(caught.value) or f" {named}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02cnumpy\ndtype\n}b.", "a state is given to a type"),  # setting attributes of a name
        (b"\x80\x02cnumpy\nndarray\n)R.", "ndarray"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", "another encoding"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85R.", "none of numbers or text"),
        (b"\x80\x02cnumpy\ndtype\nX\x05\x00\x00\x00f8,i8\x85R.", "none of numbers or text"),
        (b"\x80\x02h\x05.", "5"),
        (b"a.", "pop from empty list"),
        (b"(K\x01a.", "index|treated|taken"),
        (b"\x80\x02]}s.", "aren't texts"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "x.pickle"),  # bytes of a length beyond all memory
        (b"", "x.pickle"),
        (b"\x80\x02]", "after the end of the file"),
    ],
)
def test_malformed_files_are_reported_as_damaged(tmp_path, content, reason):
    with pytest.raises(InputError, match="truncated or damaged pickle") as caught:
        read_pickle(written(tmp_path, content))
    assert any(word in str(caught.value) for word in reason.split("|"))


def test_arrays_may_not_hold_more_bytes_than_their_file(tmp_path):
    # one text of 4,000 bytes, from which a thousand arrays are made
    text = b"\x80\x02X\xa0\x0f\x00\x00" + b"a" * 4000 + b"q\x000"
    dtype, shape, order = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85R", b"M\xa0\x0f\x85", b"X\x01\x00\x00\x00C"
    array = b"cnumpy.core.numeric\n_frombuffer\n(h\x00" + dtype + shape + order + b"tR"
    assert len(read_pickle(written(tmp_path, text + b"]" + array + b"a."))[0]) == 4000
    with pytest.raises(InputError, match="its arrays hold more bytes than the file"):
        read_pickle(written(tmp_path, text + b"]" + (array + b"a") * 1000 + b"."))


def test_a_stated_length_claims_no_memory(tmp_path):
    tracemalloc.start()
    for operation in (b"\x8e", b"\x96", b"\x8d", b"\x95"):  # bytes, bytearray, text, frame
        with pytest.raises(InputError, match="truncated or damaged"):
            read_pickle(written(tmp_path, b"\x80\x05" + operation + (1 << 33).to_bytes(8, "little") + b"."))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_arrays_whose_bytes_do_not_fit_their_shape(tmp_path):
    whole = pickle.dumps([np.arange(6.0)], protocol=2)
    assert whole.count(b"K\x06\x85") == 1
    with pytest.raises(InputError, match="48 bytes instead of 56"):
        read_pickle(written(tmp_path, whole.replace(b"K\x06\x85", b"K\x07\x85")))


def test_every_truncation_is_refused(tmp_path):
    whole = pickle.dumps({"cluster": [1, np.int64(2)], "gsm_3dImgs": [np.arange(3.0)]})
    for length in range(len(whole)):
        with pytest.raises(InputError):
            read_pickle(written(tmp_path, whole[:length]))


@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), protocol=st.sampled_from([0, 2, 4, 5]))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_refused_or_still_plain_data(tmp_path_factory, place, byte, protocol):
    content = bytearray(pickle.dumps({"cluster": [1, "b"], "gsm_3dImgs": [np.arange(3.0)]}, protocol=protocol))
    content[place % len(content)] = byte
    path = tmp_path_factory.mktemp("changed") / "x.pickle"
    path.write_bytes(content)
    try:
        read_pickle(path)
    except InputError as error:
        assert str(path) in str(error)


def test_each_array_is_converted_once_and_its_bytes_are_let_go(tmp_path):
    images = [np.random.default_rng(number).normal(size=(50, 50, 10)) for number in range(40)]
    seen = []

    def each(array):
        seen.append(array.shape)
        return array.astype(np.float32)

    path = written(tmp_path, images)
    tracemalloc.start()
    read = read_pickle(path, each)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(seen) == 40
    assert all(np.array_equal(ours, image.astype(np.float32)) for ours, image in zip(read, images, strict=True))
    kept, one = sum(image.nbytes for image in read), images[0].nbytes
    assert peak < kept + 4 * one  # 40 images of twice the size would stay with Python's own memo


SHARED = b")" + b"2\x86" * 60
MERSENNE = 2**61 - 1  # Python gives all its multiples one hash


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x04})" + b"2\x86" * 60 + b"K\x01s.", "keys of a dictionary aren't texts"),
        (pickle.dumps({number * MERSENNE: 0 for number in range(20_000)}, 4), "keys of a dictionary aren't texts"),
        (b"(" + SHARED + b"K\x01d.", "keys of a dictionary aren't texts"),
        (b"\x80\x04(" + b"}" * 30_000_000 + b"l.", "more than 5000000 readings"),
        (b"\x80\x04(K\x01" + b"2" * 30_000_000 + b"t.", "more than 5000000 readings"),
    ],
    ids=["tuples", "numbers", "protocol 0", "dictionaries", "doubled"],
)
def test_nothing_takes_years_or_gigabytes(tmp_path, content, message):
    refused(message, read_pickle, written(tmp_path, content))


@pytest.mark.parametrize("entry", [SHARED, b"\x8b\x00\x00\x10\x00" + b"\x7f" * 2**20], ids=["tuples", "huge"])
def test_an_id_that_would_take_years_to_write_is_refused(tmp_path, entry):
    content = read_pickle(written(tmp_path, b"\x80\x04]" + entry + b"a."))
    refused("the id of image 1 is", rows_of_images, content, {"Nreal": np.array([1])}, "x.pickle")
