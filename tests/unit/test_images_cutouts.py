"""images.nc from a small field with planted photons: counts, truth, exposure, and what can be wrong."""

import logging
from functools import partial

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from event_lists import photons, planted, select, sin_projection, write_esass, write_sixte_calibrated
from images_inputs import IMAGES, cube
from numpy.testing import assert_allclose

from clustermass.errors import InputError
from clustermass.events.eventlist import Selection
from clustermass.events.read import read_events, stream_events
from clustermass.images import cutouts
from clustermass.images.cutouts import extract_images
from clustermass.images.geometry import ImageGeometry, block_sum, deproject
from clustermass.images.sky_index import ImageStack
from clustermass.io.netcdf import read_netcdf

CENTRE = (0.1, 1.5)  # the field straddles RA = 0
EVENTS = {"flag_mask": "auto", "pattern": 15}
CATALOGUE = {
    "ID_SRC": [3, 7, 11, 12, 20], "RA": [0.1, 359.95, 0.1, 0.1, 0.35], "DEC": [1.5, 1.6, 1.5, 1.5, 1.5],
    "DET_LIKE": [30.0, 5.1, 5.0, 50.0, 9.0], "EXT_LIKE": [10.0, 6.1, 20.0, 6.0, 8.0], "EXT": [20.0] * 5,
    "ML_RATE": [0.1, 0.2, 0.3, 0.4, 0.5], "ML_CTS": [100.0] * 5, "ML_BKG": [5.0] * 5,
    "Z": [0.3, np.nan, 0.1, 0.2, 0.4], "Z_ERR": [0.0, np.nan, 0.0, 0.0, 0.01],
}  # fmt: skip
TRUTH = {"SRC_ID": [1, 2, 5], "HALO_ID": [101, 102, 2**40 + 1], "RA": [0.11, 5.0, 0.34], "DEC": [1.51, 5.0, 1.5]}
TRUTH |= {"LOG10_M500C": [14.25, 13.5, 14.75]}
MATCHES = {"ID_SRC": [20, 3], "SRC_ID": [5, 1]}


def write_table(path, name, columns):
    formats = {"ID_SRC": "J", "SRC_ID": "J", "HALO_ID": "K"}
    listed = [fits.Column(key, formats.get(key, "D"), array=np.array(values)) for key, values in columns.items()]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(listed, name=name)]).writeto(path, overwrite=True)
    return path


def write_exposure(path, seconds, centre=CENTRE, pixel_arcsec=30.0):
    middle = seconds.shape[1] / 2 + 0.5, seconds.shape[0] / 2 + 0.5
    wcs = sin_projection(centre, pixel_arcsec / 3600, middle)
    fits.PrimaryHDU(seconds.astype(np.float32), wcs.to_header()).writeto(path, overwrite=True)
    return path


@pytest.fixture
def field(tmp_path):
    """Files of a field 0.5 deg wide with 1000 s in its Eastern half and 500 s in its Western half."""
    seconds = np.full((60, 60), 1000.0)  # columns grow to the West
    seconds[:, 30:] = 500.0
    return {
        "events": write_esass(tmp_path / "events.fits", photons(20000, *CENTRE)),
        "exposure": write_exposure(tmp_path / "exposure.fits", seconds),
        "catalogue": write_table(tmp_path / "catalogue.fits", "CATALOGUE", CATALOGUE),
        "truth": write_table(tmp_path / "truth.fits", "TRUTH", TRUTH),
        "matches": write_table(tmp_path / "matches.fits", "MATCHES", MATCHES),
        "output": tmp_path / "images.nc",
    }


def extract(files, events_block=EVENTS, **images):
    extract_images(**files, images={**IMAGES, **images}, realization="04", events_block=events_block)
    return read_netcdf(files["output"])


def observed(files, **changes):
    return {**files, "truth": None, "matches": None, **changes}


def test_detections_above_both_likelihoods_get_the_counts_of_their_box(field, caplog):
    with caplog.at_level(logging.INFO, "clustermass"):
        images = extract(field)
    assert images["cluster"].values.tolist() == ["04_3", "04_7", "04_20"]
    assert images["realization"].values.tolist() == ["04"] * 3
    assert "5 detections; dropped: 1 with DET_LIKE <= 5, 1 of the others with EXT_LIKE <= 6; left: 3" in caplog.text
    events, geometry = select(read_events(field["events"])), ImageGeometry.from_config(IMAGES)
    for row, position in enumerate(zip(images["ra"].values, images["dec"].values, strict=True)):
        np.testing.assert_array_equal(images["counts"][row], block_sum(cube(events, *position, geometry), 3))
    assert images["counts"].dtype == np.uint16


def test_grid_and_catalogue_columns(field):
    images = extract(field)
    assert images["counts"].dims == ("cluster", "band", "y", "x")
    assert_allclose(images["x"].values[[0, 49, 50, 99]], [-594, -6, 6, 594])
    assert_allclose(images["y"].values, images["x"].values)
    assert_allclose(images["band_bounds"].values[[0, 9]], [[0.25, 0.455], [2.095, 2.3]])
    assert_allclose(images["band"].values[0], 0.3525)
    assert_allclose(images["ml_rate"].values, [0.1, 0.2, 0.5])
    assert_allclose(images["redshift"].values, [0.3, np.nan, 0.4])
    assert {"redshift_err", "det_like", "ext_like", "ext", "ml_cts", "ml_bkg"} <= set(images.data_vars)


def test_x_grows_to_the_west_and_y_to_the_north(tmp_path, field):
    # 60" to the West (smaller RA) and 120" to the North of the first detection
    ra, dec = deproject(1200 + 0.5, 2400 + 0.5, *CENTRE)
    write_esass(field["events"], planted(RA=ra, DEC=dec, PI=700.0))
    counts = extract(field)["counts"].isel(cluster=0)
    (index,) = np.argwhere(counts.values).tolist()
    assert index == [2, 60, 55]
    assert (float(counts["y"][60]), float(counts["x"][55])) == (126.0, 66.0)


def test_labels_come_from_the_matched_halo(field):
    images = extract(field)
    assert_allclose(images["log10_m500c"].values, [14.25, np.nan, 14.75])
    assert images["halo_id"].values.tolist() == [101, -1, 2**40 + 1]
    assert images["halo_id"].dtype == np.int64


def test_observed_skies_have_no_labels(field):
    images = extract(observed(field))
    assert "log10_m500c" not in images
    assert "halo_id" not in images


def test_more_images_than_the_memory_holds_are_refused_before_they_are_cut(field, monkeypatch):
    """Three images of 10 x 100 x 100 pixels of two bytes: 0.6 MB."""
    monkeypatch.setattr(cutouts.os, "sysconf", lambda _: 1000)
    with pytest.raises(
        InputError,
        match=r"3 images of 10 bands need 0.0 GB, more than half .* `clustermass masses`, which cuts images in parts",
    ):
        extract(field)
    monkeypatch.setattr(cutouts.os, "sysconf", lambda _: 1100)
    assert extract(field).sizes["cluster"] == 3


def test_other_modules_lose_photons_and_exposure(field):
    whole, part = extract(field), extract(field, {**EVENTS, "modules": [1, 2, 3, 4, 6]})
    assert_allclose(part["exposure_s"].values, whole["exposure_s"].values * 5 / 7)
    assert_allclose(part["counts"].sum().item() / whole["counts"].sum().item(), 5 / 7, atol=0.03)
    np.testing.assert_array_equal(part["covered_fraction"], whole["covered_fraction"])
    without_map = extract({**field, "exposure": None}, {**EVENTS, "modules": [1, 2, 3, 4, 6]})
    assert_allclose(without_map["exposure_s"].values, 1600 * 5 / 7)


def test_exposure_and_covered_fraction_of_the_boxes(field):
    images = extract(field)
    # box 0 lies in the middle: half 1000 s, half 500 s
    assert_allclose(images["covered_fraction"].values[0], 1.0)
    assert_allclose(images["exposure_s"].values[0], 750.0, rtol=0.01)
    assert set(images["exp_from"].values) == {"map"}
    # box 2 is shifted by 0.25 deg = 900" to the East, where the field ends: from -600" to 0" of it is inside
    assert_allclose(images["covered_fraction"].values[2], 0.5, atol=0.02)
    assert_allclose(images["exposure_s"].values[2], 1000.0)


def test_hardly_exposed_places_do_not_count_as_covered(tmp_path, field):
    seconds = np.full((60, 60), 1000.0)
    seconds[10:15], seconds[45:50] = 49.0, 51.0  # 5 % of the median is 50 s
    images = extract({**field, "exposure": write_exposure(tmp_path / "thin.fits", seconds)})
    # the box is 1200" high; each strip takes 150" of it, and only the southern one counts as not covered
    assert_allclose(images["covered_fraction"].values[0], 1 - 150 / 1200, atol=0.01)
    assert_allclose(images["exposure_s"].values[0], (49 + 51 + 6 * 1000) / 8, rtol=0.01)


def test_a_box_outside_the_field_is_kept_and_counted(tmp_path, field, caplog):
    table = {**CATALOGUE, "RA": [0.1, 0.1, 0.1, 0.1, 40.0]}
    with caplog.at_level(logging.INFO, "clustermass"):
        images = extract({**field, "catalogue": write_table(tmp_path / "far.fits", "CATALOGUE", table)})
    assert images["covered_fraction"].values[2] == images["exposure_s"].values[2] == 0.0
    assert "the boxes of 2 leave the field (lowest covered fraction 0.000); 1 hold no photon" in caplog.text


def test_without_an_exposure_map_good_times_and_photons_stand_in(field, caplog):
    with caplog.at_level(logging.INFO, "clustermass"):
        images = extract({**field, "exposure": None})
    assert_allclose(images["exposure_s"].values, 1600.0)
    assert set(images["exp_from"].values) == {"good time"}
    assert images["covered_fraction"].values[0] == 1.0
    assert 0.4 <= images["covered_fraction"].values[2] <= 0.6  # half of the box, in cells of a fifth
    assert "no exposure map" in caplog.text


def test_halo_centres(field, caplog):
    with caplog.at_level(logging.INFO, "clustermass"):
        images = extract(field, centre="halo")
    assert_allclose(images["ra"].values, [0.11, 359.95, 0.34])
    assert_allclose(images["dec"].values, [1.51, 1.6, 1.5])
    assert "1 detections without a halo keep their detected centre" in caplog.text


def test_the_same_inputs_give_the_same_bytes(field):
    extract(field)
    first = field["output"].read_bytes()
    extract(field)
    assert field["output"].read_bytes() == first


def test_realizations_without_any_match(tmp_path, field):
    none = {"ID_SRC": np.zeros(0, int), "SRC_ID": np.zeros(0, int)}
    images = extract({**field, "matches": write_table(tmp_path / "none.fits", "MATCHES", none)})
    assert (images["halo_id"].values == -1).all()
    assert np.isnan(images["log10_m500c"].values).all()


# what can be wrong


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"det_like_min": 60.0}, "none of 5 detections has DET_LIKE > 60 .*highest DET_LIKE: 50; highest EXT_LIKE: 20"),
        ({"centre": "middle"}, r"images\.centre is 'middle', but must be detected or halo"),
    ],
)
def test_settings_that_leave_nothing(field, images, message):
    with pytest.raises(InputError, match=message):
        extract(field, **images)


def test_halo_centres_of_an_observed_sky(field):
    with pytest.raises(InputError, match=r"images\.centre is halo, but an observed sky has no true positions"):
        extract(observed(field), centre="halo")


def test_truth_without_matches(field):
    with pytest.raises(InputError, match="truth and matches go together"):
        extract({**field, "matches": None})


@pytest.mark.parametrize("column", ["RA", "EXT_LIKE", "ML_BKG", "Z"])
def test_catalogue_without_a_column(tmp_path, field, column):
    table = {key: values for key, values in CATALOGUE.items() if key != column}
    path = write_table(tmp_path / "less.fits", "CATALOGUE", table)
    with pytest.raises(InputError, match=rf"less\.fits: table CATALOGUE lacks column {column}"):
        extract({**field, "catalogue": path})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("catalogue", {"ID_SRC": [3, 7, 3, 12, 20]}, r"odd\.fits: rows 1 and 3 have one ID_SRC, 3"),
        ("catalogue", {"DEC": [-60.0] * 5}, "None of the images holds a photon"),
        ("matches", {"ID_SRC": [3, 3], "SRC_ID": [1, 2]}, r"odd\.fits: rows 1 and 2 have one ID_SRC, 3"),
        ("matches", {"ID_SRC": [3], "SRC_ID": [99]}, r"odd\.fits: SRC_ID 99 is no halo of .*truth\.fits"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path, field, name, changes, message):
    table = {"catalogue": CATALOGUE, "matches": MATCHES}[name] | changes
    with pytest.raises(InputError, match=message):
        extract({**field, name: write_table(tmp_path / "odd.fits", name.upper(), table)})


@pytest.mark.parametrize("name", ["events", "exposure", "catalogue", "truth", "matches"])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_files_that_are_missing_or_cut_short(field, name, fault):
    content = field[name].read_bytes()
    field[name].unlink()
    if fault == "truncated":
        field[name].write_bytes(content[: len(content) - 2000])
    with pytest.raises(InputError, match=rf"{name}\.fits: (no such|truncated or damaged)"):
        extract(field)
    assert not field["output"].exists()


def test_the_flag_trap_stops_the_step(tmp_path, field):
    path = write_sixte_calibrated(tmp_path / "cal.fits", photons(2000, *CENTRE))
    assert isinstance(extract({**field, "events": path}), xr.Dataset)
    with pytest.raises(InputError, match=r"SIXTE.*events\.flag_mask to auto or 0"):
        extract({**field, "events": path}, events_block={"flag_mask": "0xC000F000", "pattern": 15})


SMALL_BOX = ImageGeometry(box_pixels=60, pixel_sky=80, base_rebin=3, edges_ev=(250, 455, 660))


def test_images_do_not_depend_on_the_pieces(tmp_path, monkeypatch):
    ra, dec = np.array([136.0, 136.02, 140.0]), np.array([1.5, 1.48, 1.5])
    path = write_esass(tmp_path / "events.fits", photons(5000, width_deg=0.1))
    found = []
    for rows in (333, 1000, 10_000):
        monkeypatch.setattr(cutouts, "stream_events", partial(stream_events, rows=rows))
        counts, _, modules = cutouts.count_list(path, Selection(), ImageStack(ra, dec, SMALL_BOX))
        assert modules == set(range(1, 8))
        found.append(counts)
        if rows == 333:
            events = read_events(path)
            for image, centre in zip(counts, zip(ra, dec, strict=True), strict=True):
                # each 3 x 3 block of the naive cube of all photons
                naive = cube(events, *centre, SMALL_BOX).reshape(2, 20, 3, 20, 3).sum(axis=(2, 4))
                np.testing.assert_array_equal(image, naive)
    assert found[0][:2].sum(axis=(1, 2, 3)).min() > 50
    assert found[0][2].sum() == 0
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_bright_pixels_are_counted_to_the_last_that_can_be_stored(tmp_path):
    stack = ImageStack(np.array([136.0]), np.array([1.5]), SMALL_BOX)
    piece = read_events(write_esass(tmp_path / "events.fits", planted(PI=[300.0] * 13107 + [500.0])))
    for _ in range(5):
        stack.add(piece)
    assert stack.counts.max() == 5 * 13107 == 65535
    assert stack.counts.sum(dtype=int) == 5 * 13108
    with pytest.raises(InputError, match="78642 photons, more than the 65535"):
        stack.add(piece)
