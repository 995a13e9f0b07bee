"""What `import clustermass` offers: quick, complete, and the same numbers as the command line."""

import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from test_apply_field_parts import write_ensemble

import clustermass
from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.cli import main
from clustermass.config.resolve import default_config
from clustermass.ensemble import released
from clustermass.interface import ensemble as interface
from clustermass.interface.inputs import as_files
from clustermass.io import room


@pytest.fixture(scope="module")
def field():
    return clustermass.simulate_field(1.5, 1.0, seed=11, changes={"exposure": {"taper_deg": 0.1}})


@pytest.fixture(scope="module")
def folder(field, tmp_path_factory):
    """Write the files of the field, and an ensemble of two networks of random weights."""
    place = field.save(tmp_path_factory.mktemp("interface") / "field")
    write_ensemble(place)
    return place


@pytest.fixture(scope="module")
def ensemble(folder):
    return clustermass.Ensemble.load(str(folder))


@pytest.fixture(scope="module")
def catalogue(field):
    """Return the extended detections of the field; the first one has no redshift."""
    extended = field.catalogue[field.catalogue["EXT_LIKE"] > 6]
    extended["Z"][0] = np.nan
    return extended


@pytest.fixture(scope="module")
def applied(folder, field, catalogue):
    """Return an ensemble that was applied to the field once, and the mass catalogue."""
    once = clustermass.Ensemble.load(folder)
    return once, once.masses(field.events, catalogue, field.exposure)


@pytest.fixture(scope="module")
def masses(applied):
    return applied[1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("NOTE", np.array([{}, None, "é", 1, 2.0, []], object), None),
        ("Nöte", np.array(["Müller 1"] * 6), None),
        ("WHERE", SkyCoord([1] * 6, [2] * 6, unit="deg"), None),
        ("T", np.array(["2020-01-01"] * 6, "M8[s]"), "catalogue: FITS can't hold it"),
        ("N" * 100, np.ones(6), "catalogue: FITS can't hold it"),
    ],
)
def test_odd_columns_in_memory_are_read_or_refused_in_a_sentence(name, values, message, tmp_path):
    table = Table({"RA": np.arange(6.0), "DEC": np.arange(6.0), name: values})
    table.meta = {5: 1, (1,): 2, "A": float("nan"), "B": "é\n", "C" * 99: 1, "D": 10**30, "SIMULATE": True}
    fails = nullcontext() if message is None else pytest.raises(clustermass.InputError, match=message)
    with fails, as_files("events.fits", table) as (_, path, _):
        assert fits.getheader(path, 1)["SIMULATE"]
        assert read_catalogue(path, with_redshift=False)["DEC"].tolist() == table["DEC"].tolist()
    assert 5 in table.meta  # the user's own table is as it was
    assert table.colnames[2] == name


def test_metadata_in_memory_are_kept_as_far_as_they_fit_into_a_header_and_are_few():
    table = Table({"RA": [1.0], "DEC": [2.0]}, meta={"NOTE": "x" * 10**7, "comments": ["y" * 70] * 150_000, "LONG": 3})
    with as_files("events.fits", table) as (_, path, _):
        assert path.stat().st_size < 20_000
        assert fits.getheader(path, 1)["LONG"] == 3
    table.meta = {f"K{number}": number for number in range(100_000)}
    refused = pytest.raises(clustermass.InputError, match="catalogue: more than 5000 entries in the metadata")
    with refused, as_files("events.fits", table):
        pass


def test_the_import_is_quick_and_every_name_is_found():
    code = "import clustermass, sys; assert not {'numpy', 'astropy', 'jax', 'matplotlib'} & set(sys.modules)"
    code += "; [getattr(clustermass, name) for name in clustermass.__all__]"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(clustermass.__all__) <= set(dir(clustermass))
    with pytest.raises(AttributeError, match="has no attribute 'Ensembel'"):
        clustermass.Ensembel  # noqa: B018  the attribute is asked for


def test_masses_are_those_of_the_command_line(folder, catalogue, masses, tmp_path):
    catalogue.write(tmp_path / "catalogue.fits")
    files = [str(path) for path in (folder / "events.fits", tmp_path / "catalogue.fits", folder / "exposure.fits")]
    output = tmp_path / "masses.fits"
    assert main(["masses", *files[:2], "--exposure", files[2], "--ensemble", str(folder), "--output", str(output)]) == 0
    log = output.with_suffix(".log").read_text()
    assert f"{files[0]}, converted: " in log
    assert f"{files[1]}: {len(catalogue)} detections; dropped: " in log
    assert "/clustermass-" not in log  # no temporary folder
    written = Table.read(output.with_suffix(".ecsv"))
    assert masses.colnames == written.colnames
    assert np.isfinite(masses["LOGM500"]).sum() > 2
    for name in ("ID_SRC", "LOGM500", "LOGM500_ERR", "LOGM500_Q16", "EXPOSURE", "FLAG_OOD"):
        np.testing.assert_array_equal(masses[name], written[name], err_msg=name)
    assert masses["LOGM500"].unit == "dex"
    assert (masses.meta["H0"], masses.meta["ENSHASH"]) == (67.74, written.meta["ENSHASH"])


def test_files_and_what_is_in_memory_give_the_same(folder, ensemble, masses, tmp_path):
    output, events, exposure = tmp_path / "mine.fits", folder / "events.fits", folder / "exposure.fits"
    again = ensemble.masses([events], str(folder / "catalogue.fits"), exposure, output=output)
    known = np.isfinite(masses["LOGM500"])
    np.testing.assert_array_equal(again["LOGM500"][known], masses["LOGM500"][known])
    assert {".fits", ".vot", ".ecsv", ".nc"} <= {path.suffix for path in tmp_path.iterdir()}
    with pytest.raises(clustermass.InputError, match=r"mine\.fits: exists already.*overwrite=True"):
        ensemble.masses(events, folder / "catalogue.fits", exposure, output=output)
    with pytest.raises(clustermass.InputError, match=r"output is m\.csv, but must end in \.fits"):
        ensemble.masses(events, folder / "catalogue.fits", exposure, output="m.csv")


def test_without_a_path_the_released_ensemble_is_loaded(folder, monkeypatch):
    clustermass.Ensemble.load(folder).save(folder / "released.zip")
    monkeypatch.setattr(released, "RELEASED", folder / "released.zip")
    with xr.open_dataset(folder / "ensemble.nc") as trained:
        known = int((trained["split"].astype(str) == "train").sum())
    assert (
        repr(clustermass.Ensemble.load()) == f"<released ensemble: 2 networks, trained on {known} simulated clusters>"
    )
    with pytest.raises(clustermass.InputError, match=r"released\.zip: exists already\..*overwrite=True"):
        clustermass.Ensemble.load(folder).save(folder / "released.zip")
    clustermass.Ensemble.load(folder).save(folder / "released.zip", overwrite=True)
    assert (
        str(clustermass.Ensemble.load(folder))
        == f"<ensemble {folder}: 2 networks, trained on {known} simulated clusters>"
    )
    assert clustermass.Ensemble.load().digest() == clustermass.Ensemble.load(folder).digest()
    monkeypatch.setattr(released, "RELEASED", folder / "nothing.zip")
    with pytest.raises(clustermass.InputError, match=r"no released ensemble: give Ensemble\.load a path \(results"):
        clustermass.Ensemble.load()


def test_masses_over_redshift(field, catalogue, ensemble, masses):
    """At a cluster's own, exact redshift the curve is the mass of the catalogue."""
    unknown = catalogue[[name for name in catalogue.colnames if not name.startswith("Z")]]
    known = masses[np.isfinite(masses["LOGM500"])]
    grid = np.array([*known["Z"], 0.2, 3.0], dtype=float)
    curves = ensemble.masses(field.events, unknown, field.exposure, z_grid=grid)
    assert set(known["NAME"]) <= set(curves["cluster"].values.tolist())
    exact = known[known["LOGM500_ERR_Z"] == 0]
    for row in exact:
        curve = curves.sel(cluster=row["NAME"], z=float(row["Z"]))
        for name in ("LOGM500", "LOGM500_ERR", "LOGM500_Q16", "LOGM500_Q84"):
            assert float(curve[name]) == pytest.approx(float(row[name]), abs=2e-6)
    assert len(exact)
    assert curves["trained"].values.tolist() == [*((grid[:-1] > 0.1) & (grid[:-1] < 0.9)), False]
    assert curves["LOGM500"].attrs["units"] == "dex"


@pytest.mark.parametrize("grid", [[], [0.1, -0.2], [np.nan], [[0.1], [0.2]], [11.0]])
def test_an_impossible_redshift_grid_is_refused(folder, ensemble, grid):
    with pytest.raises(clustermass.InputError, match="z_grid: must be redshifts above 0, at most 10"):
        ensemble.masses(folder / "events.fits", folder / "catalogue.fits", z_grid=grid)


@pytest.mark.parametrize("acronym", ["é", "a\n", " "])
def test_an_acronym_that_fits_cannot_hold_is_refused_at_once(folder, ensemble, acronym):
    with pytest.raises(clustermass.InputError, match=r"acronym: is .* must be printable ASCII"):
        ensemble.masses(folder / "events.fits", folder / "catalogue.fits", acronym=acronym)


def test_the_posterior_of_a_cluster_is_that_of_its_row(applied):
    ensemble, masses = applied
    known = masses[np.isfinite(masses["LOGM500"])]
    for row in known:
        posterior = ensemble.posterior(row["NAME"])
        assert posterior.name == row["NAME"]
        assert ensemble.posterior(int(row["ID_SRC"])).name == row["NAME"]
        expected = [row[f"LOGM500_Q{percent}"] for percent in (16, 50, 84)]
        np.testing.assert_allclose(posterior.quantile([0.16, 0.5, 0.84]), expected, atol=1e-5)
        np.testing.assert_allclose(posterior.cdf(expected), [0.16, 0.5, 0.84], atol=1e-4)
    drawn = posterior.sample(40_000, 3)
    assert drawn.mean() == pytest.approx(float(row["LOGM500"]), abs=5 * float(row["LOGM500_ERR"]) / 200)
    assert drawn.std() == pytest.approx(float(row["LOGM500_ERR"]), rel=0.03)
    np.testing.assert_array_equal(drawn, posterior.sample(40_000, np.random.default_rng(3)))


def test_a_cluster_without_posterior_is_named(applied):
    ensemble, masses = applied
    with pytest.raises(clustermass.InputError, match=r"SIM J.*: has no mass.*z_grid"):
        ensemble.posterior(masses["NAME"][0])
    with pytest.raises(
        clustermass.InputError,
        match=r"^the last field \(of the last call of masses\): no cluster .* 'nobody'\. It holds SIM",
    ):
        ensemble.posterior("nobody")
    with pytest.raises(clustermass.InputError, match=r"^nobody: is no training cluster .* call masses first"):
        clustermass.Ensemble.load(ensemble.ensemble.parent).posterior("nobody")
    twice = ensemble._last[0].isel(cluster=[0, 0])
    with pytest.raises(clustermass.InputError, match=r"masses\.nc: 2 clusters have the id or name"):
        interface.posterior_in(twice, str(twice["ID_SRC"].values[0]), "masses.nc")
    with pytest.raises(clustermass.InputError, match=r"quantile: 1\.0 must be between 0 and 1"):
        ensemble.posterior(masses["NAME"][np.isfinite(masses["LOGM500"])][0]).quantile(1.0)


def test_a_cluster_is_found_beside_the_catalogue_of_any_format(field, catalogue, folder, tmp_path):
    masses = clustermass.Ensemble.load(folder).masses(
        field.events, catalogue, field.exposure, output=tmp_path / "m.fits"
    )
    row = masses[np.isfinite(masses["LOGM500"])][0]
    read = clustermass.Posterior.read(tmp_path / "m.nc", row["ID_SRC"])
    for ending in (".fits", ".vot", ".ecsv"):
        beside = clustermass.Posterior.read(str(tmp_path / f"m{ending}"), row["NAME"])
        np.testing.assert_array_equal(beside.mu, read.mu)
        assert beside.name == row["NAME"]
    (tmp_path / "m.nc").unlink()
    with pytest.raises(clustermass.InputError, match=r"m\.nc: no such file\. Posteriors are read from the \.nc"):
        clustermass.Posterior.read(tmp_path / "m.fits", row["NAME"])
    with pytest.raises(clustermass.InputError, match=r"^masses: is a Table\. Give the path of a mass catalogue"):
        clustermass.Posterior.read(masses, row["NAME"])
    with pytest.raises(clustermass.InputError, match=r"^field: is a Table\. Give the path of a mass catalogue"):
        clustermass.show(row["NAME"], masses)


def test_names_and_ids_in_messages_are_plain(applied):
    ensemble, masses = applied
    number = sum("SIM J0" in name for name in masses["NAME"])
    assert number > 3
    with pytest.raises(clustermass.InputError, match=rf"masses\): 'SIM J0' is a part of {number} names"):
        ensemble.posterior(np.str_("SIM J0"))
    with pytest.raises(clustermass.InputError, match=r"id or name '99999'\. It holds SIM J") as caught:
        ensemble.posterior(99999)
    assert "Did you mean" not in str(caught.value)
    for call in (ensemble.posterior, clustermass.show):
        with pytest.raises(clustermass.InputError, match=r"^cluster: is a Row\. Give its id or name; .* row\['NAME'\]"):
            call(masses[1])


def test_faults_of_what_is_in_memory_are_told(field, ensemble, caplog):
    caplog.set_level("INFO", logger="clustermass")
    clustermass.images_of(field.events, field.catalogue["ID_SRC", "RA", "DEC"], exposure_s=1000.0)
    assert any(message.startswith("catalogue in memory: ") for message in caplog.messages)
    assert not any("clustermass-" in message for message in caplog.messages)
    with pytest.raises(clustermass.InputError, match=r"^catalogue in memory: has no column for DEC.*columns={.DEC"):
        ensemble.masses(field.events, field.catalogue["RA", "Z"], field.exposure)
    with pytest.raises(clustermass.InputError, match=r"^catalogue: is a CCDData\. Give a path or a Table"):
        ensemble.masses(field.events, field.exposure)
    with pytest.raises(clustermass.InputError, match=r"^events in memory: .*EVENTS.* lacks column"):
        ensemble.masses(field.truth, field.catalogue)
    with pytest.raises(clustermass.InputError, match=r"no such file: nothere\.fits\. Check the path\.$"):
        ensemble.masses("nothere.fits", field.catalogue)


def test_images_hold_the_photons_around_each_cluster(field):
    images = clustermass.images_of(field.events, field.catalogue["ID_SRC", "RA", "DEC"], exposure_s=1000.0)
    assert images["counts"].dims == ("cluster", "band", "y", "x")
    assert images.sizes["cluster"] == len(field.catalogue)
    image = images.isel(cluster=3)
    row = field.catalogue[field.catalogue["ID_SRC"] == int(image["id_src"])][0]
    # counted by hand: photons in the 20' box, in the bands together
    east = (field.events["RA"] - row["RA"]) * np.cos(np.radians(row["DEC"]))
    inside = (np.abs(east) < 1 / 6) & (np.abs(field.events["DEC"] - row["DEC"]) < 1 / 6)
    soft = (field.events["PI"] >= 250) & (field.events["PI"] < 2300)
    assert int(image["counts"].sum()) == pytest.approx((inside & soft).sum(), abs=3)
    assert images["cluster"].values[0].startswith("SIM J")


def test_a_cluster_is_shown_as_on_the_command_line(field, catalogue, ensemble, tmp_path, capsys):
    masses = ensemble.masses(field.events, catalogue, field.exposure, output=tmp_path / "masses.fits")
    name = masses["NAME"][1]
    figure = clustermass.show(int(masses["ID_SRC"][1]), tmp_path)
    printed = capsys.readouterr().out
    assert name in printed
    assert name in figure.get_suptitle()
    assert main(["show", name, "--field", str(tmp_path), "--output", str(tmp_path / "card.png")]) == 0
    assert capsys.readouterr().out.startswith(printed)
    assert clustermass.show(field=tmp_path) is None
    listed = capsys.readouterr().out
    assert main(["show", "--field", str(tmp_path)]) == 0
    assert capsys.readouterr().out == listed
    assert "The most unlike:" in listed


def test_figures_show_what_they_are_of(applied, field, catalogue):
    ensemble, masses = applied
    posterior = ensemble.posterior(masses["NAME"][1])
    axes = posterior.plot(truth=14.3).axes[0]
    density = next(line for line in axes.lines if line.get_label() == "posterior")
    assert np.trapezoid(density.get_ydata(), density.get_xdata()) == pytest.approx(1, abs=2e-3)
    assert masses["NAME"][1] in axes.get_title()
    images = clustermass.images_of(field.events, catalogue, field.exposure)
    assert sum(axes.has_data() for axes in images.clustermass.plot().axes) == images.sizes["cluster"] > 3
    panels = images.clustermass.plot([masses["NAME"][2]]).axes
    assert [panel.get_title() for panel in panels] == [masses["NAME"][2]]
    # the peak of the image, to the North and West of its lower left corner
    assert panels[0].images[0].get_extent() == pytest.approx([-10, 10, -10, 10])


def test_the_brightest_images_are_drawn_first(field, catalogue):
    """By the counts of the clusters themselves or, without them, by the photons in the box, neighbours included."""
    images = clustermass.images_of(field.events, catalogue, field.exposure)
    half = default_config()["preprocessing"]["central"]["half_width_arcsec"]
    inside = images["counts"].where((abs(images["x"]) < half) & (abs(images["y"]) < half)).sum(("band", "y", "x"))
    own = xr.DataArray(catalogue["ML_CTS"], coords={"id_src": ("cluster", catalogue["ID_SRC"])}, dims="cluster")
    assert own["id_src"].values.tolist() == images["id_src"].values.tolist()
    own[0] = np.nan  # comes last
    orders = [images["cluster"].values[np.argsort(-counts.values)].tolist() for counts in (own, inside)]
    assert orders[0] != orders[1]
    known, unknown = images.assign(ml_cts=("cluster", own.values)), images.assign(ml_cts=np.nan * images["ml_cts"])
    for drawn, names in ((known, orders[0]), (unknown, orders[1]), (images.drop_vars("ml_cts"), orders[1])):
        assert [panel.get_title() for panel in drawn.clustermass.plot().axes if panel.get_title()] == names


def test_images_of_named_clusters_are_drawn(applied, field, catalogue):
    masses = applied[1]
    images = clustermass.images_of(field.events, catalogue, field.exposure)
    name, number = masses["NAME"][1], int(masses["ID_SRC"][2])
    both = [name, masses["NAME"][2]]
    for wanted, drawn in (
        (name, [name]),
        (name[4:11], [name]),
        (number, both[1:]),
        ([name.lower(), number], both),
        (masses["NAME"][1:3], both),
        (images["cluster"].sel(cluster=both), both),
    ):
        assert [panel.get_title() for panel in images.clustermass.plot(wanted).axes][: len(drawn)] == drawn
    plot = images.clustermass.plot
    for wanted, message in (
        ("SIM J0", r"^images: 'SIM J0' is a part of \d+ names"),
        ([name, "nobody"], r"^images: no cluster has the id or name 'nobody'"),
        (99999, r"^images: no cluster has the id or name '99999'"),
        ([], r"^clusters: the list is empty\. Give at least one"),
        (0.5, r"^cluster: is a float\. Give its id or name"),
        (masses[1], r"^cluster: is a "),
    ):
        with pytest.raises(clustermass.InputError, match=message):
            plot(wanted)
    with pytest.raises(clustermass.InputError, match=r"^images: no Dataset from images_of"):
        xr.Dataset({"LOGM500": ("cluster", [14.0])}, {"cluster": ["a"]}).clustermass.plot()


def test_saved_images_are_read_back_unchanged(field, catalogue, tmp_path):
    images = clustermass.images_of(field.events, catalogue, field.exposure)
    images.to_netcdf(tmp_path / "images.nc")
    with xr.open_dataset(tmp_path / "images.nc") as read:
        xr.testing.assert_identical(read.load(), images)
    assert images.attrs["simulated"] == 1


def test_images_with_other_pixels_and_bands(folder):
    changes = {"bands": [500, 1000, 2000], "base_rebin": 1}
    images = clustermass.images_of(folder / "events.fits", folder / "catalogue.fits", changes=changes)
    assert images["counts"].shape[1:] == (2, 300, 300)
    np.testing.assert_allclose(images["band_bounds"], [[0.5, 1.0], [1.0, 2.0]])
    with pytest.raises(clustermass.InputError, match=r"base_rebbin is no key of images\. Did you mean base_rebin"):
        clustermass.images_of("a", "b", changes={"base_rebbin": 1})
    with pytest.raises(clustermass.InputError, match=r"images_of\.box_pixels: .* but it is '-1'"):
        clustermass.images_of("a", "b", changes={"box_pixels": -1})


def test_images_beyond_the_memory_are_refused(folder, monkeypatch):
    monkeypatch.setattr(room, "memory_left", lambda: 5e5)
    with pytest.raises(clustermass.InputError, match=r"catalogue\.fits: needs .* GB of memory, but 0\.0005 GB"):
        clustermass.images_of(folder / "events.fits", folder / "catalogue.fits", folder / "exposure.fits")


def test_a_simulated_field_is_whole(field, folder):
    assert isinstance(field.exposure, CCDData)
    assert field.exposure.unit == "s"
    assert repr(field) == "<simulated field of 1.5 x 1 deg, seed 11>"
    found = field.truth[field.truth["ID_SRC"] >= 0]
    detections = field.catalogue[np.searchsorted(field.catalogue["ID_SRC"], found["ID_SRC"])]
    assert len(found) > 3
    saved, matches = Table.read(folder / "truth.fits"), Table.read(folder / "matches.fits")
    of_halo = {}
    for detection, halo in zip(matches["ID_SRC"].tolist(), matches["SRC_ID"].tolist(), strict=True):
        of_halo[halo] = min(detection, of_halo.get(halo, detection))  # the most likely one
    assert dict(zip(found["SRC_ID"].tolist(), found["ID_SRC"].tolist(), strict=True)) == of_halo
    assert saved["ID_SRC"].tolist() == field.truth["ID_SRC"].tolist()
    assert field.truth["ID_SRC"].description.endswith("-1 = not detected")
    distance = np.hypot(found["RA"] - detections["RA"], found["DEC"] - detections["DEC"])
    assert np.all(60 * distance < found["R500_ARCMIN"])
    np.testing.assert_allclose(detections["Z"], found["Z"], atol=0.08)
    assert field.events["RA"].description == "right ascension of the photon"


def test_a_field_is_determined_by_its_arguments(field):
    shallow = {"exposure": {"taper_deg": 0.1, "depth_s": 118.0}}
    same, thin, other = (
        clustermass.simulate_field(1.5, 1.0, seed=seed, changes=changes)
        for seed, changes in ((11, {"exposure": {"taper_deg": 0.1}}), (11, shallow), (6, shallow))
    )
    np.testing.assert_array_equal(same.events["PI"], field.events["PI"])
    np.testing.assert_array_equal(thin.truth["LOG10_M500C"], field.truth["LOG10_M500C"])
    assert other.truth["LOG10_M500C"].tolist() != field.truth["LOG10_M500C"].tolist()
    assert not {*other.truth["HALO_ID"]} & {*field.truth["HALO_ID"]}
    assert field.truth["COUNTS"].sum() / thin.truth["COUNTS"].sum() == pytest.approx(10, rel=0.1)


def test_impossible_skies_and_places_are_refused(field, folder):
    with pytest.raises(clustermass.InputError, match=r"depht_s is not a key .* Did you mean depth_s"):
        clustermass.simulate_field(changes={"exposure": {"depht_s": 130.0}})
    with pytest.raises(clustermass.InputError, match=r"width_deg is 60\.0, but must be at most 40"):
        clustermass.simulate_field(60)
    with pytest.raises(clustermass.InputError, match=r"exists already\. Name a new folder"):
        field.save(folder)
