"""What is made again after a change of a key of the configuration, a module, a script, an environment or an input file.

Snakemake's plans are compared with docs/regenerate.yaml, and for modules with the imports of the running scripts.
"""

import ast
import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase

import pytest
import rerun_keys
import yaml
from rerun import (
    CONFIG,
    NOTHING,
    ROOT,
    UNPLANNED,
    ask,
    copy_of_the_repository,
    input_files,
    module_faults,
    request,
    results_folder,
    rule_name,
    rules,
)
from rerun_keys import TABLE, all_leaves, entry_of, key_faults, read_faults

pytestmark = pytest.mark.workflow
FIELD = (
    "events.fits",
    "clusters.csv",
    "luminosities.fits",
    "exposure.fits",
    "second_events.fits",
    "second_clusters.csv",
)
FILES = {  # of tests/workflow/rerun_config.yaml, by the rule that reads them
    "ingest_field": FIELD,
    "ingest_mock": ("mock_events.fits", "mock_clusters.csv", "mock_truth.csv"),
    "ingest_published": ("images.pickle", "published.fits"),
    "compare_published": ("masses.csv",),
}
READ_BY = {f"data/{name}": rule for rule, names in FILES.items() for name in names}
CALIBRATION = "src/clustermass/ensemble/calibration.py"
# in place of conda: the answers that Snakemake asks for before it compares environments
CONDA = """#!/bin/sh
case "$1" in
  --version) echo conda 25.1.0 ;;
  info) echo '{"platform": "linux-64", "conda_prefix": "/nowhere"}' ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
esac
"""


@pytest.fixture
def repository(tmp_path):
    """Copy of the repository, which a test may change."""
    return copy_of_the_repository(tmp_path / "repository")


@pytest.fixture
def folder(tmp_path):
    """Folder with all that tests/workflow/rerun_config.yaml reads."""
    return results_folder(tmp_path / "results_here")


@pytest.fixture(scope="module")
def table():
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def append(paths, text):
    for path in paths:
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.long
def test_every_key_makes_anew_just_what_the_table_says(tmp_path):
    # one plan takes one to two seconds, so that all keys are planned only in `make campaign`
    assert key_faults(ROOT, tmp_path, every=int(os.environ.get("CLUSTERMASS_KEYS_EVERY", "4"))) == []


def test_the_table_of_the_page_is_that_of_the_entries():
    command = [sys.executable, str(ROOT / "docs" / "regenerate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_only_keys_that_should_make_everything_anew_do(table):
    rest = {"images", "training", "evaluation", "masses", "figures"}
    far = {key for key in all_leaves() if rest < {*entry_of(key, table)["stages"]}}
    assert [key for key in far if not any(fnmatchcase(key, pattern) for pattern in table["everything"])] == []
    assert len(far) > 50


def test_every_rule_has_a_stage_a_job_and_a_hash_of_its_code(folder, table):
    defined, planned = ask(ROOT, folder, request("rules"), request("plan"))
    assert {rule_name(rule) for rule in defined} == {rule for stage in table["stages"].values() for rule in stage}
    assert {*rules(planned["anew"])} == {rule_name(rule) for rule in defined} - {*UNPLANNED}
    assert [rule for rule, parts in defined.items() if "code" not in parts["params"] or not parts["script"]] == []


@pytest.mark.long
def test_every_module_changes_the_hash_of_just_the_rules_whose_scripts_import_it(repository, folder):
    assert [*module_faults(repository, folder)] == []


@pytest.mark.long
def test_every_script_is_the_cause_for_the_rules_that_it_serves_alone(repository, folder):
    defined, _ = ask(repository, folder, request("rules"), request("finish"))
    scripts = sorted((repository / "workflow" / "scripts").glob("*.py"))
    answers = ask(repository, folder, *(request("plan", alter=str(path)) for path in scripts))
    for script, answer in zip(scripts, answers, strict=True):
        served = {rule_name(rule) for rule, parts in defined.items() if parts["script"] == script.name}
        assert served, script
        assert rules(answer["causes"]) == served - {*UNPLANNED}, script
    append([repository / "workflow" / "report" / "bias.rst"], "\nMore.\n")
    assert rules(ask(repository, folder, request("plan"))[0]["anew"]) == {"report"}, "a caption"


@pytest.mark.long
def test_an_input_files_content_counts_and_its_time_does_not(folder):
    assert {*input_files()} == READ_BY.keys() | {"data/table.fits"}  # the last is a download's, read by no rule
    ask(ROOT, folder, request("finish"))
    for name in READ_BY:
        os.utime(folder / name)
    for path in folder.rglob("*.fits"):
        os.utime(path)  # one of them, as large as a real event list, beyond Snakemake's own limit for checksums
    (untouched,) = ask(ROOT, folder, request("plan"))
    assert untouched == NOTHING
    for name, rule in READ_BY.items():
        text = (folder / name).read_text()
        (folder / name).write_text(f"{text} and more")
        (planned,) = ask(ROOT, folder, request("plan"))
        assert rules(planned["causes"]) == {rule}, name
        (folder / name).write_text(text)


@pytest.mark.long
def test_what_changes_no_result_makes_nothing_anew(repository, folder, tmp_path):
    (_, again) = ask(repository, folder, request("finish"), request("plan", cores=7))
    assert again == NOTHING
    checkout = copy_of_the_repository(tmp_path / "elsewhere" / "checkout")
    assert ask(checkout, folder, request("plan")) == [NOTHING], "a fresh checkout, in another place"
    append(repository.rglob("*.py"), "\n# a comment\n")
    append([*repository.rglob("*.smk"), *repository.rglob("*.yaml"), *repository.rglob("Snakefile")], "\n# a comment\n")
    assert ask(repository, folder, request("plan")) == [NOTHING], "comments"
    reordered = reverse(CONFIG), reverse(yaml.safe_load((repository / "config" / "config.yaml").read_text()))
    (repository / "config" / "config.yaml").write_text(yaml.safe_dump(reordered[1], sort_keys=False))
    assert ask(repository, folder, {**request("plan"), "config": reordered[0]}) == [NOTHING], "another order of keys"
    replace(repository / "src" / "clustermass" / "__init__.py", "__version__ = ", "__version__ = 'new' + ")
    for path in (repository / "envs").glob("*.yaml"):
        path.write_text(re.sub(r"=(\d+)\.", r"=1\1.", path.read_text()))
    assert ask(repository, folder, request("plan")) == [NOTHING], "a release, other versions of packages"


def reverse(block):
    """Return the block with its keys, and those of all blocks in it, in reverse."""
    if isinstance(block, dict):
        return {key: reverse(block[key]) for key in reversed(block)}
    return block


@pytest.mark.long
def test_packages_of_a_conda_environment_make_anew_what_runs_in_it(repository, folder, tmp_path, table):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "conda").write_text(CONDA)
    (tmp_path / "bin" / "conda").chmod(0o755)

    def plan(*requests):
        return ask(repository, folder, *({**each, "conda": True} for each in requests), path=str(tmp_path / "bin"))[-1]

    assert plan(request("finish"), request("plan")) == NOTHING
    assert rules(plan(request("plan", {"training": {"device": "gpu"}}))["causes"]) == {"train_member", "predict_sky"}
    environment = repository / "envs" / "figures.yaml"
    append([environment], "\n      - unrelated==1.0\n")
    figures = {*table["stages"]["figures"], "plot_sky_validation", "paper_page"}
    assert rules(plan(request("plan"))["causes"]) == figures


def test_two_runs_lie_side_by_side_and_share_skies_and_images(folder):
    other = {"run": "other", "training": {"recipes": {"clustermass": {"epochs": 5}}}}
    _, planned = ask(ROOT, folder, request("finish"), request("plan", other))
    shared = ("simulate", "detect", "ingest", "extract", "smooth", "compare_sky", "plot_sky_validation", "write_simput")
    assert not [rule for rule, _ in planned["anew"] if rule.startswith(shared)]
    assert all(output.startswith("results/other/") for _, output in planned["anew"])
    answers = ask(ROOT, folder, request("finish", other), request("plan", other), request("plan"))
    assert answers[1:] == [NOTHING, NOTHING]


def test_blocks_that_nothing_uses_make_anew_only_the_report(folder):
    changes = {
        "skies": {"erass1": {"exposure": {"depth_s": 140.0}}, "spare": {"like": "embedded"}},
        "network": {"wide": {"catalogue_dropout": 0.1}},
        "training": {"recipes": {"clustermass_large": {"epochs": 7}}},
    }
    _, planned = ask(ROOT, folder, request("finish"), request("plan", changes))
    assert rules(planned["anew"]) == {"report"}


def test_another_experiment_of_the_same_sky_makes_anew_nothing_of_it_nor_of_others(folder):
    more = {"experiments": {"more": {"redshift_noise": 0.02, "members": 1, "test_skies": []}}}
    _, planned = ask(ROOT, folder, request("finish"), request("plan", more))
    assert rules(planned["anew"]) >= {"train_member", "evaluate", "infer_observed", "plot_comparison"}
    of_the_run = ("more/", "figures/", "summary.json", "report.html", "paper", "pairs.json")
    allowed = tuple(f"results/matrix/{name}" for name in of_the_run)
    assert all(output.startswith(allowed) for _, output in planned["anew"])


def test_one_more_realization_and_one_more_member_are_made_alone(folder):
    changes = {"skies": {"embedded": {"realizations": 2}}, "experiments": {"few": {"members": 2}}}
    _, planned = ask(ROOT, folder, request("finish"), request("plan", changes))
    steps = ("simulate", "detect", "match", "extract", "smooth")
    made = [output for rule, output in planned["anew"] if rule.startswith(steps)]
    names = ("events.fits", "detections.fits", "catalogue.fits", "images.nc", "smoothed/central.nc", "images_other.nc")
    assert {*made} == {f"results/skies/embedded/02/{name}" for name in (*names, "smoothed_other/scaled.nc")}
    (_, planned) = ask(ROOT, folder, request("finish"), request("plan", {"experiments": {"few": {"members": 2}}}))
    trained = [output for rule, output in planned["anew"] if rule.startswith("train")]
    assert trained == ["results/matrix/few/members/01.nc"]


@pytest.mark.parametrize("size", [2, 7])
def test_another_number_of_members_a_job_makes_nothing_anew(folder, size):
    changes = {"ensemble": {"members_per_job": size}}
    assert ask(ROOT, folder, request("finish"), request("plan", changes))[1] == NOTHING


def test_scripts_read_nothing_that_snakemake_does_not_record():
    assert [*read_faults(ROOT)] == []


# Planted faults: each of the checks above finds what it is there to find.


def test_a_key_read_behind_snakemakes_back_is_found(repository, tmp_path):
    call = "    function(**paths"
    read = '    options["recalibration"] = snakemake.config["ensemble"]["recalibration"]\n'
    replace(repository / "workflow" / "scripts" / "step.py", call, read + call)
    assert len([*read_faults(repository)]) == 1
    param = '        recalibration=config["ensemble"]["recalibration"],\n'
    replace(repository / "workflow" / "rules" / "ensemble.smk", param, "")
    faults = key_faults(repository, tmp_path, only=["ensemble.recalibration"])
    assert "ensemble.recalibration: makes nothing anew" in faults[0]


READS = ("snakemake.resources.gpu", "snakemake.config", "vars(snakemake)", 'snakemake.config.get("seed")')


@pytest.mark.parametrize("read", READS)
def test_other_ways_to_read_behind_its_back_are_found(repository, read):
    append([repository / "workflow" / "scripts" / "step.py"], f"\nprint({read})\n")
    assert len([*read_faults(repository)]) == 1


def test_a_key_without_an_entry_is_reported_with_what_it_needs(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(rerun_keys, "keys", lambda: [("ensemble.novelty", {"type": ["number"]})])
    (fault,) = key_faults(repository, tmp_path, only=["ensemble.novelty"])
    assert "ensemble.novelty: 0 entries in docs/regenerate.yaml are about it" in fault


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workflow/scripts/step.py", "__import__('clustermass.cosmology')"),
        (CALIBRATION, "from ..cosmology import *"),
        (CALIBRATION, "import importlib; importlib.import_module('clustermass.cosmology')"),
    ],
)
def test_a_module_that_is_not_declared_is_found(repository, folder, name, text):
    path = repository / name
    lines = path.read_text().splitlines(keepends=True)
    docstring = ast.parse("".join(lines)).body[0].end_lineno
    path.write_text("".join([*lines[:docstring], f"{text}\n", *lines[docstring:]]))
    faults = [*module_faults(repository, folder, only="calibrate")]
    assert "calibrate: imports cosmology.py, whose change doesn't change its param `code`" in faults


@pytest.mark.long
@pytest.mark.parametrize("stamp", ["__import__('time').time()", "(ROOT / 'Snakefile').stat().st_mtime"])
def test_a_time_stamp_as_trigger_is_found(repository, folder, stamp):
    rule = repository / "workflow" / "rules" / "dataset.smk"
    hash_of_split = '**step("dataset.split.split_sample'
    replace(rule, hash_of_split, f"stamp={stamp}, {hash_of_split}")
    ask(repository, folder, request("finish"))
    os.utime(repository / "Snakefile")
    (planned,) = ask(repository, folder, request("plan"))
    assert rules(planned["causes"]) == {"split_sample"}
    assert any("of the clock" in fault for fault in read_faults(repository))


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "touched", "cause"),
    [
        ("software-env]", "software-env, code]", "repository/workflow/scripts/train_members.py", "train_member"),
        # the first rule to read a large file
        ("size: 1073741824", "size: 1000000", "results_here/results/skies/embedded/01/events.fits", "detect_sources"),
    ],
)
def test_time_stamps_of_scripts_and_large_files_are_found(repository, folder, tmp_path, old, new, touched, cause):
    replace(repository / "profiles" / "default" / "config.yaml", old, new)
    ask(repository, folder, request("finish"))
    os.utime(tmp_path / touched)
    assert rules(ask(repository, folder, request("plan"))[0]["causes"]) == {cause}
