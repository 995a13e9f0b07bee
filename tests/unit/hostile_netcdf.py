"""Hostile netCDF files: links, sizes, types, attributes and numbers that no file of ours has."""

import ctypes
import struct
from functools import cache
from pathlib import Path

import netCDF4
import numpy as np
from hostile_inputs import hostile


@cache
def hdf5():
    """Return the HDF5 library that netCDF4 brings, for links that netCDF4 can't write."""
    (path,) = (Path(netCDF4.__file__).parents[1] / "netcdf4.libs").glob("libhdf5-*")
    library = ctypes.CDLL(str(path))
    for name in ("H5Fopen", "H5Pcreate", "H5Screate_simple", "H5Dcreate2", "H5Gcreate2"):
        getattr(library, name).restype = ctypes.c_int64
    return library


def with_link(path, kind, secret):
    """Add a link to a netCDF file: external to another file, soft or hard in a circle, or data in another file."""
    library, number = hdf5(), ctypes.c_int64
    file = library.H5Fopen(str(path).encode(), ctypes.c_uint(1), number(0))
    assert file > 0
    default, root = number(0), number(file)
    if kind == "external":
        library.H5Lcreate_external(str(secret).encode(), b"/redshift", root, b"stolen", default, default)
    elif kind == "external group":
        library.H5Lcreate_external(str(secret).encode(), b"/", root, b"stolen", default, default)
    elif kind == "soft circle":
        library.H5Lcreate_soft(b"/b", root, b"a", default, default)
        library.H5Lcreate_soft(b"/a", root, b"b", default, default)
    elif kind == "soft to root":
        library.H5Lcreate_soft(b"/", root, b"again", default, default)
    elif kind == "hard circle":
        library.H5Lcreate_hard(root, b"/", root, b"again", default, default)
    elif kind == "dangling":
        library.H5Lcreate_soft(b"/nowhere", root, b"a", default, default)
    elif kind == "storage":
        plist = library.H5Pcreate(number(ctypes.c_int64.in_dll(library, "H5P_CLS_DATASET_CREATE_ID_g").value))
        library.H5Pset_external(number(plist), str(secret).encode(), ctypes.c_long(0), ctypes.c_ulonglong(8))
        space = library.H5Screate_simple(1, (ctypes.c_ulonglong * 1)(8), None)
        kind_of_byte = number(ctypes.c_int64.in_dll(library, "H5T_STD_U8LE_g").value)
        library.H5Dcreate2(root, b"stolen", kind_of_byte, number(space), default, number(plist), default)
    elif kind == "virtual":
        plist = library.H5Pcreate(number(ctypes.c_int64.in_dll(library, "H5P_CLS_DATASET_CREATE_ID_g").value))
        space = library.H5Screate_simple(1, (ctypes.c_ulonglong * 1)(2), None)
        library.H5Pset_virtual(number(plist), number(space), str(secret).encode(), b"/redshift", number(space))
        kind_of_number = number(ctypes.c_int64.in_dll(library, "H5T_IEEE_F64LE_g").value)
        library.H5Dcreate2(root, b"stolen", kind_of_number, number(space), default, number(plist), default)
    assert library.H5Fclose(root) >= 0
    return path


LINKS = ("external", "external group", "soft circle", "soft to root", "hard circle", "dangling", "storage", "virtual")


@hostile("netcdf", "record", variants=LINKS, like="images.nc")
def netcdf_links(place, kind):
    secret = place.canary / "secret.nc"
    secret.write_bytes((place.harmless / "images.nc").read_bytes())
    path = place.write("linked.nc", (place.harmless / "images.nc").read_bytes())
    return with_link(path, kind, secret)


def add_variable(file, length, kind="f8", dimensions=1, **storage):
    """Add a variable that states far more values than it stores."""
    file.createDimension("big", length)
    return file.createVariable("v", kind, ("big",) * dimensions, **storage)


def add_zeros(file):
    """Add a variable of 300 MB that takes few kB."""
    add_variable(file, 3 * 10**8, "u1", zlib=True, chunksizes=(10**7,))[: 10**7] = 0


def add_typed(file, kind, **storage):
    """Add a variable of a type that the file itself defines."""
    made = {
        "compound": lambda: file.createCompoundType(np.dtype([("a", "f8"), ("b", "i4")]), "t"),
        "variable length": lambda: file.createVLType(np.int32, "t"),
        "enumeration": lambda: file.createEnumType(np.uint8, "t", {"a": 1}),
    }[kind]()
    file.createVariable("v", made, ("cluster",), **storage)


@hostile(
    "netcdf",
    "training",
    variants={
        "dimension": lambda f: add_variable(f, 10**12),
        "dimensions": lambda f: [f.createDimension(f"d{number}", 1) for number in range(300)],
        "filled": lambda f: add_variable(f, 10**9, chunksizes=(10**6,), zlib=True, fill_value=1.0),
        "square": lambda f: add_variable(f, 10**6, "u1", 2, chunksizes=(1000, 1000)),
        "compressed": add_zeros,
        "groups": lambda f: f.createGroup("/".join(["g"] * 200)),
        "compound": lambda f: add_typed(f, "compound"),
        "variable length": lambda f: add_typed(f, "variable length"),
        "enumeration": lambda f: add_typed(f, "enumeration", fill_value=1),
        "variables": lambda f: [f.createVariable(f"v{number}", "i1", ()) for number in range(3000)],
        "attributes": lambda f: [f.setncattr(f"a{number}", "x") for number in range(3000)],
        "attribute": lambda f: f.setncattr("cosmology", "[" * 1_000_000),
        "numbers": lambda f: f.setncattr("step", np.arange(100_000)),
        "escape": lambda f: f.setncattr("step", "\x1b[2J\u202e"),
        "name": lambda f: f.createVariable("\x9b\u202ename", "f8", ("cluster",)),
    },
)
def netcdf(place, change):
    name = str(place.rng.choice(["ensemble.nc", "images.nc"]))
    path = place.write("changed.nc", (place.harmless / name).read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        change(file)
    return path


#: attributes by which xarray decodes a variable
DECODED = {
    "units": "days since 0000-00-00",
    "units of time": "seconds since 1970-01-01",
    "calendar": ("days since 2000-01-01", "\x1b"),
    "scale_factor": "x",
    "scale": 1e308,
    "add_offset": np.nan,
    "missing_value": "x",
    "dtype": "bool",
    "dtype object": "O",
    "_Unsigned": "true",
    "_Encoding": "zlib_codec",
    "coordinates": "redshift redshift cluster",
    "coordinates far": "../x",
    "bounds": "redshift",
    "grid_mapping": "redshift: redshift",
    "flag_values": 5,
    "valid_range": "x",
}


@hostile("netcdf", "training", "domain", variants={key: (key, value) for key, value in DECODED.items()})
def netcdf_attributes(place, attribute):
    path = place.write(
        "changed.nc", (place.harmless / ("domain.nc" if place.rng.random() < 0.3 else "ensemble.nc")).read_bytes()
    )
    key, value = attribute
    with netCDF4.Dataset(path, "a") as file:
        variables = [one for one in file.variables.values() if one.dtype != str]
        variable = variables[place.rng.integers(len(variables))]
        if isinstance(value, tuple):
            variable.units, value = value
        variable.setncattr(key.partition(" ")[0], value)
    return path


@hostile("training", "domain", "ensemble", variants=("nan", "infinite", "texts", "empty", "negative", "shape"))
def netcdf_values(place, variant):
    """Numbers in ensemble.nc or domain.nc that no file of ours has."""
    name = "domain.nc" if place.rng.random() < 0.5 else "ensemble.nc"
    path = place.write("changed.nc", (place.harmless / name).read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        variables = [one for one in file.variables.values() if one.dtype != str and one.size]
        variable = variables[place.rng.integers(len(variables))]
        if variant == "texts":
            for one in file.variables.values():
                if one.dtype == str:
                    one[0] = "\x1b[2J../.."
        elif variant in ("empty", "shape"):
            file.renameDimension(variable.dimensions[0], "other")
        else:
            variable[:] = (
                {"nan": np.nan, "infinite": np.inf, "negative": -1}[variant] if variable.dtype.kind == "f" else -1
            )
    return path


CLASSIC = b"CDF\x01" + struct.pack(">I", 1)
#: a dimension of 2^31 - 1 and a variable of as many float64 numbers
DIMENSION = struct.pack(">III4sI", 10, 1, 1, b"a\0\0\0", 0x7FFFFFFF) + struct.pack(">II", 0, 0)
VARIABLE = struct.pack(">III4sII", 11, 1, 1, b"v\0\0\0", 1, 0) + struct.pack(">IIIII", 0, 0, 6, 0xFFFFFFFC, 100)


@hostile(
    "netcdf",
    variants={
        "dimensions": CLASSIC + struct.pack(">II", 10, 0x7FFFFFFF) + b"\0" * 100,
        "name": CLASSIC + struct.pack(">III", 10, 1, 0x7FFFFFFF) + b"\0" * 100,
        "records": b"CDF\x02" + struct.pack(">I", 0xFFFFFFFE) + b"\0" * 24,
        "large": b"CDF\x05" + struct.pack(">Q", 2**62) + b"\0" * 36,
        "variable": CLASSIC + DIMENSION + VARIABLE,
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\xff" * 500,
        "hdf5 v0": b"\x89HDF\r\n\x1a\n" + b"\0" * 500,
        "nothing": b"",
    },
)
def netcdf_classic(place, content):
    return place.write("classic.nc", content)


@hostile("domain")
def many_components(place, _):
    """Describe the training clusters by 100,000 components, which take few kB."""
    path = place.work / "experiment" / "domain.nc"
    with netCDF4.Dataset(place.harmless / "domain.nc") as one, netCDF4.Dataset(path, "w") as file:
        file.setncatts({name: one.getncattr(name) for name in one.ncattrs()})
        for name, dimension in one.dimensions.items():
            file.createDimension(name, 100_000 if name == "component" else len(dimension))
        for name, variable in one.variables.items():
            made = file.createVariable(name, variable.dtype, variable.dimensions, zlib=variable.dtype != str)
            again = 100_000 if "component" in variable.dimensions else 1
            made[:] = np.repeat(variable[:1], again, axis=0) if again > 1 else variable[:]
    return path


@hostile("pack")
def one_long_text(place, _):
    """Name the networks by texts of which one is long: in an array, all would take as much room."""
    path = place.work / "experiment" / "ensemble.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("member", 20_000)
        file.createVariable("member", str, ("member",))[:] = np.array(["x" * 100_000] + [""] * 19_999, dtype=object)
    return path.parent
