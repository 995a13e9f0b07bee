"""Time and memory by step from tables as Snakemake writes them."""

from clustermass.report.costs import costs_by_step, folders_of, labels_of

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
CONFIG = {
    "run": "r",
    "skies": {"tiny": {}, "tiny_observed": {}, "unused": {}},
    "preprocessing": {"central": {}},
    "experiments": {"fiducial": {"sky": "tiny", "test_skies": ["further"]}, "other": {}},
    "observed": {"fields": ["tiny_observed"]},
}


def job(path, seconds, memory="100.5", cpu="2.5"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t{cpu}\n")


def test_jobs_are_summed_up_by_step_whatever_follows_its_name(tmp_path):
    job(tmp_path / "r/fiducial/benchmarks/train_member_00.tsv", 10, memory=600)
    job(tmp_path / "r/fiducial/benchmarks/train_member_01.tsv", 30, memory=700)
    job(tmp_path / "r/fiducial/benchmarks/train_members_00_17.tsv", 5)
    job(tmp_path / "r/benchmarks/split_sample_tiny.tsv", 0.5, memory="NA", cpu="NA")
    job(tmp_path / "r/fiducial/benchmarks/infer_observed_tiny_observed.tsv", 2)
    job(tmp_path / "r/benchmarks/report.tsv", 99)
    job(tmp_path / "skies/tiny/01/benchmarks/smooth_images_central.tsv", 1)
    job(tmp_path / "skies/unused/01/benchmarks/smooth_images_central.tsv", 1000)
    steps = costs_by_step(folders_of(CONFIG, tmp_path), labels_of(CONFIG))
    assert [row["step"] for row in steps] == [
        "train_member", "train_members", "infer_observed", "smooth_images", "split_sample",
    ]  # fmt: skip
    trained, split = steps[0], steps[-1]
    assert (trained["jobs"], trained["seconds"], trained["seconds_median"], trained["seconds_max"]) == (2, 40, 20, 30)
    assert (trained["cpu_seconds"], trained["megabytes_max"]) == (5, 700)
    assert (split["cpu_seconds"], split["megabytes_max"]) == (None, None)


def test_jobs_of_image_sets_count_with_the_others(tmp_path):
    job(tmp_path / "skies/tiny/01/benchmarks/extract_images.tsv", 1)
    job(tmp_path / "skies/tiny/01/benchmarks_large_box/extract_images.tsv", 3)
    job(tmp_path / "skies/tiny/01/benchmarks_large_box/smooth_images_central.tsv", 2)
    steps = costs_by_step(folders_of(CONFIG, tmp_path), labels_of(CONFIG))
    assert [(row["step"], row["jobs"], row["seconds"]) for row in steps] == [
        ("extract_images", 2, 4), ("smooth_images", 1, 2),
    ]  # fmt: skip


def test_the_folders_of_a_run_are_its_own_and_those_of_the_skies_that_it_uses(tmp_path):
    names = {path.relative_to(tmp_path).as_posix() for path in folders_of(CONFIG, tmp_path)}
    assert names == {"r", "skies/tiny", "skies/further", "skies/tiny_observed"}
