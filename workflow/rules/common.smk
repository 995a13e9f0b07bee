"""Checked configuration and the names that all rules share. No rules."""

import json
import os
import sys

sys.path.insert(0, str(ROOT / "src"))
# conda environments and cluster jobs find the package by this variable: it is never installed into them
os.environ.update(PYTHONPATH=str(ROOT / "src"))
# hashes of code take a second of CPU time: snakemakes inside cluster jobs inherit them from the submitting one
CODE_INHERITED = "CLUSTERMASS_CODE"
CODE = {} if workflow.is_main_process else json.loads(os.environ.get(CODE_INHERITED, "{}"))

from snakemake.exceptions import WorkflowError

from clustermass.config.bands import band_edges
from clustermass.config.bands import joined_edges
from clustermass.config.resolve import BASE_EXPERIMENT
from clustermass.config.resolve import DEFAULT_IMAGES
from clustermass.config.resolve import PUBLISHED_FILES
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
from clustermass.io.provenance import CATALOGUE_BLOCKS
from clustermass.io.provenance import PHOTON_BLOCKS
from clustermass.io.provenance import config_hash
from clustermass.io.provenance import source_hash
from clustermass.network.accelerator import has_accelerator_plugin

# a module is given a configuration of its own, which here becomes an overlay like any other
config.update(merge(load_config([ROOT / "config" / "config.yaml"]), config))
try:
    check_config(config)
except InputError as error:
    raise WorkflowError(str(error)) from None


def training_clusters_of(name):
    """The settings that choose an experiment's training and test clusters and how they are measured."""
    return [EXPERIMENTS[name][key] for key in ("sky", "images", "selection", "train_selection", "train_clusters")]


RUN = config["run"]
SKIES = {name: resolve_sky(config["skies"], name) for name in config["skies"]}
# the base first, then by name: their order in the configuration doesn't matter
EXPERIMENTS = {
    name: resolve_experiment(config["experiments"], name)
    for name in sorted(config["experiments"], key=lambda name: (name != BASE_EXPERIMENT, name))
}
# how images are cut, by the suffix of their files' names: none for the default images
IMAGES = {
    "": config["images"],
    **{f"_{name}": resolve_images(config["images"], config["image_sets"], name) for name in config["image_sets"]},
}
FIELDS = config["observed"]["fields"]
# published masses by field
PUBLISHED = {field: block for field, block in config["observed"]["published"].items() if field in FIELDS}
# controls test what a network uses: they give no observed cluster a mass
WEIGHING = [name for name, experiment in EXPERIMENTS.items() if experiment["control"] == "none"]
MEMBERS = {
    name: [f"{member:02d}" for member in range(experiment["members"] or config["ensemble"]["members"])]
    for name, experiment in EXPERIMENTS.items()
}
# the first experiment with the same training clusters
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
CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.*"))
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
    """Wildcard constraint: skies of one source, with or without known masses."""
    return "|".join(SKIES_BY_KIND[source, observed]) or "(?!)"


def skies_with_events():
    """Wildcard constraint: skies of photons, not of images."""
    return "|".join(name for name, sky in SKIES.items() if sky["source"] != "published") or "(?!)"


def realization_files(*names):
    return {name: f"{REALIZATION}/{name}.fits" for name in names}


def simulated_files(observed):
    """Files of a simulated realization; an observed field has no truth, and its labels and sources last until detection."""
    if not observed:
        return realization_files("events", "exposure", "labels", "sources", "truth")
    secret = {name: temp(path) for name, path in realization_files("labels", "sources").items()}
    return realization_files("events", "exposure") | secret


def detected_files(observed):
    """Files of the source detection; detections of an observed field are matched to no halo."""
    return realization_files("catalogue") if observed else realization_files("catalogue", "matches")


def in_order(block):
    """A block with its keys sorted, so that writing the same keys in another order re-runs nothing."""
    if isinstance(block, dict):
        return {key: in_order(block[key]) for key in sorted(block)}
    return [in_order(entry) for entry in block] if isinstance(block, list) else block


def code(script, *modules):
    """Hash of what an adapter and modules do; comments and layout don't count."""
    step = " ".join([script, *modules])
    if step not in CODE:
        CODE[step] = source_hash(modules, [ROOT / "workflow" / "scripts" / f"{script}.py"])
        os.environ[CODE_INHERITED] = json.dumps(CODE)
    return CODE[step]


def step(function):
    """Params of a rule that calls a function of the package, with the function's name and the hash of its module."""
    return {"step": function, "code": code("step", function.rpartition(".")[0])}


def cosmology_of(sky):
    return in_order(config["cosmology"] | SKIES[sky].get("cosmology", {}))


def test_skies():
    """Pairs of an experiment and a sky that it is tested on."""
    return [(name, sky) for name, experiment in EXPERIMENTS.items() for sky in experiment["test_skies"]]


def absent_files():
    """Messages on a user's own files that the configuration names for skies in use but that are missing.

    Snakemake itself reports no missing input if its outputs exist; it would go on with outputs of other files.
    """
    used = {*FIELDS, *(experiment["sky"] for experiment in EXPERIMENTS.values()), *(sky for _, sky in test_skies())}
    for sky in sorted(used & {*SKIES_BY_KIND["published", False]}):
        files = {key: SKIES[sky][key] for key in PUBLISHED_FILES}
        yield from (
            f"skies.{sky}.{key}: {path}: no such file." for key, path in files.items() if not Path(path).is_file()
        )
    for sky in sorted(name for name in used if SKIES[name]["source"] == "files"):
        for name in SKIES[sky]["realizations"]:
            missing = [path for path in input_files(SKIES[sky], name) if not Path(path).is_file()]
            yield from (f"skies.{sky}.realizations.{name}: {path}: no such file." for path in missing)
    for field, block in PUBLISHED.items():
        if not Path(block["file"]).is_file():
            yield f"observed.published.{field}: {block['file']}: no such file."


def fetches_files():
    """Whether this call is to fetch files: then they needn't exist yet."""
    # Snakemake knows its targets only after reading this; a job in its own process has the target `<rule>:`
    return "download" in {argument.rstrip(":") for argument in sys.argv}


def of_set(experiment):
    """Suffix of the file names of an experiment's images."""
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
    """Number of GPUs that a training job asks for; trainings on one machine take turns on its GPU (profiles/default)."""
    device = config["training"]["device"]
    return int(device == "gpu" or (device == "auto" and has_accelerator_plugin()))


def training_environment():
    """Environment of a training, by the configuration alone: login node and compute node must agree."""
    return "../../envs/train-gpu.yaml" if config["training"]["device"] == "gpu" else "../../envs/train.yaml"


def member_paths(suffix, members):
    return expand(f"{EXPERIMENT}/members/{{member}}{suffix}", member=members, allow_missing=True)


def training_batches():
    """Training rules by name, each with the members that a job trains and the experiments that have such a job."""
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
    """Name of a training job's log and benchmark."""
    return f"{rule_name}_{{member}}" if rule_name == "train_member" else rule_name


def each_try(amount):
    """Memory or time, growing by `amount` with each try: a job may have failed for want of it."""
    return lambda wildcards, attempt: attempt * amount


def training_minutes(members):
    """Longest time of a training job: members take turns on a CPU and share the steps on a GPU."""
    return 240 + 20 * len(members) if config["training"]["device"] == "gpu" else 240 * len(members)


if not fetches_files() and (absent := list(absent_files())):
    how = " (the same command with `-- download` at its end)" if "downloads" in config else ""
    raise WorkflowError("\n".join([*absent, f"Correct the paths in the configuration, or fetch the files{how}."]))
