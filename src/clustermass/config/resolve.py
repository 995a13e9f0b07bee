"""Reading and merging of configuration files, and completion of blocks that take keys from another block."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import yaml

from clustermass import limits
from clustermass.errors import InputError

if TYPE_CHECKING:
    from clustermass.config.models import Bands, Experiment, Images, ImageSet, Preprocessing
    from clustermass.config.sky_models import RealizationFiles, Sky

Block: TypeAlias = dict[str, Any]
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
BASE_EXPERIMENT = "fiducial"
#: values of an experiment's key `images` that stand for the block `images`, not for an entry of `image_sets`
DEFAULT_IMAGES = (None, "images")
#: keys of a sky with `source: published` that name its two files, which hold all realizations
PUBLISHED_FILES = ("images", "catalogue")
#: preprocessing that its authors applied to the images of the published training set
PUBLISHED_PREPROCESSING: dict[str, Any] = {
    "half_width_arcsec": 600.0,
    "pixel_arcsec": 24.0,
    "smoothing": {"half_width": [1, 1, 5], "sigma": 0.75},
}
#: energy bands of the images of the published training set
PUBLISHED_BANDS: Bands = {"start_ev": 250, "width_ev": 205, "number": 10}


def load_config(paths: Iterable[str | Path]) -> Block:
    """Return the configuration merged from YAML files in order, without checks. InputError if a file can't be read."""
    config: Block = {}
    for path in map(Path, paths):
        content = read_yaml(path)
        if not isinstance(content, Mapping):
            raise InputError(f"{path}: must hold a block of keys.")
        config = merge(config, content)
    return config


def default_config() -> Block:
    """Return the default configuration: `config/config.yaml` of the repository, which is part of the package."""
    packaged = Path(__file__).with_name("config.yaml")
    return load_config([packaged if packaged.is_file() else Path(__file__).parents[3] / "config" / "config.yaml"])


def is_regular(path: Path) -> bool:
    """Return whether a path is a file on a disk. Files in /proc, /sys and /dev don't count, as they may have no end."""
    try:
        return path.is_file() and path.resolve().parts[:2] not in (("/", "proc"), ("/", "sys"), ("/", "dev"))
    except OSError:  # the name is too long
        return False


def read_yaml(path: Path) -> object:
    """Return the content of a YAML file. InputError if it is missing, isn't YAML or is larger than `limits` allows.

    The size includes all values that aliases (`*name`) stand for, because a few lines with aliases of aliases can stand
    for more values than fit into memory.
    """
    try:
        if path.exists() and not path.is_dir() and not is_regular(path):
            raise InputError(f"{path}: can't be read (it is a pipe or device, not a file).")
        with path.open("rb") as stream:
            raw = stream.read(limits.CONFIG_BYTES.most + 1)
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror}).") from error
    limits.CONFIG_BYTES.check(len(raw), path)
    try:
        loader = yaml.SafeLoader(raw)
        if (node := loader.get_single_node()) is None:
            return None
        limits.CONFIG_VALUES.check(number_of_values(node, path), path)
        return loader.construct_document(node)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error


def number_of_values(node: yaml.Node, path: Path, known: dict[yaml.Node, float] | None = None) -> float:
    """Return the number of values in a YAML node after replacing aliases. It is infinite if the node contains itself.

    `known` holds the results for nodes that have been counted already. InputError, which names the file `path`, if a
    single number has too many characters, because YAML would need hours to read a number such as 1:1:1:... with a
    million digits.
    """
    known = {} if known is None else known
    if node.tag in _NUMBERS and isinstance(node, yaml.ScalarNode):
        limits.YAML_DIGITS.check(len(node.value), path)
    if node not in known:
        known[node] = float("inf")
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = (one for part in parts for one in (part if isinstance(part, tuple) else (part,)))
        known[node] = 1 + sum(number_of_values(one, path, known) for one in inner)
    return known[node]


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Block:
    """Return `base` changed by the keys of `changes`. Blocks are merged. Lists and single values are replaced."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def resolve_sky(skies: Mapping[str, Sky], name: str) -> Sky:
    """Return the sky `name`. If its key `like` names another sky, keys that it doesn't set are taken from there.

    InputError if there is no such sky, or if `like` leads in a circle.
    """
    chain = [name]
    while "like" in skies[chain[-1]]:
        parent = skies[chain[-1]]["like"]
        if parent in chain:
            members = chain[chain.index(parent) :]
            start = members.index(min(members))  # the message is the same from whichever sky the circle is entered
            first, *others = members[start:] + members[:start]
            way = " -> ".join([first, *others, first])
            raise InputError(f"skies.{first}.like closes a circle ({way}); one of them must name its source instead.")
        limits.SKY_CHAIN.check(len(chain), f"skies.{name}")
        if parent not in skies:
            raise InputError(f"skies.{chain[-1]}.like is {parent!r}, which is no sky.{choose(parent, skies)}")
        chain.append(parent)
    resolved: Block = {}
    for link in reversed(chain):
        resolved = merge(resolved, {k: v for k, v in skies[link].items() if k != "like"})
    return cast("Sky", resolved)


def resolvable_skies(skies: Mapping[str, Sky]) -> dict[str, Sky]:
    """Return a dict from names to skies, completed by `resolve_sky`. Skies for which this fails are left out."""
    resolved = {}
    for name in skies:
        with suppress(InputError):
            resolved[name] = resolve_sky(skies, name)
    return resolved


def resolve_experiment(experiments: Mapping[str, Experiment | None], name: str) -> Experiment:
    """Return the experiment `name`. Keys that it doesn't set are taken from the base experiment."""
    return cast("Experiment", merge(experiments.get(BASE_EXPERIMENT) or {}, experiments[name] or {}))


def resolve_images(images: Images, image_sets: Mapping[str, ImageSet], name: str | None) -> Images:
    """Return the block `images` with the changes of the image set `name`. If `name` is None, nothing is changed."""
    return images if name is None or name in DEFAULT_IMAGES else cast("Images", merge(images, image_sets[name]))


def realization_names(sky: Sky) -> list[str]:
    """Return the sorted names of a sky's realizations: the user's names if `source` is `files`, else "01", "02", ..."""
    realizations = sky.get("realizations", 1)
    if isinstance(realizations, Mapping):
        return sorted(realizations)
    return [f"{number:02d}" for number in range(1, int(realizations) + 1)]


def input_files(sky: Sky, realization: str) -> list[str]:
    """Return the paths of the user's files that are read for a realization, as the configuration states them."""
    if sky.get("source") == "published":
        return [str(sky["images"]), str(sky["catalogue"])]
    files = realization_files(sky, realization)
    truth = None if sky.get("observed", False) else files.get("truth")
    tables = [files["catalogue"], *(files.get("joined_catalogues") or [])]
    return [str(path) for path in (*files["events"], *tables, *exposure_files(files), truth) if path]


def exposure_files(files: RealizationFiles) -> list[str]:
    """Return the paths of the exposure maps of a realization, which may have none, one or several."""
    named = files.get("exposure") or []
    return [named] if isinstance(named, str) else list(named)


def realization_files(sky: Sky, realization: str) -> RealizationFiles:
    """Return the block of files of a realization. InputError if the block, its events or its catalogue is missing."""
    realizations = sky.get("realizations")
    if not isinstance(realizations, Mapping) or realization not in realizations:
        raise InputError(f"skies: no realization {realization!r}; name its files under realizations.")
    files: RealizationFiles = realizations[realization]
    for key in ("events", "catalogue"):
        if not files.get(key):
            raise InputError(f"skies: realization {realization!r} names no {key}. Every realization needs both.")
    return files


def whole(ratio: float) -> int:
    """Return the whole number above 0 that `ratio` equals within 1e-6, or 0 if there is none."""
    return round(ratio) if ratio > 0 and abs(ratio - round(ratio)) < 1e-6 else 0


def side_pixels(preprocessing: Preprocessing) -> int:
    """Return the number of pixels along a side of the images after a preprocessing; 0 if it isn't a whole number."""
    return whole(2 * preprocessing["half_width_arcsec"] / preprocessing["pixel_arcsec"])


def nearest(word: object, allowed: Iterable[object]) -> str:
    """Return the text " Did you mean ...?" with the allowed word most similar to `word`, or "" if none is similar."""
    match = difflib.get_close_matches(str(word), list(map(str, allowed)), n=1, cutoff=0.6)
    return f" Did you mean {match[0]}?" if match else ""


def choose(word: object, allowed: Iterable[object]) -> str:
    """Return the text of `nearest`, or a text that lists all allowed words if none is similar to `word`."""
    words = list(map(str, allowed))
    return nearest(word, words) or (f" Allowed: {', '.join(words)}." if words else " None is defined: leave it out.")
