import copy
import json
from pathlib import Path

import pytest
import yaml

from clustermass.config.resolve import load_config, merge
from clustermass.report.estimate import Costs, Measured, measured_costs, seconds, size, work_of
from clustermass.report.plan import Job, described, finished_runs, in_short, reasons

ROOT = Path(__file__).parents[2]
DEFAULT = load_config([ROOT / "config" / "config.yaml"])
TEST = load_config([ROOT / "config" / "config.yaml", ROOT / "config" / "test.yaml"])
NOTHING = Costs({}, {})
WORK = 20 * 2 * 4 * 16**2  #: of a training of the test run: deg2, realizations, epochs, pixels
PARAMS = "Params have changed since last execution: Union of exclusive params before and now across all output: "


def job(rule, output, reason="Missing output files: x", benchmark=None):
    path = Path("results", output)
    return Job(rule, (path,), Path("results", benchmark) if benchmark else path, reason)


def benchmark_file(path, cpu_seconds, clock=99):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tmax_rss\tcpu_time\n{clock}\tNA\t{cpu_seconds}\n")


@pytest.fixture
def finished(tmp_path):
    """Return a folder with a finished run `test`: a training, and one realization of its sky."""
    run = tmp_path / "results" / "test"
    benchmark_file(run / "fiducial/benchmarks/train_member_00.tsv", 20)
    benchmark_file(run / "fiducial/benchmarks/plot_observed_tiny_observed.tsv", "NA", clock=3)
    benchmark_file(tmp_path / "results/skies/tiny/01/benchmarks/simulate_realization.tsv", 12)
    (tmp_path / "results/skies/tiny/01/events.fits").write_bytes(bytes(4_000_000))
    (run / "config.yaml").write_text(yaml.safe_dump(TEST))
    return tmp_path


def lines(jobs, config, base, measured=NOTHING, cores=2):
    return "\n".join(described(jobs, config, cores, measured, base))


def test_work_is_the_area_of_a_sky_and_for_trainings_times_epochs_realizations_pixels_and_networks():
    assert work_of(Path("skies/tiny/01/events.fits"), TEST) == 20
    assert work_of(Path("skies/embedded/01/events.fits"), TEST) == 140
    assert work_of(Path("test/fiducial/benchmarks/train_member_07.tsv"), TEST) == WORK
    assert work_of(Path("test/fiducial/benchmarks/train_members_05_09.tsv"), TEST) == 5 * WORK
    assert work_of(Path("test/fiducial/benchmarks/evaluate.tsv"), TEST) == 1


def test_costs_grow_with_the_work_but_not_the_start_of_a_job(finished):
    costs = [Costs.of(TEST, *measured_costs(TEST, finished / "results"))]
    assert seconds("train_member", WORK, costs) == 20
    assert seconds("train_member", 10 * WORK, costs) == 8 + 12 * 10  # 8 s to start
    assert seconds("simulate_realization", 140, costs) == 2 + 10 * 7
    assert seconds("plot_observed", 1, costs) == 3  # too short for its CPU time to be measured
    assert seconds("never_run", 1, costs) is None
    assert seconds("evaluate_sky", 1, [Costs({"evaluate": [Measured(1, 5)]}, {})]) == 5
    assert size(Path("results/skies/embedded/07/events.fits"), 140, costs) == 7 * 4_000_000
    assert size(Path("results/test/never.nc"), 1, costs) is None


def test_of_several_runs_the_one_with_similar_work_counts():
    small, large = (Costs.of(config, {path: value}, {}) for config, path, value in (
        (TEST, "test/fiducial/benchmarks/train_member_00.tsv", 10),
        (DEFAULT, "default/fiducial/benchmarks/train_member_00.tsv", 30),
    ))  # fmt: skip
    default_work = work_of(Path("default/fiducial/benchmarks/train_member_00.tsv"), DEFAULT)
    assert seconds("train_member", default_work, [small, large]) == 30
    assert seconds("train_member", WORK, [small, large]) == 10


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("Missing output files: results/a", ["not made yet"]),
        (f"{PARAMS}before: {{'a': 1}} now: {{'a': 2}} ", ["settings changed"]),
        (f"{PARAMS}before: '0123456789abcdef' now: 'fedcba9876543210' ", ["code changed"]),
        (f"{PARAMS}before: '0123456789abcdef',1 now: 2 ; Set of input files has changed since last execution",
         ["settings changed", "code changed", "other input files"]),
        ("Input files updated by another job: results/b", ["its input is made anew"]),
        ("Updated input files: c; Input files updated by another job: results/b", ["input file changed"]),
    ],
)  # fmt: skip
def test_reasons_in_words(said, ours, tmp_path):
    assert reasons(job("evaluate", "a", said), tmp_path) == ours


def test_a_step_with_some_of_its_files_was_made_before(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a").touch()
    assert reasons(job("evaluate", "a"), tmp_path) == ["some of its files are missing"]


def test_a_change_is_shown_by_key_with_steps_time_and_disk(finished):
    config = merge(TEST, {"training": {"recipes": {"clustermass": {"epochs": 8}}}})
    anew = [
        job("train_member", f"test/fiducial/members/{member}.nc", f"{PARAMS}before: 1 now: 2 ",
            f"test/fiducial/benchmarks/train_member_{member}.tsv")
        for member in ("00", "01")
    ]  # fmt: skip
    text = lines([*anew, job("evaluate", "test/fiducial/metrics.json")], config, finished)
    assert "Changed since results/test was finished:\n  training.recipes.clustermass.epochs: 4 -> 8\n3 jobs" in text
    assert "  train_member     2      64 s  settings changed\n" in text  # 8 + 2 * 12 each
    # with 2 s of Snakemake for each job
    assert "Time: about 35 s on 2 free cores, without jobs of unknown cost (1). This is an estimate" in text
    assert "WARNING" not in text
    assert in_short(anew, config, 1, NOTHING, finished) == "Estimated time: about 68 s on 1 free core."


def test_nothing_to_do(finished):
    text = lines([], TEST, finished)
    assert text == (
        "No key has changed since results/test was finished.\nNothing would run: all results are there and up to date."
    )


def test_a_shared_sky_that_is_made_anew_is_warned_of_with_the_runs_that_use_it(finished):
    config = merge(TEST, {"run": "mine", "cosmology": {"omega_m": 0.3}, "seed": 7})
    anew = [job("simulate_realization", "skies/tiny/01/events.fits"), job("evaluate", "mine/fiducial/metrics.json")]
    text = lines(anew, config, finished)
    assert text.startswith("results/mine: no finished run is there yet.\n2 jobs")
    assert "WARNING: 1 files of shared skies (tiny) would be made anew, and other runs use them: test." in text
    assert "differs from run test: cosmology.omega_m: 0.3089 -> 0.3\n" in text
    assert "seed" not in text  # the seed of the run shapes no sky
    assert "Disk: about 0 MB more; 4 MB are replaced" in text


def test_a_sky_of_no_other_run_or_a_new_realization_is_no_warning(finished):
    again = lines([job("simulate_realization", "skies/tiny/01/events.fits")], TEST, finished)
    assert "made anew: events.fits. No other finished run uses them." in again
    new = lines([job("simulate_realization", "skies/tiny/02/events.fits")], merge(TEST, {"run": "mine"}), finished)
    assert "WARNING" not in new
    assert "made anew" not in new
    assert "Disk: about 4 MB more; 0 MB are replaced" in new


def test_configurations_that_are_not_ours_are_no_runs(finished):
    for name, text in {"broken": "a: [", "other": "a: 1", "empty": ""}.items():
        (finished / "results" / name).mkdir()
        (finished / "results" / name / "config.yaml").write_text(text)
    assert [*finished_runs(finished / "results")] == ["test"]


def test_where_nothing_ran_yet_the_measured_default_run_counts(tmp_path):
    content = json.loads((ROOT / "docs/measured/default_costs.json").read_text())
    measured = Costs.of(DEFAULT, content["seconds"], content["bytes"])
    jobs = [
        Job("train_member", (path,), path, "Missing output files: x")
        for path in [Path(f"results/default/fiducial/benchmarks/train_member_{number:02d}.tsv") for number in range(6)]
    ]
    text = lines(jobs, copy.deepcopy(DEFAULT), tmp_path, measured)
    assert "unknown" not in text
    assert "train_member     6" in text
