import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.cosmology import FlatLambdaCDM
from astropy.io import fits

from clustermass.arrays import neighbours
from clustermass.catalogues.match_field import match_sources, redshift_columns
from clustermass.detect.detect_field import detect_sources
from clustermass.errors import InputError
from clustermass.events.write import write_labels
from clustermass.simulate.field import Field
from clustermass.simulate.photons import TIME_STOP_S, Photons, event_list
from clustermass.simulate.realization import simulate_realization, write_event_list

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text(encoding="utf-8"))
FIELD = {"ra_deg": 0.2, "dec_deg": 1.5, "width_deg": 2.4, "height_deg": 2.0}
SKY = CONFIG["skies"]["embedded"] | {"field": FIELD, "seed": 11}
PHOTONS = ("events", "exposure", "labels", "sources", "truth")


def _simulate(folder, sky=SKY, realization="01", observed=False):
    paths = {name: folder / f"{name}.fits" for name in PHOTONS if not observed or name != "truth"}
    simulate_realization(sky, CONFIG["cosmology"], "embedded", realization, **paths)
    return paths


def _detect(files, folder, sky=SKY, observed=False):
    read = {name: files[name] for name in ("events", "exposure", "labels", "sources")}
    written = {name: folder / f"{name}.fits" for name in ("catalogue", "matches") if not observed or name != "matches"}
    found = folder / "detections.fits"
    detect_sources(sky, "embedded", "01", **read, detections=found)
    match_sources(sky, "embedded", "01", detections=found, **read, **written)
    return files | written


def _confirm(files, folder, sky=SKY, **changes):
    confirming = sky | {"matching": sky["matching"] | {"rule": "confirmed", **changes}}
    read = {name: files[name] for name in ("events", "exposure", "truth")}
    written = {name: folder / f"{name}.fits" for name in ("catalogue", "matches")}
    match_sources(
        confirming, "embedded", "01", detections=files["events"].with_name("detections.fits"), **read, **written
    )
    return [_table(written[name]) for name in ("catalogue", "matches")]


def _table(path):
    with fits.open(path) as hdus:
        return {name: np.array(hdus[1].data[name]) for name in hdus[1].columns.names}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sky")
    return _detect(_simulate(folder), folder)


def test_same_seed_same_bytes(simulated, tmp_path):
    again = _detect(_simulate(tmp_path), tmp_path)
    assert again.keys() == simulated.keys()
    for name, path in simulated.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_an_observed_field_is_the_same_sky_without_truth(simulated, tmp_path):
    observed = _detect(_simulate(tmp_path, observed=True), tmp_path, observed=True)
    assert {*simulated} - {*observed} == {"truth", "matches"}
    for name in ("events", "exposure"):
        assert observed[name].read_bytes() == simulated[name].read_bytes(), name
    columns = _table(observed["catalogue"])
    assert columns.keys() == _table(simulated["catalogue"]).keys()
    for name, values in _table(simulated["catalogue"]).items():
        assert values.tobytes() == columns[name].tobytes(), name
    assert "SRC_ID" not in _table(observed["events"])
    history = str(fits.getheader(observed["catalogue"])["HISTORY"])
    assert "events.fits" in history
    assert "sources.fits" not in history


@pytest.fixture(scope="module")
def with_richness(simulated, tmp_path_factory):
    """Return the files of the same field, whose haloes have a richness."""
    folder = tmp_path_factory.mktemp("rich")
    files = _simulate(folder, SKY | {"richness": SKY["richness"] | {"truth_min": 2.0}})
    shutil.copy(simulated["events"].with_name("detections.fits"), folder)
    return files


def test_richness_changes_no_photon_and_adds_haloes_without_photons(simulated, with_richness):
    for name in ("events", "exposure", "labels", "sources"):
        assert _table(with_richness[name]).keys() == _table(simulated[name]).keys() if name != "exposure" else True
        before, after = (fits.getdata(files[name]) for files in (simulated, with_richness))
        assert before.tobytes() == after.tobytes(), name
    plain, rich = _table(simulated["truth"]), _table(with_richness["truth"])
    assert {*rich} - {*plain} == {"LAMBDA", "LAMBDA_OBS"}
    for name, values in plain.items():
        assert np.array_equal(values, rich[name][: len(values)]), name
    faint = slice(len(plain["SRC_ID"]), None)
    assert np.array_equal(rich["SRC_ID"], np.arange(1, len(rich["SRC_ID"]) + 1))
    assert rich["COUNTS"][faint].max() == 0
    assert rich["FLUX"][faint].max() < SKY["clusters"]["flux_min_cgs"]
    assert rich["LAMBDA_OBS"][faint].min() >= 2.0


def test_confirmed_candidates_have_the_redshift_of_a_rich_halo_near_them(with_richness, tmp_path):
    catalogue, matches = _confirm(with_richness, tmp_path)
    truth, cuts = _table(with_richness["truth"]), SKY["matching"]
    candidate = (catalogue["EXT_LIKE"] > cuts["ext_like_min"]) & (catalogue["DET_LIKE"] > cuts["det_like_min"])
    assert np.array_equal(np.isfinite(catalogue["F_CONT"]), candidate)
    confirmed = np.isin(catalogue["ID_SRC"], matches["ID_SRC"])
    assert 5 < confirmed.sum() <= candidate.sum()
    assert np.array_equal(confirmed, catalogue["F_CONT"] < cuts["f_cont_max"])
    assert np.array_equal(np.isfinite(catalogue["Z"]), confirmed)
    halo = matches["SRC_ID"] - 1
    z = catalogue["Z"][np.searchsorted(catalogue["ID_SRC"], matches["ID_SRC"])]
    assert np.all(np.abs(z - truth["Z"][halo]) < 0.05)
    assert np.all(matches["SEPARATION"] <= 60 * cuts["radius_r500"] * truth["R500_ARCMIN"][halo] + 1e-3)
    assert np.isnan(matches["PURITY"]).all()
    stricter, _ = _confirm(with_richness, tmp_path, f_cont_max=0.02)
    assert 0 < np.isfinite(stricter["Z"]).sum() < confirmed.sum()


def test_confirmation_reads_no_label_and_needs_richness(simulated, with_richness, tmp_path):
    with pytest.raises(InputError, match=r"no haloes with a richness\. Set richness\.truth_min"):
        _confirm(simulated, tmp_path)
    found = {"detections": simulated["events"].with_name("detections.fits"), "catalogue": tmp_path / "c.fits"}
    seen = {name: simulated[name] for name in ("events", "exposure")}
    with pytest.raises(InputError, match=r"rule photons needs the file labels\.fits"):
        match_sources(SKY, "embedded", "01", **seen, **found)
    confirming = SKY | {"matching": SKY["matching"] | {"rule": "confirmed"}}
    with pytest.raises(InputError, match=r"rule confirmed needs the file truth\.fits"):
        match_sources(confirming, "embedded", "01", **seen, **found)
    assert not found["catalogue"].exists()


def test_a_search_finds_the_same_clusters_and_reads_no_label(simulated, with_richness, tmp_path):
    seen = {name: simulated[name] for name in ("events", "exposure")}
    searching = SKY | {"detection": SKY["detection"] | {"method": "search"}}
    for name, secret in {"without": {}, "permuted": {"labels": tmp_path / "labels.fits"}}.items():
        if secret:
            labels = _table(simulated["labels"])["SRC_ID"]
            write_labels([np.random.default_rng(1).permutation(labels)], secret["labels"])
        detect_sources(searching, "embedded", "01", **seen, **secret, detections=tmp_path / f"{name}.fits")
    assert (tmp_path / "without.fits").read_bytes() == (tmp_path / "permuted.fits").read_bytes()
    found, known = _table(tmp_path / "without.fits"), _table(simulated["catalogue"])
    bright, extended = known["EXT_LIKE"] > 15, found["EXT_LIKE"] > 6
    pairs, _ = neighbours(*(t[n][k] for t, k in ((known, bright), (found, extended)) for n in ("RA", "DEC")), 30.0)
    assert len({*pairs.tolist()}) == bright.sum() > 5
    files = with_richness | {"events": tmp_path / "events.fits"}
    shutil.copy(with_richness["events"], files["events"])
    shutil.copy(tmp_path / "without.fits", tmp_path / "detections.fits")
    catalogue, matches = _confirm(files, tmp_path)
    assert len(catalogue["RA"]) == len(found["RA"])
    assert len(matches["ID_SRC"]) > 5
    written = {name: tmp_path / f"{name}.fits" for name in ("catalogue", "matches")}
    secret = {name: simulated[name] for name in ("labels", "sources")}
    match_sources(searching, "embedded", "01", **seen, detections=tmp_path / "without.fits", **secret, **written)
    owners, before = _table(written["matches"]), _table(simulated["matches"])
    assert {*before["SRC_ID"][np.isin(before["ID_SRC"], known["ID_SRC"][bright])]} <= {*owners["SRC_ID"]}
    assert 0.85 < len(owners["SRC_ID"]) / len(before["SRC_ID"]) < 1.3
    assert np.median(owners["PURITY"]) > 0.6
    with pytest.raises(InputError, match=r"method truth needs the file sources\.fits"):
        detect_sources(SKY, "embedded", "01", **seen, detections=tmp_path / "none.fits")


def test_labels_of_another_event_list_are_refused(simulated, tmp_path):
    with fits.open(simulated["labels"]) as hdus:
        hdus[1].data = hdus[1].data[:-3]
        hdus.writeto(tmp_path / "labels.fits")
    with pytest.raises(InputError, match=r"labels\.fits: \d+ labels, but .*events\.fits holds \d+ photons\. Delete"):
        _detect(simulated | {"labels": tmp_path / "labels.fits"}, tmp_path)


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
    area = 4 * np.pi * luminosity_distance_cm(truth["Z"].astype(float), CONFIG["cosmology"]) ** 2
    correction = truth["FLUX"] * area / truth["L500"]
    assert truth["FLUX"].min() >= 0.999 * SKY["clusters"]["flux_min_cgs"]
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
    sky = copy.deepcopy(SKY)
    sky["agn"]["central"] |= {"fraction": 0.5, "log10_luminosity_min": 43.0}
    files = _simulate(tmp_path, sky)
    plain, changed = _table(simulated["sources"]), _table(files["sources"])
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
