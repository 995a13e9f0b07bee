"""`clustermass recovered`: which injected clusters count as detected, and the scores of their masses."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from event_lists import START

from clustermass import cli, figures
from clustermass.apply import recovered as module
from clustermass.apply.recovered import recover, scores, summarise
from clustermass.errors import InputError
from clustermass.events.eventlist import EventList
from clustermass.events.write import write_events, write_labels
from clustermass.io.products import CATALOGUE, TRUTH, write_table

#: distances between clusters in deg
STEP = 0.2
#: error of the fake masses in dex, by SRC_ID
OFFSET = {1: 0.1, 2: -0.1}


def write_injected(folder, counts=(100, 100, 100, 100, 4)):
    """Write a field with five injected clusters in a row, as `inject` does, and its catalogue of detections.

    The first two are detected. The third is detected as a point source. The fourth isn't detected. At the fifth is a
    detection, most of whose photons aren't the cluster's.
    """
    folder.mkdir(parents=True)
    number = len(counts)
    ra, dec = 150.0 + STEP * np.arange(number), np.full(number, 2.0)
    label = np.repeat(np.arange(number), counts)
    rng = np.random.default_rng(1)
    at = [place[label] + rng.normal(0, 10 / 3600, len(label)) for place in (ra, dec)]
    background = [rng.uniform(149.8, 151.0, 20_000), rng.uniform(1.8, 2.2, 20_000)]
    all_ra, all_dec = (np.append(two, one) for one, two in zip(at, background, strict=True))
    photons = len(all_ra)
    same = {"tm_nr": np.uint8, "pat_typ": np.int16}
    events = EventList(
        ra=all_ra, dec=all_dec, pi_ev=np.full(photons, 1000.0, np.float32), flag=np.zeros(photons, np.uint32),
        time=np.full(photons, START + 1.0), dialect="clustermass", name="planted", gti={}, simulated=True,
        **{name: np.ones(photons, kind) for name, kind in same.items()},
    )  # fmt: skip
    write_events([events], folder / "events.fits")
    write_labels([np.append(np.zeros(20_000), label + 1).astype(np.int32)], folder / "labels.fits")
    truth = {column.name: np.zeros(number) for column in TRUTH}
    truth |= {"SRC_ID": np.arange(1, number + 1), "HALO_ID": np.arange(1, number + 1), "RA": ra, "DEC": dec}
    truth |= {"Z": np.linspace(0.1, 0.5, number), "LOG10_M500C": np.full(number, 14.1), "COUNTS": np.array(counts)}
    write_table(folder / "truth.fits", "TRUTH", TRUTH, truth | {"FLUX": np.full(number, 3e-14)})
    rows = [0, 1, 2, 4]
    found = {column.name: np.zeros(4) for column in CATALOGUE if not column.optional}
    found |= {"ID_SRC": np.array([11, 12, 13, 15]), "RA": ra[rows], "DEC": dec[rows], "Z_TYPE": np.full(4, "none")}
    found |= {"DET_LIKE": np.full(4, 50.0), "EXT_LIKE": np.array([20.0, 20.0, 0.0, 20.0]), "Z": np.full(4, np.nan)}
    found |= {"ML_CTS": np.array([100.0, 110.0, 100.0, 60.0]), "ML_EXP": np.full(4, 1000.0)}
    write_table(folder / "catalogue.fits", "CATALOGUE", CATALOGUE, found)
    return folder


def fake_masses(events, catalogue, ensemble, output, exposure, overwrite, log):
    """Return masses of the clusters with a redshift, in the reverse order; the one of SRC_ID 2 has a flag."""
    table = Table.read(catalogue)
    table = table[np.isfinite(table["Z"])][::-1]
    src_id = np.rint((table["RA"] - 150.0) / STEP).astype(int) + 1
    assert np.allclose(table["Z"], 0.1 * src_id)
    assert set(table["Z_TYPE"]) == {"spec"}
    mass = np.array([14.1 + OFFSET[number] for number in src_id.tolist()])
    table = Table({"ID_SRC": table["ID_SRC"], "LOGM500": mass, "GOOD": (src_id != 2).astype(int)})
    table["LOGM500_ERR"] = 0.15
    return table


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Write a folder of five injected clusters, and make masses fake."""
    monkeypatch.setattr(module, "masses_of_field", fake_masses)
    (tmp_path / "map.fits").touch()
    return write_injected(tmp_path / "injected")


def test_detected_clusters_get_their_redshift_and_mass(folder, tmp_path):
    table = Table.read(recover(folder, [tmp_path / "map.fits"], tmp_path))
    assert table["SRC_ID"].tolist() == [1, 2, 3, 4, 5]
    assert table["ID_SRC"].tolist() == [11, 12, -1, -1, -1]
    assert np.allclose(table["LOGM500"][:2], [14.2, 14.0])
    assert np.isnan(np.ma.filled(table["LOGM500"], np.nan)[2:]).all()
    assert table["GOOD"].tolist() == [1, 0, 0, 0, 0]
    assert np.all(table["PURITY"][:2] > 0.5)
    assert np.all(table["SEPARATION"][:2] < 0.1)
    clusters = Table.read(folder / "clusters.fits")
    assert np.ma.count(clusters["Z"]) == np.isfinite(np.ma.filled(clusters["Z"], np.nan)).sum() == 2
    assert len(clusters) == 4


def test_summary_counts_clusters_and_masses_of_all_folders(folder, tmp_path):
    one = recover(folder, [tmp_path / "map.fits"], tmp_path)
    two = recover(write_injected(tmp_path / "second"), [tmp_path / "map.fits"], tmp_path)
    alone, both = summarise([one]), summarise([one, two], tmp_path / "all.json")
    assert both["all"]["injected"] == 10
    assert both["all"]["detected"] == 2 * alone["all"]["detected"]
    assert both["good"]["n"] == 2 * alone["good"]["n"] == both["all"]["n"] - 2
    (row,) = [row for row in both["by_log10_m500c"] if row["injected"]]
    assert (row["low"], row["high"]) == (14.0, 14.25)
    assert sum(row["injected"] for row in both["by_redshift"]) == 10
    assert sum(row["injected"] for row in both["by_log10_flux_cgs"]) == 10
    assert json.loads((tmp_path / "all.json").read_text())["all"] == both["all"]


def test_nothing_detected_is_a_result_too(folder, tmp_path):
    with fits.open(folder / "catalogue.fits", mode="update") as hdus:
        hdus["CATALOGUE"].data["EXT_LIKE"] = 0.0
    table = recover(folder, [tmp_path / "map.fits"], tmp_path)
    result = summarise([table])
    assert result["all"]["detected"] == 0
    assert result["all"]["bias_dex"] is None
    assert figures.recovered([table]).axes


def test_the_command_prints_and_writes_the_result(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ensemble.zip").touch()
    arguments = ["recovered", "injected", "--exposure", "map.fits", "--ensemble", "ensemble.zip"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "of 5 injected clusters detected" in printed
    assert "14 to 14.25" in printed
    assert (tmp_path / "recovered.json").is_file()
    assert (tmp_path / "recovered.png").is_file()
    assert cli.main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert cli.main([*arguments, "--overwrite"]) == 0


def test_sources_are_detected_if_there_is_no_catalogue(folder, tmp_path, monkeypatch):
    (folder / "catalogue.fits").rename(tmp_path / "made.fits")
    called = []

    def detect(events, exposure, output):
        called.append((events, exposure))
        output.write_bytes((tmp_path / "made.fits").read_bytes())

    monkeypatch.setattr(module, "detect_field", detect)
    recover(folder, [tmp_path / "map.fits"], tmp_path)
    assert called == [([folder / "events.fits"], [tmp_path / "map.fits"])]


def test_a_folder_without_injected_clusters_is_refused(tmp_path, capsys):
    (tmp_path / "map.fits").touch()
    arguments = ["recovered", str(tmp_path), "--exposure", str(tmp_path / "map.fits")]
    assert cli.main([*arguments, "--output", "all.txt"]) == 1
    assert "must end in .json" in capsys.readouterr().err
    assert cli.main([*arguments, "--ensemble", str(tmp_path), "--output", str(tmp_path / "all.json")]) == 1
    error = capsys.readouterr().err
    assert "no such file" in error
    assert "truth.fits" in error


def test_labels_of_another_list_are_refused(folder, tmp_path):
    write_labels([np.zeros(7, dtype=np.int32)], folder / "labels.fits")
    with pytest.raises(InputError, match="7 labels, but"):
        recover(folder, [tmp_path / "map.fits"], tmp_path)


def test_scores_have_the_errors_of_repeated_samples():
    rng = np.random.default_rng(1)
    draws = rng.normal(0.05, 0.2, (400, 100))
    results = [scores(draw, rng.random(100) < 0.3) for draw in draws]
    for name, truth in (("bias_dex", 0.05), ("scatter_dex", 0.2), ("completeness", 0.3)):
        values = np.array([result[name] for result in results])
        assert values.mean() == pytest.approx(truth, rel=0.1)
        assert np.mean([result[f"{name}_error"] for result in results]) == pytest.approx(values.std(), rel=0.15)


def test_scores_without_masses_are_none():
    result = scores(np.full(4, np.nan), np.zeros(4, dtype=bool))
    assert (result["injected"], result["detected"], result["n"], result["bias_dex"]) == (4, 0, 0, None)
    assert result["completeness_error"] > 0.1
    empty = scores(np.zeros(0), np.zeros(0, dtype=bool))
    assert empty["completeness"] is None
