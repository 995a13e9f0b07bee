"""Program that reads the structure of a netCDF-4 file in a process of its own; `clustermass.io.hdf5` runs it.

Its arguments are the path of a shared library that contains the functions of HDF5 and netCDF, the path of the file, and
the largest accepted number of variables. It prints how many bytes of memory the variables take, or why the file is
refused. It imports only Python's standard library, so that it starts in a few hundredths of a second. If a hostile file
makes HDF5 crash or never end, only this process is ended.
"""

import ctypes
import math
import os
import resource
import sys
import zlib
from typing import Any, NoReturn

#: memory in bytes and time in s that the structure of a file, its attributes and its texts may take
MEMORY_BYTES, TIME_S = 2_000_000_000, 10
#: HDF5's numbers for: a hard link; a data set; the layout of a virtual data set; integers, floats, texts
HARD, DATASET, VIRTUAL, KINDS = 0, 5, 3, (0, 1, 3)
#: numbers of the filters that are allowed, once each: deflate, shuffle and Fletcher's checksum
DEFLATE, FILTERS = 1, (1, 2, 3)
#: numbers of netCDF's types of texts, of characters and of floats
NC_STRING, NC_CHAR, NC_FLOATS = 12, 2, (5, 6)
#: attributes because of which values become larger floats when they are read; the last two leave floats as they are
SCALING = (b"scale_factor", b"add_offset", b"_FillValue", b"missing_value")
#: most bytes that deflate packs into one; bytes of a chunk that is too small for harm
MOST_DEFLATED, SMALL = 1032, 1_000_000
#: bytes of an empty Python text, and of a character in two copies of an array
TEXT_BYTES, CHARACTER_BYTES = 100, 8

EACH_LINK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int64, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p
)
EACH_CHUNK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p
)


def refuse(why: str) -> NoReturn:
    """Print why the file is refused, and end the process at once."""
    print(why, flush=True)
    os._exit(1)


class Library:
    """A shared library, loaded from the file `path`, whose functions of HDF5 and netCDF can be called by name."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self.hdf5("H5Eset_auto2", 0, None, None)

    def size(self, name: str, *arguments: Any) -> int:
        """Return the result of the HDF5 function `name`. Results and whole numbers in `arguments` have 64 bits."""
        if not hasattr(self._library, name):
            refuse(f"this build of netCDF4 lacks the function {name}")
        function = getattr(self._library, name)
        function.restype = ctypes.c_int64
        return int(function(*(ctypes.c_int64(one) if isinstance(one, int) else one for one in arguments)))

    def hdf5(self, name: str, *arguments: Any) -> int:
        """Return the result of the HDF5 function `name`, which is an id or a small number.

        If the result is negative, the file is refused.
        """
        result = self.size(name, *arguments)
        if ctypes.c_int(result).value < 0:
            refuse(f"HDF5 can't read it ({name})")
        return result

    def newest(self, *names: str) -> str:
        """Return the first of `names` that is a function of the library, or the last of `names` if none is."""
        return next(name for name in (*names, names[0]) if hasattr(self._library, name) or name == names[-1])

    def netcdf(self, name: str, *arguments: Any) -> None:
        """Call the netCDF function `name`; refuse the file if the function reports an error."""
        if getattr(self._library, name)(*arguments):
            refuse(f"netCDF can't read it ({name})")

    def has_attribute(self, file: int, variable: int, name: bytes) -> bool:
        """Return whether a variable of a netCDF file has the attribute `name`."""
        return not self._library.nc_inq_attid(file, variable, name, ctypes.byref(ctypes.c_int()))


def links(library: Library, root: int, most: int) -> list[bytes]:
    """Return the names of everything in the group `root` of an HDF5 file.

    The file is refused if it has links to other places or files, or more than `most` names.
    """
    names: list[bytes] = []

    def add(_group: int, name: bytes, info: Any, _data: Any) -> int:
        if info[0] != HARD:
            refuse("it holds a link to another place or file")
        names.append(name)
        return len(names) > most

    iterate = library.newest("H5Literate2", "H5Literate1", "H5Literate")
    library.hdf5(iterate, root, 0, 2, None, EACH_LINK(add), None)
    if len(names) > most:
        refuse(f"it holds more than {most} variables")
    return names


def data_bytes(library: Library, dataset: int, path: str) -> tuple[int, int]:
    """Return the number of values of a data set, and the number of bytes of each value.

    The file is refused if the values are in another file, are neither numbers nor texts, or are compressed by other
    means than zlib. It is also refused if it states more bytes than it can hold.
    """
    made = library.hdf5("H5Dget_create_plist", dataset)
    if library.hdf5("H5Pget_external_count", made) or library.hdf5("H5Pget_layout", made) == VIRTUAL:
        refuse("the values of a variable are in another file")
    space, kind = library.hdf5("H5Dget_space", dataset), library.hdf5("H5Dget_type", dataset)
    if library.hdf5("H5Tget_class", kind) not in KINDS:
        refuse("a variable holds neither numbers nor texts")
    sides = (ctypes.c_uint64 * 32)()
    number = math.prod(sides[: library.hdf5("H5Sget_simple_extent_dims", space, sides, None)])
    width, stored = library.size("H5Tget_size", kind), library.size("H5Dget_storage_size", dataset)
    if stored > os.stat(path).st_size:  # noqa: PTH116
        refuse("a variable takes more bytes than the file has")
    if number * width > SMALL + (MOST_DEFLATED + 1) * stored:
        refuse(f"a variable states {number * width} bytes, of which {stored} are stored")
    filters = [filter_number(library, made, place) for place in range(library.hdf5("H5Pget_nfilters", made))]
    if len({*filters}) < len(filters) or not {*filters} <= {*FILTERS}:
        refuse("a variable is compressed by other means than zlib")
    if DEFLATE in filters and stored > SMALL:
        axes = library.hdf5("H5Pget_chunk", made, 32, sides)
        check_chunks(library, dataset, math.prod(sides[:axes]) * width, path)
    return number, width


def filter_number(library: Library, made: int, place: int) -> int:
    """Return the number by which HDF5 identifies the filter at `place` in a data set's list of filters.

    `made` is the id of the data set's properties (its creation property list).
    """
    flags, values = ctypes.c_uint(), ctypes.c_size_t(0)
    return library.hdf5(
        "H5Pget_filter2", made, place, ctypes.byref(flags), ctypes.byref(values), None, 0, None, ctypes.byref(flags)
    )


def check_chunks(library: Library, dataset: int, size: int, path: str) -> None:
    """Refuse the file if a large compressed chunk of a data set unpacks to more than `size` bytes.

    `size` is the size of an unpacked chunk as the file `path` states it.
    """
    large: list[tuple[int, int]] = []

    def add(_place: Any, _filters: int, address: int, stored: int, _data: Any) -> int:
        if stored > SMALL:
            large.append((address, stored))
        return 0

    library.hdf5("H5Dchunk_iter", dataset, 0, EACH_CHUNK(add), None)
    with open(path, "rb") as stream:  # noqa: PTH123
        for address, stored in large:
            stream.seek(address)
            if len(zlib.decompressobj().decompress(stream.read(stored), size + 9)) > size + 8:
                refuse(f"a compressed part of a variable is larger than the {size} bytes that are stated")


def memory(library: Library, path: bytes, sizes: dict[bytes, tuple[int, int]]) -> int:
    """Return how many bytes of memory the variables of the netCDF file `path` take.

    All attributes and texts are read; the file is refused if netCDF can't read them.

    `sizes` maps the name of each data set to the number of its values and the number of bytes of each value.
    """
    file, number, total = ctypes.c_int(), ctypes.c_int(), 0
    library.netcdf("nc_open", path, 0, ctypes.byref(file))
    library.netcdf("nc_inq_natts", file, ctypes.byref(number))
    library.netcdf("nc_inq_nvars", file, ctypes.byref(number))
    for variable in range(number.value):
        name, kind, attributes = ctypes.create_string_buffer(1024), ctypes.c_int(), ctypes.c_int()
        library.netcdf("nc_inq_varname", file, variable, name)
        library.netcdf("nc_inq_vartype", file, variable, ctypes.byref(kind))
        library.netcdf("nc_inq_varnatts", file, variable, ctypes.byref(attributes))
        # netCDF stores a variable under such a name if a dimension of another size has the name of the variable
        values, width = sizes.get(b"_nc4_non_coord_" + name.value) or sizes[name.value]
        if library.has_attribute(file.value, variable, b"_Encoding"):
            refuse("a variable of characters states how they are encoded")
        if kind.value == NC_STRING:
            texts = (ctypes.c_char_p * values)()
            library.netcdf("nc_get_var_string", file, variable, texts)
            # NumPy gives each text of an array the room of the longest, and the array is copied once
            total += values * (TEXT_BYTES + CHARACTER_BYTES * max((len(text or b"") for text in texts), default=0))
        else:
            enlarging = SCALING[:2] if kind.value in NC_FLOATS else SCALING
            if any(library.has_attribute(file.value, variable, one) for one in enlarging):
                refuse("a variable is scaled, or whole numbers of it are masked")
            # several characters of a text are in one value, and each takes 4 bytes in NumPy
            total += values * width * (CHARACTER_BYTES if kind.value == NC_CHAR else 1)
    return total


def main(path_of_library: str, path: str, most: int) -> int:
    """Return how many bytes of memory the variables of the file `path` take.

    If the file is refused, print why, and end the process.
    """
    for kind, most_of_it in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, TIME_S)):
        limits = [one for one in (*resource.getrlimit(kind), most_of_it) if one != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min(limits), min(limits)))
    library, name = Library(path_of_library), os.fsencode(path)
    with open(path, "rb") as stream:  # noqa: PTH123
        if stream.read(8) != b"\x89HDF\r\n\x1a\n":
            refuse("it begins like no netCDF-4 file")
    file = library.hdf5("H5Fopen", name, 0, 0)
    root, sizes = library.hdf5("H5Gopen2", file, b"/", 0), {}
    for one in links(library, root, most):
        dataset = library.hdf5("H5Oopen", root, one, 0)
        if library.hdf5("H5Iget_type", dataset) != DATASET:
            refuse("it holds groups or types")
        sizes[one] = data_bytes(library, dataset, path)
    return memory(library, name, sizes)


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
