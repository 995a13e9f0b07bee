"""Hostile packed ensembles: zip files with entries that lead elsewhere, wrong sizes, or a manifest that isn't true."""

import hashlib
import json
import struct
import warnings
import zipfile

import netCDF4
from hostile_inputs import TEXTS, VALUES, hostile, with_value

from clustermass.io.provenance import config_hash


#: a member of the zip file, and the content of its file of the experiment
def members(place):
    with zipfile.ZipFile(place.harmless / "ensemble.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(path, content, compression=zipfile.ZIP_STORED, fresh=True):
    """Write a packed ensemble; if `fresh`, its manifest states the hashes that the content really has."""
    content = dict(content)
    if fresh:
        manifest = json.loads(content["manifest.json"])
        manifest["files"] = {
            name: hashlib.sha256(raw).hexdigest() for name, raw in content.items() if name != "manifest.json"
        }
        manifest["ensemble_hash"] = config_hash(manifest["files"])
        content["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, raw in content.items():
            made.writestr(name, raw)
    return path


def renamed_members(place, names):
    """Return the content of a packed ensemble whose ensemble.nc names its members differently."""
    path = place.work / "renamed.nc"
    path.write_bytes(members(place)["ensemble.nc"])
    with netCDF4.Dataset(path, "a") as file:
        for number, name in enumerate(names):
            file["member"][number] = name
    content = members(place) | {"ensemble.nc": path.read_bytes()}
    path.unlink()
    return content


@hostile("ensemble", variants=(*TEXTS[:12], "/", "..", "", "00", "01/../01", "./01"), like="ensemble.zip")
def member_names(place, text):
    """ensemble.nc names a network by a text that leads elsewhere, where a network of another ensemble lies."""
    other = place.canary / "evil.safetensors"
    other.write_bytes((place.harmless / "00.safetensors").read_bytes())
    text = str(other.with_suffix("")) if text == "/" else text
    name = text.encode("utf-8", "replace").decode().replace("\0", "")
    path = place.work / "packed.zip"
    return archive(path, renamed_members(place, ["00", name]))


def entry(place, name, raw, **attributes):
    """Write the harmless ensemble with one more entry, which its manifest doesn't name."""
    path = archive(place.work / "packed.zip", members(place), fresh=False)
    with zipfile.ZipFile(path, "a", attributes.pop("compression", zipfile.ZIP_STORED)) as made:
        information = zipfile.ZipInfo(name)
        information.compress_type = made.compression
        for key, value in attributes.items():
            setattr(information, key, value)
        with warnings.catch_warnings(action="ignore"):  # of a name that is there twice
            made.writestr(information, raw)
    return path


@hostile(
    "ensemble",
    variants={
        "up": ("../../canary/new.txt", b"x"),
        "absolute": ("/tmp/PWNED-by-a-zip", b"x"),
        "drive": ("C:\\x", b"x"),
        "member": ("members/../../x.safetensors", b"x"),
        "twice": ("ensemble.nc", b"x"),
        "manifest twice": ("manifest.json", b"{}"),
        "escape": ("members/\x1b[2J.safetensors", b"x"),
        "folder": ("members/x.safetensors/", b""),
        "unlisted": ("members/99.safetensors", b"x"),
        "long": ("x" * 60_000, b"x"),
    },
)
def zip_entries(place, variant):
    return entry(place, *variant)


@hostile("ensemble")
def zip_link(place, _):
    return entry(
        place, "members/02.safetensors", b"../../canary/secret.txt", create_system=3, external_attr=0o120777 << 16
    )


@hostile("ensemble", variants=("deflated", "bzip2", "lzma", "listed"))
def zip_bomb(place, variant):
    """Write an entry of 100 MB that takes 100 kB in the file."""
    kinds = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}
    path = place.work / "packed.zip"
    content, bomb = members(place), "ensemble.nc" if variant == "listed" else "unlisted"
    content.pop(bomb, None)
    with zipfile.ZipFile(path, "w", kinds.get(variant, zipfile.ZIP_DEFLATED)) as made:
        for name, raw in content.items():
            made.writestr(name, raw)
        piece = b"\0" * (1 << 24)
        with made.open(zipfile.ZipInfo(bomb), "w") as stream:
            for _ in range(3 if variant in kinds else 6):
                stream.write(piece)
    return path


def directory(raw, place_in_entry, form, value, number):
    """Return a zip file whose central directory holds another value in one of its entries."""
    content, place = bytearray(raw), -1
    for _ in range(number + 1):
        place = content.index(b"PK\x01\x02", place + 1)
    struct.pack_into(form, content, place + place_in_entry, value)
    return bytes(content)


@hostile(
    "ensemble",
    variants={
        "size": (24, "<I", 0xFFFFFFFE),
        "packed size": (20, "<I", 0xFFFFFFFE),
        "sizes of zip64": (24, "<I", 0xFFFFFFFF),
        "crc": (16, "<I", 1),
        "method": (10, "<H", 99),
        "encrypted": (8, "<H", 1),
        "place": (42, "<I", 0),
        "far place": (42, "<I", 0xFFFFFFFE),
        "name": (28, "<H", 60000),
        "extra": (30, "<H", 60000),
        "version": (6, "<H", 65535),
        "date": (12, "<I", 0),
    },
)
def zip_directory(place, variant):
    raw = (place.harmless / "ensemble.zip").read_bytes()
    return place.write("packed.zip", directory(raw, *variant, int(place.rng.integers(6))))


@hostile("ensemble", variants=("many", "comment", "overlap", "prefix", "nested", "no manifest", "empty"))
def zip_structure(place, variant):
    path = place.work / "packed.zip"
    raw = (place.harmless / "ensemble.zip").read_bytes()
    if variant == "many":
        with zipfile.ZipFile(path, "w") as made:
            for number in range(30_000):
                made.writestr(f"members/{number}.safetensors", b"")
        return path
    if variant == "overlap":
        return place.write("packed.zip", directory(raw, 42, "<I", 0, 2))
    content = {
        "comment": raw[:-2] + struct.pack("<H", 65535) + b"PK\x05\x06" * 16000,
        "prefix": b"PK" + b"x" * 1000 + raw,
        "nested": b"PK\3\4" + raw,
        "no manifest": b"PK\5\6" + b"\0" * 18,
        "empty": b"PK",
    }
    return place.write("packed.zip", content[variant])


@hostile("ensemble", variants=VALUES)
def manifest(place, text):
    content = members(place)
    stated = json.loads(content["manifest.json"])
    name = str(place.rng.choice(["files", "format", "weights_format", "ensemble_hash", "members"]))
    content["manifest.json"] = with_value(stated, (name,), text).encode("utf-8", "surrogatepass")
    return archive(place.work / "packed.zip", content, fresh=False)


@hostile("ensemble", variants=("list", "names", "hashes", "up", "number"))
def manifest_files(place, variant):
    content = members(place)
    stated = json.loads(content["manifest.json"])
    files = stated["files"]
    stated["files"] = {
        "list": [list(item) for item in files.items()],
        "names": {f"../{name}": one for name, one in files.items()},
        "hashes": dict.fromkeys(files, 5),
        "up": files | {"members/../../../canary/new.safetensors": "0"},
        "number": 5,
    }[variant]
    content["manifest.json"] = json.dumps(stated).encode()
    return archive(place.work / "packed.zip", content, fresh=False)


@hostile(
    "ensemble",
    "masses by ensemble",
    variants=("calibration.json", "domain.nc", "ensemble.nc", "members/00.safetensors"),
)
def packed_file(place, name):
    """Write a packed ensemble whose hashes are right, and one of whose files isn't what it should be."""
    others = [
        b"",
        b"{}",
        b"[" * 50_000,
        b'{"recalibration": {"form": "scale", "scale": 1e999}}',
        members(place)["domain.nc"],
    ]
    return archive(place.work / "packed.zip", members(place) | {name: others[place.rng.integers(len(others))]})


@hostile("ensemble", variants=("list", "entry"))
def zip_wrong_utf8(place, variant):
    """Write a name that isn't the UTF-8 that its flag says."""
    raw = bytearray((place.harmless / "ensemble.zip").read_bytes())
    flags, name = (8, 46) if variant == "list" else (6, 30)
    start = raw.index(b"PK\x01\x02") if variant == "list" else 0
    raw[start + flags + 1] |= 8
    raw[start + name] = 0xFF
    return place.write("packed.zip", bytes(raw))
