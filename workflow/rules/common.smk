"""The checked configuration, and the names and functions that all rules share. This file has no rules."""

import json
import os
import sys

sys.path.insert(0, str(ROOT / "src"))
# by this variable, conda environments and cluster jobs find the package, which is never installed into them
os.environ.update(PYTHONPATH=str(ROOT / "src"))
# a file in the current folder must not be imported in place of a package by snakemakes inside jobs
os.environ.update(PYTHONSAFEPATH="1")
# hashing the code takes a second of CPU time; snakemakes inside cluster jobs inherit the hashes from the submitting one
CODE_INHERITED = "CLUSTERMASS_CODE"
CODE = {} if workflow.is_main_process else json.loads(os.environ.get(CODE_INHERITED, "{}"))

from snakemake.exceptions import WorkflowError

from clustermass.config.bands import band_edges
from clustermass.config.bands import joined_edges
from clustermass.config.resolve import BASE_EXPERIMENT
from clustermass.config.resolve import DEFAULT_IMAGES
from clustermass.config.resolve import PUBLISHED_FILES
from clustermass.config.resolve import choose
from clustermass.config.validate import check_config
from clustermass.config.resolve import input_files
from clustermass.config.resolve import load_config
from clustermass.config.resolve import merge
from clustermass.config.resolve import realization_names
from clustermass.config.resolve import resolve_experiment
from clustermass.config.resolve import resolve_images
from clustermass.config.resolve import resolve_sky
from clustermass.config.validate import without_execution_keys
from clustermass.errors import InputError
from clustermass.io.log import advice
from clustermass.io.log import printable
from clustermass.io.log import printable_lines
from clustermass.io.provenance import CATALOGUE_BLOCKS
from clustermass.io.provenance import PHOTON_BLOCKS
from clustermass.io.provenance import blocks
from clustermass.io.provenance import config_hash
from clustermass.io.provenance import source_hash
from clustermass.network.accelerator import has_accelerator_plugin

# if this workflow is a module of another one, its own configuration is merged like any overlay
config.update(merge(load_config([ROOT / "config" / "config.yaml"]), config))
try:
    check_config(config)
except InputError as error:
    raise WorkflowError(printable_lines(error)) from None


def training_clusters_of(name):
    """Return the settings that select the training and test clusters of an experiment, and their images."""
    return [EXPERIMENTS[name][key] for key in ("sky", "images", "selection", "train_selection", "train_clusters")]


RUN = config["run"]
SKIES = {name: resolve_sky(config["skies"], name) for name in config["skies"]}
# the base experiment comes first, the others by name, so that their order in the configuration doesn't matter
EXPERIMENTS = {
    name: resolve_experiment(config["experiments"], name)
    for name in sorted(config["experiments"], key=lambda name: (name != BASE_EXPERIMENT, name))
}
# settings for cutting out images, by the suffix of their files' names; the default images have no suffix
IMAGES = {
    "": config["images"],
    **{f"_{name}": resolve_images(config["images"], config["image_sets"], name) for name in config["image_sets"]},
}
FIELDS = config["observed"]["fields"]
# published masses by field
PUBLISHED = {field: block for field, block in config["observed"]["published"].items() if field in FIELDS}
# experiments that give masses of observed clusters; controls only test which information a network uses
WEIGHING = [name for name, experiment in EXPERIMENTS.items() if experiment["control"] == "none"]
MEMBERS = {
    name: [f"{member:02d}" for member in range(experiment["members"] or config["ensemble"]["members"])]
    for name, experiment in EXPERIMENTS.items()
}
# by experiment, the first experiment with the same clusters: it makes the baselines that all of them share
WITH_BASELINES = {
    name: next(other for other in EXPERIMENTS if training_clusters_of(other) == training_clusters_of(name))
    for name in EXPERIMENTS
}
CANDIDATES = config["search"]["candidates"]
VALIDATED = config["validation"]["sky"]
REALIZATION_FILES = ("events", "exposure", "catalogue", "truth", "matches")
REALIZATION = "results/skies/{sky}/{realization}"
EXPERIMENT = f"results/{RUN}/{{experiment}}"
TEST_SKY = f"{EXPERIMENT}/skies/{{test_sky}}"
BOX_ARCSEC = config["images"]["box_pixels"] * config["images"]["pixel_arcsec"]
SKIES_BY_KIND = {
    (source, observed): [
        name for name, sky in SKIES.items() if sky["source"] == source and sky.get("observed", False) is observed
    ]
    for source in ("embedded", "files", "published")
    for observed in (False, True)
}


wildcard_constraints:
    sky="|".join(SKIES),
    test_sky="|".join(SKIES),
    field="|".join(FIELDS) or "(?!)",
    of_set=f"(?:{'|'.join(IMAGES)})",
    realization=r"[A-Za-z0-9_-]+",
    preprocessing="|".join(config["preprocessing"]),
    experiment="|".join(EXPERIMENTS),
    member=r"\d{2,3}",


def skies_of(source, observed):
    """Return a wildcard constraint: the skies of one kind of source, either observed ones or those with known masses."""
    return "|".join(SKIES_BY_KIND[source, observed]) or "(?!)"


def skies_with_events():
    """Return a wildcard constraint: the skies that have photons, not only images."""
    return "|".join(name for name, sky in SKIES.items() if sky["source"] != "published") or "(?!)"


def realization_files(*names):
    return {name: f"{REALIZATION}/{name}.fits" for name in names}


def simulated_files(observed):
    """Return the output files of a simulation by name.

    An observed field keeps no truth: labels, sources and truth are deleted after its detections got their redshifts.
    """
    secret = realization_files("labels", "sources", "truth")
    if observed:
        secret = {name: temp(path) for name, path in secret.items()}
    return realization_files("events", "exposure") | secret


def matched_files(observed):
    """Return the files that the matching of detections makes, by name; an observed field has no matches to haloes."""
    return realization_files("catalogue") if observed else realization_files("catalogue", "matches")


def in_order(block):
    """Return a block with its keys sorted, so that another order of the keys re-runs nothing."""
    if isinstance(block, dict):
        return {key: in_order(block[key]) for key in sorted(block)}
    return [in_order(entry) for entry in block] if isinstance(block, list) else block


def code(script, *modules):
    """Return the hash of the code of a script in workflow/scripts and of modules; comments and layout don't count."""
    step = " ".join([script, *modules])
    if step not in CODE:
        CODE[step] = source_hash(modules, [ROOT / "workflow" / "scripts" / f"{script}.py"])
        os.environ[CODE_INHERITED] = json.dumps(CODE)
    return CODE[step]


def step(function):
    """Return the name of a function of the package and the hash of its module, as params of the rule that calls it."""
    return {"step": function, "code": code("step", function.rpartition(".")[0])}


def texts_hash(folder):
    """Return a hash of the text files in a folder, which aren't code of a step but decide what it writes."""
    return config_hash({path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.*"))})


def cosmology_of(sky):
    return in_order(config["cosmology"] | SKIES[sky].get("cosmology", {}))


def test_skies():
    """Return all pairs of an experiment and a test sky of it."""
    return [(name, sky) for name, experiment in EXPERIMENTS.items() for sky in experiment["test_skies"]]


def absent_files():
    """Yield a message for each missing file of the user that the configuration names for a sky in use.

    Snakemake reports no missing input if the outputs made from it exist. It would use outputs made from other files.
    """
    used = {*FIELDS, *(experiment["sky"] for experiment in EXPERIMENTS.values()), *(sky for _, sky in test_skies())}
    for sky in sorted(used & {*SKIES_BY_KIND["published", False]}):
        files = {key: SKIES[sky][key] for key in PUBLISHED_FILES}
        yield from (
            f"skies.{sky}.{key}: {path}: no such file." for key, path in files.items() if not os.path.isfile(path)
        )
    for sky in sorted(name for name in used if SKIES[name]["source"] == "files"):
        for name in SKIES[sky]["realizations"]:
            missing = [path for path in input_files(SKIES[sky], name) if not os.path.isfile(path)]
            yield from (f"skies.{sky}.realizations.{name}: {path}: no such file." for path in missing)
    for field, block in PUBLISHED.items():
        if not os.path.isfile(block["file"]):
            yield f"observed.published.{field}: {block['file']}: no such file."
    yield from wrong_style(config["figures"]["style"])


def is_style_file(style):
    """Return whether the key `figures.style` is the path of a style sheet, and not the name of one of Matplotlib's."""
    return style.endswith(".mplstyle")


def wrong_style(style):
    """Yield a message if there is no Matplotlib style sheet of this name or path."""
    if style and is_style_file(style) and not os.path.isfile(style):
        yield f"figures.style: {style}: no such file."
    elif style and not is_style_file(style):
        from matplotlib.style import available

        if style not in available:
            yield f"figures.style: Matplotlib has no style {style!r}.{choose(style, available)}"


def fetches_files():
    """Return whether this call of snakemake downloads the user's files, which then needn't exist yet."""
    # Snakemake has no list of targets yet while it reads this file; in a job's own process the target is `<rule>:`
    return "download" in {argument.rstrip(":") for argument in sys.argv}


def of_set(experiment):
    """Return the suffix in the file names of an experiment's images."""
    name = EXPERIMENTS[experiment]["images"]
    return "" if name in DEFAULT_IMAGES else f"_{name}"


def split_of(experiment):
    return f"results/{RUN}/splits{of_set(experiment)}/{EXPERIMENTS[experiment]['sky']}.nc"


def of_realizations(sky, name):
    return expand(
        f"results/skies/{sky}/{{realization}}/{name}",
        realization=realization_names(SKIES[sky]),
    )


def gpus_per_training():
    """Return the number of GPUs that a training job asks for; by profiles/default, only one job at a time gets the GPU."""
    device = config["training"]["device"]
    return int(device == "gpu" or (device == "auto" and has_accelerator_plugin()))


def training_environment():
    """Return the conda environment of a training; it depends only on the configuration, so it is the same on all nodes."""
    return "../../envs/train-gpu.yaml" if config["training"]["device"] == "gpu" else "../../envs/train.yaml"


def member_paths(suffix, members):
    return expand(f"{EXPERIMENT}/members/{{member}}{suffix}", member=members, allow_missing=True)


def training_batches():
    """Return by name of a training rule: the members that one job trains, and the experiments with such a job."""
    size = config["ensemble"]["members_per_job"]
    if size == 1:
        return {"train_member": (["{member}"], list(EXPERIMENTS))}
    batches = {}
    for name, members in MEMBERS.items():
        for start in range(0, len(members), size):
            batch = members[start : start + size]
            batches.setdefault(f"train_members_{batch[0]}_{batch[-1]}", (batch, []))[1].append(name)
    return batches


def training_job(rule_name):
    """Return the name of the log and benchmark files of a training job."""
    return f"{rule_name}_{{member}}" if rule_name == "train_member" else rule_name


def each_try(amount):
    """Return a resource function (memory or time) that adds `amount` for each try, since a job may have had too little."""
    return lambda wildcards, attempt: attempt * amount


def training_minutes(members):
    """Return the time limit (min) of a training job; members train one after another on a CPU, side by side on a GPU."""
    return 240 + 20 * len(members) if config["training"]["device"] == "gpu" else 240 * len(members)


if not fetches_files() and (absent := list(absent_files())):
    how = " (the same command with `-- download` at its end)" if "downloads" in config else ""
    raise WorkflowError(
        "\n".join([*map(printable, absent), f"Correct the paths in the configuration, or fetch the files{how}."])
    )
