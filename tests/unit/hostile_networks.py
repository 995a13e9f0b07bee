"""Hostile networks and calibrations: JSON with wrong values, safetensors files, and settings that ask for too much."""

import json
import struct

from hostile_inputs import DEEP, VALUES, hostile, mutated, places, with_value


@hostile("calibration", variants=VALUES)
def calibration(place, text):
    content = json.loads((place.harmless / "calibration.json").read_text())
    return place.write("calibration.json", mutated(place, content, text))


@hostile(
    "calibration",
    "record",
    variants={"bytes": b"\xff\xfe{", "nothing": b"", "list": b"[]", "number": b"1", "twice": b"{}{}"},
)
def other_json(place, content):
    return place.write("calibration.json", content)


def stored(header, arrays=b"", length=None):
    text = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + arrays


def parts(path):
    """Return the header of a safetensors file and the bytes of its arrays."""
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


@hostile("weights", variants=VALUES)
def weights_metadata(place, text):
    """One value in the settings of a network; `masses` gets it by a folder whose networks all have it."""
    number = int(place.rng.integers(1 << 30))
    for member in ("00", "01"):
        path = place.work / "experiment" / "members" / f"{member}.safetensors"
        header, arrays = parts(path)
        settings = json.loads(header["__metadata__"]["clustermass"])
        known = [one for one in places(settings) if one != ("format",)]
        header["__metadata__"]["clustermass"] = with_value(settings, known[number % len(known)], text)
        path.write_bytes(stored(json.dumps(header), arrays))
    return path


@hostile("masses by ensemble", variants=VALUES)
def weights_settings(place, text):
    weights_metadata(place, text)
    return place.work / "experiment"


#: settings of a network by which images would be cut, smoothed or predicted with sizes that don't fit in memory
SETTINGS = {
    "box": ("cutting", "images", "box_pixels", 300_000),
    "negative box": ("cutting", "images", "box_pixels", -300),
    "pixel": ("cutting", "images", "pixel_arcsec", 1e-9),
    "no pixel": ("cutting", "images", "pixel_arcsec", 0.0),
    "rebin": ("cutting", "images", "base_rebin", 10**9),
    "no rebin": ("cutting", "images", "base_rebin", 0),
    "bands": ("cutting", "images", "bands", {"start_ev": 0, "width_ev": 1, "number": 10**9}),
    "edges": ("cutting", "images", "bands", {"edges_ev": list(range(200_000))}),
    "width": ("cutting", "images", "bands", {"start_ev": 0, "width_ev": 0, "number": 2}),
    "modules": ("cutting", "events", "modules", [10**9]),
    "pattern": ("cutting", "events", "pattern", 2**70),
    "mask": ("cutting", "events", "flag_mask", "0x" + "f" * 5000),
    "half width": ("preprocessing", "half_width_arcsec", 1e30),
    "steps": ("preprocessing", "pixel_arcsec", 1e-30),
    "smoothing": ("preprocessing", "smoothing", {"half_width": [10**6, 10**6, 1], "sigma": 1.0}),
    "sigma": ("preprocessing", "smoothing", {"half_width": [1, 1, 1], "sigma": 0.0}),
    "transform": ("preprocessing", "transform", "__import__"),
    "clip": ("preprocessing", "clip", -1e300),
    "circle": ("preprocessing", "circle_arcsec", -5),
    "redshift": ("preprocessing", "scale_to_redshift", -1.0),
    "joined": ("preprocessing", "bands", {"a": [0, 10**9]}),
    "dense": ("network", "layers", [{"flatten": True}, {"join": "side"}, {"dense": 10**9}]),
    "convolution": ("network", "layers", [{"conv": 10**6, "kernel": 10**6}, {"flatten": True}]),
    "pool": ("network", "layers", [{"pool": "average", "size": 0}, {"flatten": True}]),
    "layers": ("network", "layers", [{"flatten": True}] * 50_000),
    "layer": ("network", "layers", [{"__class__": "os.system"}]),
    "sides": ("network", "side_inputs", ["z"] * 100_000),
    "side": ("network", "side_inputs", ["../z"]),
    "grid": ("grid", "x", [0.0] * 1_000_000),
    "shape": ("shape", [10**6, 10**6, 10]),
    "loss": ("recipe", "loss", {"a": 1}),
    "bins": ("recipe", "loss", "classification"),
    "symmetric": ("recipe", "symmetric_prediction", 10**9),
    "deviation": ("standardisation", "image_sd", [0.0, 0.0]),
    "means": ("standardisation", "image_mean", [0.0] * 1_000_000),
    "mass": ("standardisation", "mass_sd", -1e300),
    "residual": ("residual_sd", -1.0),
    "member": ("member", 10**30),
    "control": ("control", {"name": "x", "seed": 1}),
}


@hostile("masses by ensemble", variants=SETTINGS)
def settings(place, change):
    *where, last, value = change
    for member in ("00", "01"):
        path = place.work / "experiment" / "members" / f"{member}.safetensors"
        header, arrays = parts(path)
        block = whole = json.loads(header["__metadata__"]["clustermass"])
        for key in where:
            block = block[key]
        block[last] = value
        header["__metadata__"]["clustermass"] = json.dumps(whole)
        path.write_bytes(stored(json.dumps(header), arrays))
    return place.work / "experiment"


def tensors(header, arrays=b"", **entries):
    """Return a safetensors file with the settings of a network and other tensors: name -> (type, shape, offsets)."""
    keys = ("dtype", "shape", "data_offsets")
    made = {name: dict(zip(keys, entry, strict=True)) for name, entry in entries.items()}
    return stored(json.dumps({"__metadata__": header["__metadata__"], **made}), arrays)


def many_tensors(header, _):
    return tensors(header, **{f"t{number}": ("U8", [0], [0, 0]) for number in range(20_000)})


@hostile(
    "weights",
    variants={
        "header": lambda h, a: stored("{}", length=2**63),
        "longer header": lambda h, a: stored("{}", length=10**8),
        "shape": lambda h, a: tensors(h, a, a=("F32", [2**62, 4], [0, 16])),
        "no element": lambda h, a: tensors(h, a=("F32", [0, 2**62], [0, 0])),
        "backwards": lambda h, a: tensors(h, a, a=("F32", [1], [4, 0])),
        "type": lambda h, a: tensors(h, b"\0" * 4, a=("BF16", [2], [0, 4])),
        "small type": lambda h, a: tensors(h, b"\0", a=("F4", [2], [0, 1])),
        "text type": lambda h, a: tensors(h, b"\0" * 8, a=("O", [1], [0, 8])),
        "many": many_tensors,
        "dimensions": lambda h, a: tensors(h, b"\0", a=("U8", [1] * 1000, [0, 1])),
        "names": lambda h, a: tensors(h, b"\0", **{"\x1b[2J../": ("U8", [1], [0, 1])}),
        "metadata": lambda h, a: stored('{"__metadata__": ' + DEEP),
        "metadata type": lambda h, a: stored('{"__metadata__": {"clustermass": 5}}'),
        "metadata list": lambda h, a: stored('{"__metadata__": {"clustermass": "[1]"}}'),
        "twice": lambda h, a: stored('{"__metadata__": {"clustermass": "1"}, ' + json.dumps(h)[1:], a),
        "bytes": lambda h, a: stored(b'{"\xff": 1}'),
        "nan": lambda h, a: stored(json.dumps(h), struct.pack("<f", float("nan")) * (len(a) // 4)),
        "more": lambda h, a: stored(json.dumps(h), a + b"x" * 100),
    },
)
def weights(place, make):
    return place.write("00.safetensors", make(*parts(place.harmless / "00.safetensors")))


@hostile("calibration")
def negative_width(place, _):
    """Write conformal intervals whose lower end lies above the upper one; no file of ours has them."""
    content = json.loads((place.harmless / "calibration.json").read_text())
    content["conformal"]["levels"]["68"]["half_width"] = -1.5
    return place.write("calibration.json", json.dumps(content))
