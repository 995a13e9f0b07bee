"""Checks of the skies once `like` is filled in: complete, and values that fit together."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from clustermass.config.resolve import PUBLISHED_FILES, Block, choose, resolvable_skies, resolve_sky
from clustermass.config.sentences import missing_names, schema_errors
from clustermass.errors import InputError

#: keys of an embedded sky, the first of which must lie below the second
_BELOW = (
    ("clusters.log10_m500c_min", "clusters.log10_m500c_max"),
    ("clusters.redshift_min", "clusters.redshift_max"),
    ("agn.flux_min_cgs", "agn.flux_max_cgs"),
    ("detection.e_min_ev", "detection.e_max_ev"),
    ("detection.background_exclusion_arcsec", "detection.background_radius_arcsec"),
    ("detection.background_cell_arcsec", "detection.background_radius_arcsec"),
)


def told_once(
    blocks: Mapping[str, Block], parents: Mapping[str, str], problems: Callable[[Block], Iterable[str]]
) -> Iterator[str]:
    """Yield "<name><problem>" of each block, without what is as wrong in the block that it takes over.

    Parameters
    ----------
    blocks
        Blocks by name, filled in.
    parents
        Name of a block -> name of the one that it was filled in from.
    problems
        What is wrong with a block: ends of sentences that begin with its name.
    """
    found = {name: list(problems(block)) for name, block in blocks.items()}
    for name, texts in found.items():
        inherited = found.get(parents.get(name, ""), [])
        yield from (f"{name}{text}" for text in texts if text not in inherited)


def check_like(skies: Mapping[str, Any]) -> Iterator[str]:
    """Yield the `like` that names no sky or closes a circle."""
    for name in skies:
        try:
            resolve_sky(skies, name)
        except InputError as error:
            yield str(error)


def check_skies(skies: Mapping[str, Any], complete: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with skies on their own.

    Parameters
    ----------
    skies
        Block `skies`.
    complete
        Schema of what an embedded sky must have once `like` is filled in.
    """
    resolved = resolvable_skies(skies)
    parents = {name: skies[name]["like"] for name in resolved if "like" in skies[name]}

    def problems(sky: Block) -> Iterator[str]:
        for check in _CHECKS_BY_SOURCE.get(sky.get("source", ""), (_no_source,)):
            yield from check(sky)
        if sky.get("source") == "embedded":
            yield from _incomplete(sky, complete)

    yield from (f"skies.{line}" for line in told_once(resolved, parents, problems))


def check_fields(observed: Mapping[str, Any], skies: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields to be given masses that are no observed sky."""
    resolved = resolvable_skies(skies)
    for field in observed["fields"]:
        if field not in skies:
            yield f"observed.fields names {field!r}, which is no sky.{choose(field, skies)}"
        elif field in resolved and not resolved[field].get("observed"):
            yield f"observed.fields names {field!r}, but skies.{field}.observed is not true; set it or drop the field."


def check_published(observed: Mapping[str, Any], skies: Mapping[str, Any]) -> Iterator[str]:
    """Yield the published masses that aren't of a real field, and ranges of masses that hold none."""
    resolved = resolvable_skies(skies)
    for field, block in observed["published"].items():
        key = f"observed.published.{field}"
        if field not in skies:
            yield f"{key} is of no sky that is defined.{choose(field, skies)}"
        elif field in resolved and (resolved[field].get("source") != "files" or not resolved[field].get("observed")):
            yield f"{key} is of a simulated sky, which published masses of real clusters say nothing about; drop it."
        low, high = block.get("log10_m500c_min"), block.get("log10_m500c_max")
        if low is not None and high is not None and low >= high:
            yield f"{key}.log10_m500c_min is {low}, but must be below log10_m500c_max = {high}."


def check_validation(validation: Mapping[str, Any], skies: Mapping[str, Any]) -> Iterator[str]:
    """Yield what keeps the sky to be compared with published numbers from being so."""
    name, resolved = validation["sky"], resolvable_skies(skies)
    if name not in skies:
        yield f"validation.sky is {name!r}, which is no sky.{choose(name, skies)}"
    elif name in resolved and (resolved[name].get("source") != "embedded" or resolved[name].get("observed")):
        yield f"validation.sky is {name!r}, but must be an embedded sky with known masses."


def _incomplete(sky: Block, complete: Mapping[str, Any]) -> Iterator[str]:
    # the schema finds an error for each missing key: those of one block share a sentence
    lacking = {tuple(error.absolute_path): missing_names(error) for error in schema_errors(sky, complete)}
    for path, names in lacking.items():
        block = "".join(f".{key}" for key in path)
        yield f"{block} lacks {', '.join(names)}; add what is missing, or take it over from another sky by 'like'."


def _no_source(_: Block) -> Iterator[str]:
    yield (
        " has neither 'source' (embedded, files or published) nor 'like' (the sky that it resembles); give it one of "
        "them."
    )


def _names_files(sky: Block) -> Iterator[str]:
    if not isinstance(sky.get("realizations"), Mapping):
        yield ".realizations must name its files (events, catalogue), since source is 'files'."


def _has_truth(sky: Block) -> Iterator[str]:
    realizations = sky.get("realizations")
    if sky.get("observed") or not isinstance(realizations, Mapping):
        return
    for label, files in realizations.items():
        if not files.get("truth"):
            yield (
                f".realizations.{label}.truth is missing; name the table of haloes with their masses, or set "
                "observed: true if the masses are to be found out."
            )


def _is_counted(sky: Block) -> Iterator[str]:
    if isinstance(sky.get("realizations"), Mapping):
        yield f".realizations must be a whole number, since source is {sky['source']!r}."


def _names_published(sky: Block) -> Iterator[str]:
    for key in (*PUBLISHED_FILES, "realizations", "mass_unit", "pairing"):
        if key not in sky:
            yield f".{key} is missing; add it, since source is 'published' (config/published.yaml has all keys)."
    if sky.get("observed"):
        yield ".observed is true, but the published training set has known masses; leave observed out."


def _ranges(sky: Block) -> Iterator[str]:
    for lower, upper in _BELOW:
        low, high = _value(sky, lower), _value(sky, upper)
        if low is not None and high is not None and low >= high:
            yield f".{lower} is {low}, but must be below {upper.split('.')[-1]} = {high}."


def _stamp(sky: Block) -> Iterator[str]:
    size, pixel = _value(sky, "detection.stamp_pixels"), _value(sky, "detection.pixel_arcsec")
    radius = _value(sky, "detection.cut_radius_arcsec")
    if size is not None and size % 2 == 0:
        yield f".detection.stamp_pixels is {size}, but must be odd."
    if None not in (size, pixel, radius) and radius > size * pixel / 2:
        yield (
            f".detection.cut_radius_arcsec is {radius}, but must be at most {size * pixel / 2:g}, the stamp's end; "
            "else raise stamp_pixels."
        )


def _extents(sky: Block) -> Iterator[str]:
    extents = _value(sky, "detection.extents_arcsec") or []
    if any(first >= second for first, second in pairwise(extents)):
        yield f".detection.extents_arcsec is {extents}, but each entry must be above the one before."


def _shares(sky: Block) -> Iterator[str]:
    shares = _value(sky, "background.shares")
    if shares and not any(shares.values()):
        yield ".background.shares are all 0, but at least one must be positive."


def _value(sky: Block, path: str) -> Any:
    """Value at a dotted path, None if it isn't there: what is missing is told elsewhere."""
    value: Any = sky
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_CHECKS_BY_SOURCE: dict[str, tuple[Callable[[Block], Iterator[str]], ...]] = {
    "files": (_names_files, _has_truth),
    "published": (_names_published, _is_counted),
    "embedded": (_is_counted, _ranges, _stamp, _extents, _shares),
}
