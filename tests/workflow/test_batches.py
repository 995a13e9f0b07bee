"""Members in batches: another batch size re-runs nothing, and existing members aren't trained again."""

import shutil

import pytest
import yaml
from runs import ROOT, jobs, snakemake

from clustermass.io.netcdf import read_netcdf

pytestmark = [pytest.mark.workflow, pytest.mark.long]
RUN = "results/test/fiducial"


def with_changes(directory, folder, changes, *arguments):
    overlay = folder / "changes.yaml"
    overlay.write_text(yaml.safe_dump(changes))
    files = [str(ROOT / "config/test.yaml"), str(overlay)]
    return snakemake(directory, "--configfile", *files, *arguments, config=None)


def test_a_batch_of_new_members_is_planned_alone(finished, tmp_path):
    planned = jobs(with_changes(finished, tmp_path, {"ensemble": {"members": 5, "members_per_job": 2}}, "-n"))
    training = {name: number for name, number in planned.items() if name.startswith("train")}
    assert training == {"train_members_02_03": 1, "train_members_04_04": 1}


OTHER_NUMBERS = {"five": {"members": 5}, "three": {"members": 3}, "as_many": {"members": None}}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, {"train_member": 1 + 5 + 3 + 2}),
        (2, {"train_members_00_01": 3, "train_members_02_02": 2, "train_members_02_03": 1, "train_members_04_04": 1}),
        (4, {"train_members_00_01": 1, "train_members_00_02": 2, "train_members_00_03": 1, "train_members_04_04": 1}),
    ],
)
def test_each_experiment_has_batches_of_its_own_number_of_members(finished, tmp_path, size, expected):
    """`fiducial`, which has members 00 and 01, gets one more; null stands for ensemble.members (2)."""
    experiments = {"fiducial": {"members": 3}, **OTHER_NUMBERS}
    changes = {"experiments": experiments, "ensemble": {"members_per_job": size}}
    planned = jobs(with_changes(finished, tmp_path, changes, "-n"))
    assert {name: number for name, number in planned.items() if name.startswith("train")} == expected
    assert planned["aggregate_ensemble"] == 4


def test_an_experiment_of_three_members_stands_beside_one_of_two(finished, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    changes = {"experiments": {"three": {"members": 3}}, "ensemble": {"members_per_job": 2}}
    done = with_changes(directory, tmp_path, changes, "--", "results/test/three/ensemble.nc")
    assert "train fiducial" not in done.stdout + done.stderr
    assert read_netcdf(directory / "results/test/three/ensemble.nc")["member"].values.tolist() == ["00", "01", "02"]
    for member in ("00", "01"):  # otherwise the experiments are the same, and so are their first members
        for suffix in ("nc", "safetensors"):
            ours, theirs = (
                directory / f"results/test/{name}/members/{member}.{suffix}" for name in ("three", "fiducial")
            )
            assert ours.read_bytes() == theirs.read_bytes()


def test_finished_members_of_a_batch_are_restored_and_only_the_new_one_is_trained(finished, tmp_path):
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory, copy_function=shutil.copy2)
    files = [
        directory / RUN / "members" / f"{member}.{kind}" for member in ("00", "01") for kind in ("nc", "safetensors")
    ]
    before = [path.read_bytes() for path in files]
    changes = {"ensemble": {"members": 3, "members_per_job": 3}}
    with_changes(directory, tmp_path, changes, "--", f"{RUN}/ensemble.nc")
    assert [path.read_bytes() for path in files] == before
    log = (directory / RUN / "logs/train_members_00_02.log").read_text()
    for member in ("00", "01"):
        assert f"member {member}: is finished, by its checkpoint" in log
        assert f"member {member}: epoch" not in log
    assert "member 02: epoch 4 of 4" in log
    assert read_netcdf(directory / RUN / "ensemble.nc")["member"].values.tolist() == ["00", "01", "02"]


def test_a_control_is_trained_and_evaluated_but_weighs_no_observed_cluster(finished, tmp_path):
    changes = {"experiments": {"blind": {"control": "noise_images"}, "few": {"train_clusters": 20}}}
    planned = jobs(with_changes(finished, tmp_path, changes, "-n"))
    assert planned["train_member"] == 4
    assert planned["evaluate"] == 2
    assert planned["infer_observed"] == 1  # of the experiment with few clusters
    assert planned["plot_comparison"] == planned["plot_learning_curve"] == 1


@pytest.mark.parametrize("changes", [{"train_clusters": 20, "redshift_noise": 0.1}, {"members": 1}])
def test_a_learning_curve_needs_experiments_that_differ_in_nothing_but_the_training_clusters(
    finished, tmp_path, changes
):
    assert (finished / "results/test/figures/comparison.svg").stat().st_size > 10_000
    assert not (finished / "results/test/figures/learning_curve.svg").exists()
    planned = jobs(with_changes(finished, tmp_path, {"experiments": {"other": changes}}, "-n"))
    assert planned["plot_comparison"] == 1
    assert "plot_learning_curve" not in planned
