"""Checked configuration, names of what is to be made, and input functions. No rules."""

import os
import sys

ROOT = Path(workflow.current_basedir).parents[1]
sys.path.insert(0, str(ROOT / "src"))
# conda environments and cluster jobs find the package by this variable: it is never installed into them
os.environ.update(PYTHONPATH=str(ROOT / "src"))

from snakemake.exceptions import WorkflowError

from clustermass.config import (
    PUBLISHED_FILES,
    check_config,
    input_files,
    realization_names,
    resolve_experiment,
    resolve_sky,
)
from clustermass.errors import InputError
from clustermass.provenance import config_hash, source_hash

try:
    check_config(config, ROOT / "workflow" / "schemas" / "config.schema.yaml")
except InputError as error:
    raise WorkflowError(str(error)) from None

RUN = config["run"]
SKIES = {name: resolve_sky(config["skies"], name) for name in config["skies"]}
EXPERIMENTS = {name: resolve_experiment(config["experiments"], name) for name in config["experiments"]}
FIELDS = config["observed"]["fields"]
# published masses by the field that they are of
PUBLISHED = {field: block for field, block in config["observed"]["published"].items() if field in FIELDS}
# controls find out what a network uses: they weigh no observed cluster
WEIGHING = [name for name, experiment in EXPERIMENTS.items() if experiment["control"] == "none"]
MEMBERS = {
    name: [f"{member:02d}" for member in range(experiment["members"] or config["ensemble"]["members"])]
    for name, experiment in EXPERIMENTS.items()
}
CANDIDATES = config["search"]["candidates"]
VALIDATED = config["validation"]["sky"]
REALIZATION_FILES = ("events", "exposure", "catalogue", "truth", "matches")
REALIZATION = "results/skies/{sky}/{realization}"
EXPERIMENT = f"results/{RUN}/{{experiment}}"
TEST_SKY = f"{EXPERIMENT}/skies/{{test_sky}}"
CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
FIGURES = [
    "energy_bands",
    "sample",
    "training",
    "predictions",
    "bias",
    "baselines",
    "calibration",
]
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
    realization=r"[A-Za-z0-9-]+",
    preprocessing="|".join(config["preprocessing"]),
    experiment="|".join(EXPERIMENTS),
    member=r"\d{2,3}",


def skies_of(source, observed):
    """Wildcard constraint: skies of one source, with or without known masses."""
    return "|".join(SKIES_BY_KIND[source, observed]) or "(?!)"


def skies_with_events():
    """Wildcard constraint: skies of photons, not of images."""
    return "|".join(name for name, sky in SKIES.items() if sky["source"] != "published") or "(?!)"


def in_order(block):
    """A block with its keys sorted, so that writing the same keys in another order re-runs nothing."""
    if isinstance(block, dict):
        return {key: in_order(block[key]) for key in sorted(block)}
    return [in_order(entry) for entry in block] if isinstance(block, list) else block


def code(script, *modules):
    """Hash of what a step's adapter and modules do; comments and layout don't count."""
    return source_hash(modules, [ROOT / "workflow" / "scripts" / f"{script}.py"])


def sky_physics(wildcards):
    """What shapes a sky's photons: how many realizations there are does not."""
    used_elsewhere = ("realizations", "observed", "cosmology")
    return in_order({k: v for k, v in SKIES[wildcards.sky].items() if k not in used_elsewhere})


def cosmology_of(sky):
    return in_order(config["cosmology"] | SKIES[sky].get("cosmology", {}))


def sky_cosmology(wildcards):
    """Cosmology of a simulated sky."""
    return cosmology_of(wildcards.sky)


def sky_realization_files(wildcards):
    """Where the user's own files of a realization of a `files` sky lie."""
    return in_order(SKIES[wildcards.sky]["realizations"][wildcards.realization])


def sky_files(wildcards):
    """The same as a flat list of input files."""
    return input_files(SKIES[wildcards.sky], wildcards.realization)


def test_skies():
    """Pairs of an experiment and a sky that it is tested on."""
    return [(name, sky) for name, experiment in EXPERIMENTS.items() for sky in experiment["test_skies"]]


def absent_files():
    """What the configuration names of a user's own files, for skies in use, that is not there.

    Snakemake itself misses no input whose outputs are there already, and would go on with those of other files.
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
    """Whether this call is to fetch files, which then aren't there yet."""
    # Snakemake knows its targets only after this is read; jobs of their own processes are called by `<rule>:`
    return "download_efeds" in {argument.rstrip(":") for argument in sys.argv}


def truth_of(wildcards):
    return [] if SKIES[wildcards.sky].get("observed") else f"{REALIZATION}/truth.fits"


def matches_of(wildcards):
    return [] if SKIES[wildcards.sky].get("observed") else f"{REALIZATION}/matches.fits"


def of_realizations(sky, name):
    return expand(
        f"results/skies/{sky}/{{realization}}/{name}",
        realization=realization_names(SKIES[sky]),
    )


def images_of_sky(wildcards):
    return of_realizations(wildcards.sky, "images.nc")


def experiment_images(wildcards):
    return of_realizations(EXPERIMENTS[wildcards.experiment]["sky"], "images.nc")


def experiment_truth(wildcards):
    return of_realizations(EXPERIMENTS[wildcards.experiment]["sky"], "truth.fits")


def experiment_smoothed(wildcards):
    experiment = EXPERIMENTS[wildcards.experiment]
    return of_realizations(experiment["sky"], f"smoothed/{experiment['preprocessing']}.nc")


def experiment_split(wildcards):
    return f"results/{RUN}/splits/{EXPERIMENTS[wildcards.experiment]['sky']}.nc"


def selection(wildcards):
    return in_order(EXPERIMENTS[wildcards.experiment]["selection"])


def network(wildcards):
    return in_order(config["network"][EXPERIMENTS[wildcards.experiment]["network"]])


def recipe(wildcards):
    return in_order(config["training"]["recipes"][EXPERIMENTS[wildcards.experiment]["recipe"]])


def redshift_noise(wildcards):
    return EXPERIMENTS[wildcards.experiment]["redshift_noise"]


def train_clusters(wildcards):
    return EXPERIMENTS[wildcards.experiment]["train_clusters"]


def control(wildcards):
    return EXPERIMENTS[wildcards.experiment]["control"]


def experiment_cosmology(wildcards):
    """Cosmology of the sky that an experiment learns from."""
    return cosmology_of(EXPERIMENTS[wildcards.experiment]["sky"])


def test_sky_cosmology(wildcards):
    return cosmology_of(wildcards.test_sky)


def test_sky_images(wildcards):
    return of_realizations(wildcards.test_sky, "images.nc")


def test_sky_truth(wildcards):
    return of_realizations(wildcards.test_sky, "truth.fits")


def test_sky_smoothed(wildcards):
    return of_realizations(
        wildcards.test_sky,
        f"smoothed/{EXPERIMENTS[wildcards.experiment]['preprocessing']}.nc",
    )


def preprocessing(wildcards):
    return in_order(config["preprocessing"][wildcards.preprocessing])


def field_images(wildcards):
    return of_realizations(wildcards.field, "images.nc")


def field_catalogues(wildcards):
    return of_realizations(wildcards.field, "catalogue.fits")


def field_realizations(wildcards):
    return realization_names(SKIES[wildcards.field])


def published_file(wildcards):
    return PUBLISHED[wildcards.field]["file"]


def published_block(wildcards):
    """How published masses are read and compared: where they lie doesn't count, their content does."""
    return in_order({key: value for key, value in PUBLISHED[wildcards.field].items() if key != "file"})


def field_smoothed(wildcards):
    return of_realizations(
        wildcards.field,
        f"smoothed/{EXPERIMENTS[wildcards.experiment]['preprocessing']}.nc",
    )


def field_is_simulated(wildcards):
    return SKIES[wildcards.field]["source"] == "embedded"


def gpus_per_training():
    """A GPU is asked of a cluster's scheduler where the configuration wants one."""
    return int(config["training"]["device"] == "gpu")


def without_execution_keys(config):
    """The configuration less what only steers execution, for which nothing is to re-run."""
    kept = {key: value for key, value in config.items() if key not in ("facts", "downloads")}
    for block, execution_only in (("training", "device"), ("ensemble", "members_per_job")):
        kept[block] = {key: value for key, value in kept[block].items() if key != execution_only}
    return kept


def images_of(wildcards):
    """How images of a sky are cut: on observed ones the true centres aren't known."""
    centre = {"centre": "detected"} if SKIES[wildcards.sky].get("observed") else {}
    return in_order({**config["images"], **centre})


def training_environment():
    """By the configuration alone: login node and compute node must agree."""
    return "../../envs/train-gpu.yaml" if config["training"]["device"] == "gpu" else "../../envs/train.yaml"


def member_paths(suffix, members):
    return expand(f"{EXPERIMENT}/members/{{member}}{suffix}", member=members, allow_missing=True)


def member_files(suffix):
    """Input function: the files of all members of an experiment."""
    return lambda wildcards: expand(
        member_paths(suffix, MEMBERS[wildcards.experiment]), experiment=wildcards.experiment
    )


def training_batches():
    """Names of the training rules; of each, the members that a job trains and the experiments that have such a job."""
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
    """So much memory or time, and as much again with each retry: a job may have failed for want of it."""
    return lambda wildcards, attempt: attempt * amount


def training_minutes(members):
    """Longest time of a training job: members take turns on a CPU and share the steps on a GPU."""
    return 240 + 20 * len(members) if gpus_per_training() else 240 * len(members)


def candidate_ensembles(wildcards):
    if not CANDIDATES:
        raise WorkflowError("search.candidates is empty; name experiments there, as config/search.yaml does.")
    return expand(f"{EXPERIMENT}/ensemble.nc", experiment=CANDIDATES)


def candidate_split(wildcards):
    """Split of the sky that all candidates learn from."""
    return f"results/{RUN}/splits/{EXPERIMENTS[CANDIDATES[0]]['sky']}.nc" if CANDIDATES else []


def candidate_settings():
    """Of each candidate, in the order of the configuration, what its members are trained with."""
    kept = ("redshift_noise", "train_clusters")
    blocks = {"preprocessing": config["preprocessing"], "network": config["network"]}
    blocks["recipe"] = config["training"]["recipes"]
    return {
        name: {
            **{key: in_order(block[EXPERIMENTS[name][key]]) for key, block in blocks.items()},
            **{key: EXPERIMENTS[name][key] for key in kept},
        }
        for name in CANDIDATES
    }


def all_figures():
    of_experiments = expand(
        f"{EXPERIMENT}/figures/{{figure}}.{{suffix}}",
        experiment=EXPERIMENTS,
        figure=FIGURES,
        suffix=["svg", "png"],
    )
    of_fields = expand(
        f"{EXPERIMENT}/observed/{{field}}/masses.{{suffix}}",
        experiment=WEIGHING,
        field=FIELDS,
        suffix=["svg", "png"],
    )
    of_comparisons = expand(
        f"{EXPERIMENT}/observed/{{field}}/comparison.{{suffix}}",
        experiment=WEIGHING,
        field=PUBLISHED,
        suffix=["svg", "png"],
    )
    return figures_of_the_run() + of_experiments + of_fields + of_comparisons


def all_comparisons():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/comparison.json",
        experiment=WEIGHING,
        field=PUBLISHED,
    )


def all_masses():
    return expand(
        f"{EXPERIMENT}/observed/{{field}}/masses.{{suffix}}",
        experiment=WEIGHING,
        field=FIELDS,
        suffix=["fits", "vot", "ecsv", "nc"],
    )


def all_metrics():
    return expand(f"{EXPERIMENT}/metrics.json", experiment=EXPERIMENTS)


def metrics_of_test_skies():
    """Metrics by experiment and, in it, by test sky."""
    paths = {name: {} for name in EXPERIMENTS}
    for name, sky in test_skies():
        paths[name][sky] = f"{TEST_SKY}/metrics.json".format(experiment=name, test_sky=sky)
    return paths


def all_metrics_of_test_skies():
    return [path for paths in metrics_of_test_skies().values() for path in paths.values()]


def compared():
    """Rows of the comparison of all experiments: each on its own test set, then on each of its further skies."""
    return [
        {"experiment": name, "sky": sky, **trained_with(name)}
        for name, experiment in EXPERIMENTS.items()
        for sky in (None, *experiment["test_skies"])
    ]


def trained_with(name):
    """What figures and tables say of an experiment's training beside what its metrics tell."""
    recipe = config["training"]["recipes"][EXPERIMENTS[name]["recipe"]]
    return {"epochs": recipe["epochs"], "control": EXPERIMENTS[name]["control"]}


def learning_curve():
    """Those rows whose experiments differ from others in `train_clusters` alone, with a name of such a family."""
    aside = ("train_clusters", "members", "test_skies")
    families = {}
    for name in WEIGHING:
        kept = config_hash({key: value for key, value in EXPERIMENTS[name].items() if key not in aside})
        families.setdefault(kept, []).append(name)
    several = [names for names in families.values() if len({EXPERIMENTS[n]["train_clusters"] for n in names}) > 1]
    family = {name: names[0] for names in several for name in names}
    return [{"family": family[row["experiment"]], **row} for row in compared() if row["experiment"] in family]


def metrics_of(rows):
    paths = {None: f"{EXPERIMENT}/metrics.json"}
    return [
        paths.get(row["sky"], f"{TEST_SKY}/metrics.json").format(experiment=row["experiment"], test_sky=row["sky"])
        for row in rows
    ]


def figures_of_the_run():
    """Figures that show all experiments."""
    names = ["comparison", *(["learning_curve"] if learning_curve() else [])]
    return expand(f"results/{RUN}/figures/{{figure}}.{{suffix}}", figure=names, suffix=["svg", "png"])


def all_targets():
    return [
        f"results/{RUN}/report.html",
        f"results/{RUN}/summary.json",
        *all_metrics(),
        *all_metrics_of_test_skies(),
        *all_masses(),
        *all_comparisons(),
        *all_figures(),
    ]


if not fetches_files() and (absent := list(absent_files())):
    how = " (the same command with `-- download_efeds` at its end)" if "downloads" in config else ""
    raise WorkflowError("\n".join([*absent, f"Correct the paths in the configuration, or fetch the files{how}."]))
