import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits

from clustermass.apply.field import masses_of_field
from clustermass.arrays import unit_vectors
from clustermass.catalogues.match_field import match_sources, redshift_columns
from clustermass.ensemble.released import released_ensemble
from clustermass.errors import InputError
from clustermass.events.write import write_labels
from clustermass.images.cutouts import extract_images
from clustermass.ingest.detect_field import detect_field
from clustermass.simulate.field import Field
from clustermass.simulate.photons import TIME_STOP_S, Photons, event_list
from clustermass.simulate.realization import simulate_realization, write_event_list

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text(encoding="utf-8"))
FIELD = {"ra_deg": 0.2, "dec_deg": 1.5, "width_deg": 2.4, "height_deg": 2.0}
SKY = CONFIG["skies"]["embedded"] | {"field": FIELD, "seed": 11}
PHOTONS = ("events", "exposure", "labels", "sources", "truth")


def _simulate(folder, sky=SKY, realization="01"):
    paths = {name: folder / f"{name}.fits" for name in PHOTONS}
    simulate_realization(sky, CONFIG["cosmology"], "embedded", realization, **paths)
    return paths


def _detect(files, folder, sky=SKY):
    detections = folder / "detections.fits"
    detect_field([files["events"]], [files["exposure"]], detections, sky["detection"], sky["psf"])
    return files | {"detections": detections}


def _match(files, folder, *without, sky=SKY, **changes):
    changed = sky | {"matching": sky["matching"] | changes}
    read = {name: files[name] for name in ("events", "exposure", "truth", "detections", "labels")}
    written = {name: folder / f"{name}.fits" for name in ("catalogue", "matches")}
    paths = {name: path for name, path in (read | written).items() if name not in without}
    match_sources(changed, "embedded", "01", **paths)
    return files | {name: path for name, path in written.items() if name not in without}


def _matched(files, folder, *without, **changes):
    made = _match(files, folder, *without, **changes)
    return [_table(made[name]) for name in ("catalogue", "matches")]


def _table(path):
    with fits.open(path) as hdus:
        return {name: np.array(hdus[1].data[name]) for name in hdus[1].columns.names}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sky")
    return _match(_detect(_simulate(folder), folder), folder)


def test_same_seed_same_bytes(simulated, tmp_path):
    again = _match(_detect(_simulate(tmp_path), tmp_path), tmp_path)
    assert again.keys() == simulated.keys()
    for name, path in simulated.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_the_catalogue_of_an_observed_field_is_the_same_without_matches(simulated, tmp_path):
    observed = _match(simulated, tmp_path, "matches")
    columns = _table(observed["catalogue"])
    assert columns.keys() == _table(simulated["catalogue"]).keys()
    for name, values in _table(simulated["catalogue"]).items():
        assert values.tobytes() == columns[name].tobytes(), name
    assert "SRC_ID" not in _table(observed["events"])
    assert not (tmp_path / "matches.fits").exists()
    history = str(fits.getheader(observed["catalogue"])["HISTORY"])
    assert "events.fits" in history
    assert "truth.fits" not in history


def test_richness_changes_no_photon_and_adds_haloes_without_photons(simulated, tmp_path):
    plain_files = _simulate(tmp_path, SKY | {"richness": SKY["richness"] | {"truth_min": None}})
    for name in ("events", "exposure", "labels", "sources"):
        before, after = (fits.getdata(files[name]) for files in (plain_files, simulated))
        assert before.tobytes() == after.tobytes(), name
    plain, rich = _table(plain_files["truth"]), _table(simulated["truth"])
    assert {*rich} - {*plain} == {"LAMBDA", "LAMBDA_OBS"}
    for name, values in plain.items():
        assert np.array_equal(values, rich[name][: len(values)]), name
    faint = slice(len(plain["SRC_ID"]), None)
    assert np.array_equal(rich["SRC_ID"], np.arange(1, len(rich["SRC_ID"]) + 1))
    assert rich["COUNTS"][faint].max() == 0
    assert rich["FLUX"][faint].max() < SKY["clusters"]["flux_min_cgs"]
    assert rich["LAMBDA_OBS"][faint].min() >= 2.0
    with pytest.raises(InputError, match=r"no haloes with a richness\. Set richness\.truth_min"):
        _match(simulated | {"truth": plain_files["truth"]}, tmp_path)


def test_confirmed_candidates_have_the_redshift_of_a_rich_halo_near_them(simulated, tmp_path):
    catalogue, matches = (_table(simulated[name]) for name in ("catalogue", "matches"))
    truth, cuts = _table(simulated["truth"]), SKY["matching"]
    candidate = (catalogue["EXT_LIKE"] > cuts["ext_like_min"]) & (catalogue["DET_LIKE"] > cuts["det_like_min"])
    assert np.array_equal(np.isfinite(catalogue["F_CONT"]), candidate)
    confirmed = np.isin(catalogue["ID_SRC"], matches["ID_SRC"])
    assert 5 < confirmed.sum() <= candidate.sum()
    assert np.all(catalogue["F_CONT"][confirmed] < cuts["f_cont_max"])
    assert len({*matches["SRC_ID"].tolist()}) == len(matches["SRC_ID"])
    assert np.array_equal(np.isfinite(catalogue["Z"]), confirmed)
    halo, row = matches["SRC_ID"] - 1, np.searchsorted(catalogue["ID_SRC"], matches["ID_SRC"])
    assert np.all(np.abs(catalogue["Z"][row] - truth["Z"][halo]) < 0.05)
    assert np.all(matches["SEPARATION"] <= 60 * cuts["radius_r500"] * truth["R500_ARCMIN"][halo] + 1e-3)
    share = truth["COUNTS"][halo] / catalogue["ML_CTS"][row]
    assert matches["PURITY"] == pytest.approx(np.minimum(share, 1.0))
    assert np.median(matches["PURITY"]) > 0.6
    stricter, _ = _matched(simulated, tmp_path, f_cont_max=0.02)
    assert 0 < np.isfinite(stricter["Z"]).sum() < confirmed.sum()


def test_a_detection_matches_the_halo_that_sent_most_of_its_photons(simulated, tmp_path):
    catalogue, matches = _matched(simulated, tmp_path, rule="photons")
    assert len(catalogue["RA"]) == len(_table(simulated["detections"])["RA"])
    assert "F_CONT" not in catalogue
    truth, events, labels = (_table(simulated[name]) for name in ("truth", "events", "labels"))
    extended = np.isin(matches["ID_SRC"], catalogue["ID_SRC"][catalogue["EXT_LIKE"] > 20.0])
    assert extended.sum() > 5
    in_band = events["PI"] <= SKY["detection"]["e_max_ev"]
    places = unit_vectors(catalogue["RA"], catalogue["DEC"])
    for number, halo in zip(matches["ID_SRC"][extended], matches["SRC_ID"][extended], strict=True):
        dec = catalogue["DEC"][number - 1]
        beside = in_band & (np.abs(events["DEC"] - dec) < 70.0 / 3600.0)
        photons = unit_vectors(events["RA"][beside], events["DEC"][beside])
        cosine = photons @ places[number - 1]
        others = places[(places @ places[number - 1] > np.cos(np.radians(140.0 / 3600.0)))]
        own = (cosine > np.cos(np.radians(60.0 / 3600.0))) & (cosine >= (photons @ others.T).max(axis=1))
        sources, counts = np.unique(labels["SRC_ID"][beside][own], return_counts=True)
        assert sources[sources != 0][np.argmax(counts[sources != 0])] == halo
        assert catalogue["Z"][number - 1] == pytest.approx(truth["Z"][halo - 1], abs=0.05)
    assert len({*matches["SRC_ID"].tolist()}) == len(matches["SRC_ID"])


def test_files_that_a_rule_needs_are_asked_for(simulated, tmp_path):
    with pytest.raises(InputError, match=r"rule photons needs the file labels\.fits"):
        _match(simulated, tmp_path, "labels", rule="photons")
    with pytest.raises(InputError, match=r"needs the file detections\.fits"):
        _match(simulated, tmp_path, "detections")
    with fits.open(simulated["labels"]) as hdus:
        hdus[1].data = hdus[1].data[:-3]
        hdus.writeto(tmp_path / "labels.fits")
    with pytest.raises(InputError, match=r"labels\.fits: \d+ labels, but .*events\.fits holds \d+ photons\. Delete"):
        _match(simulated | {"labels": tmp_path / "labels.fits"}, tmp_path, rule="photons")
    assert not (tmp_path / "catalogue.fits").exists()


def test_permuted_labels_and_moved_sources_change_no_detection_image_or_mass(simulated, tmp_path):
    """All files lie in the folder of the realization, as in the workflow, so that a step could read them."""
    made = {}
    for name in ("as simulated", "permuted"):
        folder = tmp_path / name / "01"
        folder.mkdir(parents=True)
        files = {file: Path(shutil.copy(simulated[file], folder)) for file in PHOTONS}
        if name == "permuted":
            labels = np.random.default_rng(1).permutation(_table(simulated["labels"])["SRC_ID"])
            write_labels([labels], files["labels"])
            with fits.open(files["sources"], mode="update") as hdus:
                hdus[1].data["RA"] += 0.01
        files = _match(_detect(files, folder), folder)
        seen = {file: files[file] for file in ("events", "exposure", "catalogue")}
        truth = {file: files[file] for file in ("truth", "matches")}
        images = folder / "images.nc"
        extract_images(
            **seen, **truth, output=images, images=CONFIG["images"], realization="01", events_block=CONFIG["events"]
        )
        masses = folder / "masses.fits"
        masses_of_field(
            events=[seen["events"]], catalogue=seen["catalogue"], exposure=[seen["exposure"]],
            ensemble=released_ensemble(""), output=masses,
        )  # fmt: skip
        made[name] = {path.name: path for path in (files["events"], files["detections"], images, masses)}
    assert np.isfinite(_table(made["permuted"]["masses.fits"])["LOGM500"]).sum() > 5
    for name, path in made["as simulated"].items():
        assert path.read_bytes() == made["permuted"][name].read_bytes(), name


def test_truth_counts_are_the_photons_in_the_event_list(simulated):
    labels, truth = _table(simulated["labels"])["SRC_ID"], _table(simulated["truth"])
    assert len(labels) == len(_table(simulated["events"])["PI"])
    counts = np.bincount(labels[labels > 0], minlength=len(truth["SRC_ID"]) + 1)[1:]
    assert np.array_equal(truth["SRC_ID"], np.arange(1, len(truth["SRC_ID"]) + 1))
    assert np.array_equal(truth["COUNTS"], counts)
    assert np.array_equal(truth["HALO_ID"], 10_000_000 + truth["SRC_ID"])


def test_photons_of_the_richest_halo_surround_it(simulated):
    events, truth = _table(simulated["events"]), _table(simulated["truth"])
    row = np.argmax(truth["COUNTS"])
    own = _table(simulated["labels"])["SRC_ID"] == truth["SRC_ID"][row]
    offset = (events["RA"][own] - truth["RA"][row] + 180) % 360 - 180
    radius = truth["R500_ARCMIN"][row]
    assert abs(np.median(offset)) * 60 < 0.3 * radius
    distance = 60 * np.hypot(offset, events["DEC"][own] - truth["DEC"][row])
    assert 0.05 * radius < np.median(distance) < radius


def test_flux_and_luminosity_agree(simulated):
    from clustermass.cosmology import luminosity_distance_cm

    truth = _table(simulated["truth"])
    shining = truth["FLUX"] >= SKY["clusters"]["flux_min_cgs"]  # the others are listed for their richness
    assert np.array_equal(np.flatnonzero(shining), np.arange(shining.sum()))
    truth = {name: values[shining] for name, values in truth.items()}
    area = 4 * np.pi * luminosity_distance_cm(truth["Z"].astype(float), CONFIG["cosmology"]) ** 2
    correction = truth["FLUX"] * area / truth["L500"]
    assert len(truth["FLUX"]) > 100
    assert np.all((correction > 0.6) & (correction < 1.6))
    assert np.isfinite(truth["L500"]).all()
    cosmology = FlatLambdaCDM(CONFIG["cosmology"]["h0_km_s_mpc"], CONFIG["cosmology"]["omega_m"])
    distance = cosmology.angular_diameter_distance(truth["Z"].astype(float)).value
    mpc = np.radians(truth["R500_ARCMIN"] / 60) * distance
    # less flux lies inside 500 kpc than inside R500c where R500c is larger, and only there
    assert np.array_equal(mpc > 0.5, truth["FLUX500KPC"] < truth["FLUX"])
    assert 0 < (mpc > 0.5).sum() < mpc.size
    assert truth["FLUX500KPC"].min() > 0


def test_matched_detections_have_the_redshift_of_their_halo(simulated):
    catalogue, truth, matches = (_table(simulated[name]) for name in ("catalogue", "truth", "matches"))
    assert len(matches["ID_SRC"]) > 5
    redshift = dict(zip(truth["SRC_ID"], truth["Z"], strict=True))
    halo = dict(zip(matches["ID_SRC"], matches["SRC_ID"], strict=True))
    for number, z, error, kind in zip(*(catalogue[k] for k in ("ID_SRC", "Z", "Z_ERR", "Z_TYPE")), strict=True):
        if number not in halo:
            assert kind == "none"
            assert np.isnan(z)
        elif kind == "spec":
            assert z == redshift[halo[number]]
            assert error == 0
        else:
            assert kind == "photo"
            assert abs(z - redshift[halo[number]]) < 6 * error


def test_energies_and_edges(simulated):
    events = _table(simulated["events"])
    assert events["PI"].min() >= 200
    assert events["PI"].max() < 2350
    assert np.abs(events["DEC"] - 1.5).max() <= 1.0 + 1 / 60  # a pixel of the exposure map
    with fits.open(simulated["exposure"]) as hdus:
        assert hdus[0].header["CTYPE1"] == "RA---SIN"
        assert np.median(hdus[0].data[hdus[0].data > 0]) == pytest.approx(SKY["exposure"]["depth_s"], rel=0.2)
        assert hdus[0].data.max() <= 2 * SKY["exposure"]["depth_s"]


def test_a_change_of_the_agn_leaves_the_haloes_alone(simulated, tmp_path):
    sky = copy.deepcopy(SKY)
    sky["agn"]["normalisation_per_deg2"] = 1000.0
    changed, truth = _table(_simulate(tmp_path, sky)["truth"]), _table(simulated["truth"])
    for name in ("RA", "Z", "LOG10_M500C", "KT", "L500", "COUNTS"):
        assert np.array_equal(changed[name], truth[name]), name


def test_central_agn_come_after_the_others_and_leave_the_haloes_alone(simulated, tmp_path):
    skies = [copy.deepcopy(SKY), copy.deepcopy(SKY)]
    skies[0]["agn"]["central"]["fraction"] = 0.0
    skies[1]["agn"]["central"] |= {"fraction": 0.5, "log10_luminosity_min": 43.0}
    for name in ("plain", "changed"):
        (tmp_path / name).mkdir()
    without, files = _simulate(tmp_path / "plain", skies[0]), _simulate(tmp_path / "changed", skies[1])
    plain, changed = _table(without["sources"]), _table(files["sources"])
    for name in plain:
        assert np.array_equal(changed[name][: len(plain[name])], plain[name], equal_nan=True), name
    centres = {name: values[len(plain["Z"]) :] for name, values in changed.items()}
    haloes = _table(files["truth"])
    assert len(centres["RA"]) > 100
    assert np.array_equal(centres["SRC_ID"], plain["SRC_ID"].min() - 1 - np.arange(len(centres["RA"])))
    found, number = np.unique(_table(files["labels"])["SRC_ID"], return_counts=True)
    bright = np.argmax(centres["EXPECTED"])
    counts = number[found == centres["SRC_ID"][bright]][0]
    assert abs(counts - 1.02 * centres["EXPECTED"][bright]) < 6 * np.sqrt(counts)
    assert np.array_equal(haloes["LOG10_M500C"], _table(simulated["truth"])["LOG10_M500C"])
    # many of them lie on haloes that emit photons
    near = np.hypot(*(centres[axis][:, None] - haloes[axis] for axis in ("RA", "DEC"))).min(axis=1)
    assert (near < 0.003).mean() > 0.05


def test_properties_of_the_gas_are_plausible(simulated):
    truth = _table(simulated["truth"])
    share = np.log10(truth["MGAS500"]) - truth["LOG10_M500C"]
    massive = truth["LOG10_M500C"] > 13.8
    assert 0.03 < np.median(10 ** share[massive]) < 0.13
    assert np.all(truth["LBOL500"] > truth["L500"])
    assert set(truth["CORE"]) == {0, 1, 2}
    assert np.array_equal(truth["CORE"] == 0, truth["CONCENTRATION"] < 0.075)


def test_a_planted_photon_comes_back_from_the_file(tmp_path):
    field = Field(0.5, -30.0, 4.0, 3.0)
    photons = Photons(np.array([1.0]), np.array([0.5]), np.array([777.25], np.float32), np.array([42], np.int32))
    events, labels = event_list(photons, field, "a sky", np.random.default_rng(1))
    assert labels.tolist() == [42]
    write_event_list(tmp_path / "events.fits", events, field, {"SEED": 7})
    ra, dec = field.to_sky(photons.longitude, photons.latitude)
    with fits.open(tmp_path / "events.fits") as hdus:
        assert hdus["EVENTS"].columns.names == ["TIME", "RA", "DEC", "PI", "TM_NR", "PAT_TYP", "FLAG"]
        row = hdus["EVENTS"].data[0]
        header = hdus["EVENTS"].header
        assert row["RA"] == pytest.approx(ra[0], abs=6e-7)
        assert row["DEC"] == pytest.approx(dec[0], abs=6e-7)
        assert row["PI"] == np.float32(777.25)
        assert header["TFORM2"] == "J"
        assert header["TSCAL2"] == 1e-6
        assert header["CREATOR"] == "clustermass"
        assert header["SIMULATE"] is True
        assert header["RA_CEN"] == 0.5
        assert header["SEED"] == 7
        assert [hdu.name for hdu in hdus[2:]] == [f"GTI{i}" for i in range(1, 8)]
        assert hdus["GTI3"].data["STOP"][0] == TIME_STOP_S


def test_events_are_written_in_pieces_as_they_are_in_one(tmp_path, monkeypatch):
    field, rng = Field(0.5, -30.0, 4.0, 3.0), np.random.default_rng(1)
    energy, source = rng.uniform(200, 2350, 1000).astype(np.float32), np.zeros(1000, np.int32)
    photons = Photons(rng.uniform(-2, 2, 1000), rng.uniform(-1.5, 1.5, 1000), energy, source)
    events, _ = event_list(photons, field, "a sky", rng)
    write_event_list(tmp_path / "whole.fits", events, field, {})
    monkeypatch.setattr("clustermass.simulate.realization._PIECE", 300)
    write_event_list(tmp_path / "pieces.fits", events, field, {})
    assert (tmp_path / "whole.fits").read_bytes() == (tmp_path / "pieces.fits").read_bytes()


def test_realizations_differ_and_share_no_halo(simulated, tmp_path):
    other, truth = _table(_simulate(tmp_path, realization="02")["truth"]), _table(simulated["truth"])
    assert not np.intersect1d(other["HALO_ID"], truth["HALO_ID"]).size
    assert not np.intersect1d(other["RA"], truth["RA"]).size


def test_a_realization_must_be_a_number(tmp_path):
    with pytest.raises(InputError, match="realization"):
        _simulate(tmp_path, realization="first")


def test_photometric_redshifts_scatter_as_stated_and_stay_positive():
    true = np.concatenate([np.full(20_000, 0.35), np.full(2_000, 0.011), [np.nan]])
    parameters = {"spectroscopic_fraction": 0.548, "photometric_error": 0.007, "redshift_min": 0.003}
    columns = redshift_columns(true, parameters, np.random.default_rng(1))
    assert columns["Z_TYPE"][-1] == "none"
    spectroscopic, photometric = columns["Z_TYPE"] == "spec", columns["Z_TYPE"] == "photo"
    assert spectroscopic.mean() == pytest.approx(0.548, abs=0.01)
    deviation = (columns["Z"] - true)[photometric & (true == 0.35)]
    assert deviation.std() == pytest.approx(0.007 * 1.35, rel=0.03)
    assert columns["Z"][photometric].astype(np.float32).min() > 0.003
    assert np.array_equal(columns["Z"][spectroscopic], true[spectroscopic])
    assert columns["Z_ERR"][photometric] == pytest.approx(0.007 * (1 + columns["Z"][photometric]))
