"""Checks of skies, of observed fields and of the sky of `make validate-sky`, and functions that `checks` also uses."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

from typing_extensions import is_typeddict

from clustermass.config.models import Config, Experiment
from clustermass.config.patches import Patches
from clustermass.config.prior_checks import problems_of_prior
from clustermass.config.resolve import PUBLISHED_FILES, choose, resolvable_skies, resolve_experiment, resolve_sky
from clustermass.config.sky_models import Detection, Sky
from clustermass.errors import InputError

T = TypeVar("T")


def once(blocks: Mapping[str, T], parents: Mapping[str, str], problems: Callable[[T], Iterable[str]]) -> Iterator[str]:
    """Yield the problems that the function `problems` finds in the blocks, each as the text "<name of block><problem>".

    `parents` maps the name of a block to the name of its parent, from which it takes keys. If the parent has the same
    problem, the problem is yielded only for the parent.
    """
    texts = {name: list(problems(block)) for name, block in blocks.items()}
    for name in texts:
        inherited = texts.get(parents.get(name, ""), [])
        yield from (f"{name}{text}" for text in texts[name] if text not in inherited)


def lacking(model: Any, block: Any, above: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the dotted key of each incomplete block, and the keys that it lacks.

    The class `model` says which keys are required. Only `block` itself and the blocks inside it are checked. Dotted
    keys begin with `above`.
    """
    kinds = get_type_hints(model)
    missing = [key for key in kinds if key in model.__required_keys__ and key not in block]
    if missing:
        yield above, missing
    for key, kind in kinds.items():
        if is_typeddict(kind) and isinstance(block.get(key), Mapping):
            yield from lacking(kind, block[key], f"{above}.{key}")


def not_below(block: Any, lower: str, upper: str, above: str = "") -> Iterator[str]:
    """Yield an error if a block has the keys `lower` and `upper`, but the first value isn't below the second.

    `above` is the dotted key of the block, with which the error begins.
    """
    low, high = block.get(lower), block.get(upper)
    if low is not None and high is not None and low >= high:
        yield f"{above}.{lower} is {low}, but must be below {upper} = {high}."


def experiments_of(config: Config) -> dict[str, Experiment]:
    """Return a dict from names to experiments. Keys that an experiment doesn't set come from the base experiment."""
    return {name: resolve_experiment(config["experiments"], name) for name in config["experiments"]}


def _like(config: Config) -> Iterator[str]:
    for name in config["skies"]:
        try:
            if "source" not in resolve_sky(config["skies"], name):
                both = "'source' (embedded, files or published) nor 'like' (a sky to take over from)"
                yield f"skies.{name} has neither {both}; give it one of them."
        except InputError as error:
            yield str(error)


def _skies(config: Config) -> Iterator[str]:
    skies = config["skies"]
    used = {*config["observed"]["fields"], config["validation"]["sky"]}
    used.update(name for experiment in experiments_of(config).values() for name in skies_of(experiment))
    resolved = {name: sky for name, sky in resolvable_skies(skies).items() if name in used}
    parents = {}
    for name in resolved:  # the nearest of the used skies that it takes keys from
        parents[name] = skies[name].get("like", "")
        while parents[name] and parents[name] not in resolved:
            parents[name] = skies[parents[name]].get("like", "")
    yield from (f"skies.{line}" for line in once(resolved, parents, _problems_of_sky))


def skies_of(experiment: Experiment) -> list[str]:
    """Return the names of the skies that an experiment trains and tests on."""
    return [experiment.get("sky", ""), *experiment.get("test_skies", [])]


def _problems_of_sky(sky: Sky) -> Iterator[str]:
    source, realizations = sky.get("source"), sky.get("realizations")
    if source == "files":
        if not isinstance(realizations, dict):
            yield ".realizations must name its files (events, catalogue), since source is 'files'."
        elif not sky.get("observed"):
            hint = "name the table of haloes with their masses, or set observed: true if the masses are to be found out"
            missing = [label for label, files in realizations.items() if not files.get("truth")]
            yield from (f".realizations.{label}.truth is missing; {hint}." for label in missing)
        return
    if isinstance(realizations, dict):
        yield f".realizations must be a whole number, since source is {source!r}."
    yield from _published_sky(sky) if source == "published" else _embedded_sky(sky)


def _published_sky(sky: Sky) -> Iterator[str]:
    for key in (*PUBLISHED_FILES, "realizations", "mass_unit", "pairing"):
        if key not in sky:
            yield f".{key} is missing; add it, since source is 'published' (config/published.yaml has all keys)."
    if sky.get("observed"):
        yield ".observed is true, but the published training set has known masses; leave observed out."


def _embedded_sky(sky: Sky) -> Iterator[str]:
    for path, names in lacking(Sky, sky):
        yield f"{path} lacks {', '.join(names)}; add what is missing, or take it over from another sky by 'like'."
    clusters, agn, detection = sky.get("clusters", {}), sky.get("agn", {}), sky.get("detection", {})
    yield from not_below(clusters, "log10_m500c_min", "log10_m500c_max", ".clusters")
    yield from not_below(clusters, "redshift_min", "redshift_max", ".clusters")
    yield from not_below(agn, "flux_min_cgs", "flux_max_cgs", ".agn")
    yield from not_below(agn.get("central", {}), "log10_luminosity_min", "log10_luminosity_max", ".agn.central")
    yield from not_below(detection, "e_min_ev", "e_max_ev", ".detection")
    for key in ("background_exclusion_arcsec", "background_cell_arcsec"):
        yield from not_below(detection, key, "background_radius_arcsec", ".detection")
    yield from _stamps(detection)
    yield from _population(sky)
    if "prior" in sky:
        yield from problems_of_prior(sky)
    if sky.get("matching", {}).get("rule") == "confirmed" and not sky.get("richness", {}).get("truth_min"):
        yield ".matching.rule is confirmed, but richness.truth_min is null; set it, for instance to 2."
    shares = sky.get("background", {}).get("shares")
    if shares and not any(shares.values()):
        yield ".background.shares are all 0, but at least one must be positive."


def _population(sky: Sky) -> Iterator[str]:
    population, field = sky.get("population"), sky.get("field")
    if population is None:
        return
    yield from not_below(population, "log10_m500c_min", "log10_m500c_max", ".population")
    yield from not_below(population, "redshift_min", "redshift_max", ".population")
    highest, limit = population.get("redshift_max", 0), sky.get("clusters", {}).get("redshift_max", math.inf)
    if highest > limit:
        yield f".population.redshift_max is {highest}, but must be at most clusters.redshift_max = {limit}."
    agn = sky.get("agn", {})
    around = agn.get("clustered_fraction") and agn.get("normalisation_per_deg2")
    if around and population.get("neighbours") is False:
        yield (
            ".agn.clustered_fraction must be 0 if population.neighbours is false, because the number of AGN around a "
            "cluster is computed from that around its neighbours."
        )
    if field and {"number", "patch_arcmin"} <= {*population}:
        patches = Patches.of(field, population["patch_arcmin"])
        room = patches.columns * patches.rows
        if population["number"] > room:
            yield (
                f".population.number is {population['number']}, but the field has room for {room} patches of "
                f"{population['patch_arcmin']:g} arcmin; lower one of them, or enlarge the field."
            )


def _stamps(detection: Detection) -> Iterator[str]:
    size = detection.get("stamp_pixels", 1)
    if size % 2 == 0:
        yield f".detection.stamp_pixels is {size}, but must be odd."
    radius, end = detection.get("cut_radius_arcsec", 0.0), size * detection.get("pixel_arcsec", math.inf) / 2
    if radius > end:
        limit = f"at most {end:g}, the stamp's end; else raise stamp_pixels"
        yield f".detection.cut_radius_arcsec is {radius}, but must be {limit}."
    extents = detection.get("extents_arcsec", [])
    if any(first >= second for first, second in pairwise(extents)):
        yield f".detection.extents_arcsec is {extents}, but each entry must be above the one before."


def _fields(config: Config) -> Iterator[str]:
    observed, skies = config["observed"], config["skies"]
    resolved = resolvable_skies(skies)
    for field in observed["fields"]:
        if field not in skies:
            yield f"observed.fields names {field!r}, which is no sky.{choose(field, skies)}"
        elif field in resolved and not resolved[field].get("observed"):
            yield f"observed.fields names {field!r}, but skies.{field}.observed is not true; set it or drop the field."
    for field, block in observed["published"].items():
        key, sky = f"observed.published.{field}", resolved.get(field)
        if field not in skies:
            yield f"{key} is of no sky that is defined.{choose(field, skies)}"
        elif sky and (sky.get("source") != "files" or not sky.get("observed")):
            yield f"{key} is of a simulated sky, which published masses of real clusters say nothing about; drop it."
        yield from not_below(block, "log10_m500c_min", "log10_m500c_max", key)


def _validated_sky(config: Config) -> Iterator[str]:
    name, resolved = config["validation"]["sky"], resolvable_skies(config["skies"])
    if name not in config["skies"]:
        yield f"validation.sky is {name!r}, which is no sky.{choose(name, config['skies'])}"
    elif name in resolved and (resolved[name].get("source") != "embedded" or resolved[name].get("observed")):
        yield f"validation.sky is {name!r}, but must be an embedded sky with known masses."


SKY_CHECKS: tuple[Callable[[Config], Iterator[str]], ...] = (_like, _skies, _fields, _validated_sky)
