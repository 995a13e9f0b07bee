"""The published training set into the files of a sky: faults are named with file and row, every number followed."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from baseline_inputs import BLOCK, write_sky
from ingest_published_inputs import COSMOLOGY, make_catalogue, make_images, write_set

from clustermass.baselines.fit import fit_baselines
from clustermass.baselines.measurements import Sky
from clustermass.config.resolve import load_config
from clustermass.dataset.split import split_sample
from clustermass.errors import InputError
from clustermass.images.preprocessing import preprocess
from clustermass.ingest.published_set import ingest_published
from clustermass.io.netcdf import read_netcdf

RECIPE = {
    "half_width_arcsec": 600.0,
    "pixel_arcsec": 24.0,
    "smoothing": {"half_width": [1, 1, 5], "sigma": 0.75},
    "clip": 36.0,
    "transform": "none",
}
IMAGES = {"box_pixels": 300, "pixel_arcsec": 4.0, "base_rebin": 3, "centre": "detected"}
IMAGES |= {"bands": {"start_ev": 250, "width_ev": 205, "number": 10}}
EVENTS = {"flag_mask": "auto", "pattern": 15}


EACH = 10  # clusters of each of three realizations
ALL = 3 * EACH


@pytest.fixture
def catalogue():
    return make_catalogue(each=EACH)


@pytest.fixture(scope="module")
def images():
    return make_images(make_catalogue(each=EACH))


@pytest.fixture(scope="module")
def straight(tmp_path_factory, images):
    """Files of the set as it is."""
    return ingested(tmp_path_factory.mktemp("straight"), make_catalogue(each=EACH), images)


def ingest(folder, sky):
    files = {
        kind: [folder / f"{number:02d}" / name for number in range(1, sky["realizations"] + 1)]
        for kind, name in (("images", "images.nc"), ("truth", "truth.fits"))
    }
    for path in files["images"]:
        path.parent.mkdir(exist_ok=True)
    ingest_published(sky, COSMOLOGY, IMAGES, EVENTS, **files)
    return files


def ingested(folder, catalogue, images, **options):
    return ingest(folder, write_set(folder, catalogue, images, **options))


def message(folder, catalogue, images, changes=None, **options):
    sky = write_set(folder, catalogue, images, **options) | (changes or {})
    with pytest.raises(InputError) as caught:
        ingest(folder, sky)
    assert not list(folder.glob("*/*.nc"))
    return str(caught.value)


def test_every_cluster_arrives_with_its_own_image_and_numbers(straight, catalogue, images):
    rows = {int(source): row for row, source in enumerate(catalogue["SRC_ID_IN"])}
    met = 0
    for number, path in enumerate(straight["images"], start=1):
        part = read_netcdf(path)
        assert part["image"].dtype == np.float32
        assert dict(part["image"].sizes) == {"cluster": EACH, "band": 10, "y": 50, "x": 50}
        for place, name in enumerate(part["cluster"].values.tolist()):
            realization, _, source = name.partition("_")
            row = rows[int(source)]
            met += 1
            assert int(realization) == catalogue["Nreal"][row] == number
            theirs = images[row].transpose(2, 0, 1)
            np.testing.assert_allclose(part["image"].values[place], theirs, atol=2e-6)
            assert (part["image"].values[place] >= 0).all()
            for ours, column in (("redshift", "z"), ("ml_rate", "ML_RATE"), ("exposure_s", "ML_EXP"), ("ra", "RA")):
                assert float(part[ours][place]) == pytest.approx(catalogue[column][row], rel=1e-6)
            assert 10 ** float(part["log10_m500c"][place]) == pytest.approx(catalogue["M500c"][row], rel=1e-6)
            counts = catalogue["ML_RATE"][row] * catalogue["ML_EXP"][row]
            assert float(part["ml_cts"][place]) == pytest.approx(counts, rel=1e-6)
    assert met == len(catalogue) == ALL
    np.testing.assert_allclose(part["band_bounds"].values[[0, -1]].ravel(), [0.25, 0.455, 2.095, 2.3])
    assert part["x"].values[[0, -1]].tolist() == [-588.0, 588.0]
    assert (part["covered_fraction"] == 1).all()
    assert set(part["exp_from"].values) == {"ML_EXP"}


def test_the_truth_holds_each_halo_once_without_isolation(tmp_path, catalogue, images):
    for name in ("z", "M500c", "R500c_arcmin"):
        catalogue[name][[1, EACH + 5]] = catalogue[name][0]  # seen twice in realization 1 and again in 2
    files = ingested(tmp_path, catalogue, images)
    tables = [fits.getdata(path, "TRUTH") for path in files["truth"]]
    assert [len(table) for table in tables] == [EACH - 1, EACH, EACH]
    first, second = (read_netcdf(path)["halo_id"].values for path in files["images"][:2])
    assert first[0] == first[1] == second[5]
    assert np.unique(np.concatenate([first, second])).size == 2 * EACH - 2
    assert (tables[0]["COUNTS"] == -1).all()
    luminosity = dict(zip(tables[2]["SRC_ID"].tolist(), tables[2]["L500"].tolist(), strict=True))
    row = 2 * EACH + 4
    assert luminosity[int(catalogue["SRC_ID_IN"][row])] == pytest.approx(10 ** catalogue["Lx_soft"][row])


@pytest.mark.parametrize(("protocol", "numpy_ids"), [(2, True), (5, False)])
def test_ids_in_another_order_join_the_images_to_their_rows(tmp_path, catalogue, images, straight, protocol, numpy_ids):
    order = np.random.default_rng(4).permutation(ALL)
    ids = catalogue["SRC_ID_IN"][order] if numpy_ids else [f"src {n}" for n in catalogue["SRC_ID_IN"][order]]
    shuffled = [images[row] for row in order]
    mixed = ingested(tmp_path, catalogue, shuffled, ids=ids, protocol=protocol)
    for ours, theirs in zip(mixed["images"], straight["images"], strict=True):
        assert np.array_equal(read_netcdf(ours)["image"].values, read_netcdf(theirs)["image"].values)


def composite(catalogue):
    """Numbers that repeat between realizations, which only the realization distinguishes."""
    catalogue["SRC_ID_IN"] = np.tile(np.arange(EACH) + 500, 3)
    return catalogue


@pytest.mark.parametrize(
    "ids",
    [
        lambda table: [(n, s) for n, s in table["Nreal", "SRC_ID_IN"].iterrows()],
        lambda table: [f"{s}_{n:02d}" for n, s in table["Nreal", "SRC_ID_IN"].iterrows()],
        lambda table: np.arange(ALL),
        lambda table: np.arange(ALL) + 1.0,
        lambda table: table["SRC_ID_IN"],
    ],
)
def test_ids_of_several_kinds_are_understood(tmp_path, catalogue, images, ids):
    catalogue = composite(catalogue)
    files = ingested(tmp_path, catalogue, images, ids=[plain(entry) for entry in ids(catalogue)])
    assert read_netcdf(files["images"][1])["cluster"].values[3] == "02_503"


def plain(entry):
    return tuple(int(part) for part in entry) if isinstance(entry, tuple) else entry


def test_two_rows_of_one_source_get_names_of_their_own(tmp_path, catalogue, images):
    catalogue["SRC_ID_IN"][7] = catalogue["SRC_ID_IN"][2]
    files = ingested(tmp_path, catalogue, images)
    names = read_netcdf(files["images"][0])["cluster"].values.tolist()
    assert len(set(names)) == EACH
    assert names[7] == f"{names[2]}_2"


def test_unknown_ids_are_refused_unless_the_order_is_to_be_taken(tmp_path, catalogue, images):
    ids = np.arange(ALL) * 3 + 11
    text = message(tmp_path, catalogue, images, ids=ids)
    assert "its ids (the first: 11, the last: 98)" in text
    assert "pairing: order" in text
    sky = write_set(tmp_path, catalogue, images, ids=ids) | {"pairing": "order"}
    assert len(read_netcdf(ingest(tmp_path, sky)["images"][0])["cluster"]) == EACH


def test_images_of_other_clusters_are_found_out_by_their_brightness(tmp_path, catalogue, images):
    text = message(tmp_path, catalogue, images[::-1], {"pairing": "order"})
    assert "images.pickle: images and catalogue don't belong together" in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"z": 0.0}, "catalogue.fits: column z, row 13: 0 is not above 0."),
        ({"z": np.nan}, "catalogue.fits: column z, row 13: nan is not above 0."),
        ({"M500c": 14.2}, "catalogue.fits: column M500c, row 13: 14.2 is no mass of a cluster in Msun"),
        ({"M500c": -1.0}, "catalogue.fits: column M500c, row 13: -1 is no mass"),
        ({"ML_RATE": 0.0}, "catalogue.fits: column ML_RATE, row 13: 0 is not above 0."),
        ({"ML_EXP": np.inf}, "catalogue.fits: column ML_EXP, row 13: inf is not above 0."),
        ({"DET_LIKE": -2.0}, "catalogue.fits: column DET_LIKE, row 13: -2 is negative."),
        ({"Nreal": 1.5}, "catalogue.fits: column Nreal, row 13: 1.5 is no whole number."),
        ({"Nreal": 0}, "catalogue.fits: column Nreal, row 13: 0 is no realization from 1 to 3"),
        ({"DEC": 95.0}, "catalogue.fits: column DEC, row 13: 95 is no position"),
        ({"R500c_arcmin": 0.0}, "catalogue.fits: column R500c_arcmin, row 13: 0 is not above 0."),
    ],
)
def test_a_faulty_cell_is_named_by_column_and_row(tmp_path, catalogue, images, change, expected):
    ((name, value),) = change.items()
    catalogue[name] = catalogue[name].astype(float)
    catalogue[name][12] = value
    assert expected in message(tmp_path, catalogue, images, {"realizations": 3})


def test_missing_columns_realizations_and_kinds_of_file(tmp_path, catalogue, images):
    assert "no row of realization 4 (2 of 5" in message(tmp_path, catalogue, images, {"realizations": 5})
    assert "3 is no realization from 1 to 2" in message(tmp_path, catalogue, images, {"realizations": 2})
    feather = str(tmp_path / "eFEDS_mock_clusters_catalog.f")
    assert "with the ending .fits" in message(tmp_path, catalogue, images, {"catalogue": feather})
    catalogue.rename_column("M500c", "M_500c")
    text = message(tmp_path, catalogue, images)
    assert "has no column M500c (1 of 12 are missing: M500c). Did you mean M_500c?" in text


def test_the_radius_finds_out_masses_in_the_other_unit(tmp_path, catalogue, images):
    catalogue["M500c"] *= 0.6774  # now in Msun/h
    text = message(tmp_path, catalogue, images)
    assert "M500c as Msun is -0.169 dex above what R500c_arcmin implies" in text
    assert "mass_unit: Msun/h" in text
    sky = write_set(tmp_path, catalogue, images) | {"mass_unit": "Msun/h"}
    masses = read_netcdf(ingest(tmp_path, sky)["images"][0])["log10_m500c"].values
    np.testing.assert_allclose(masses, np.log10(make_catalogue(each=EACH)["M500c"][:EACH]), atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda i: i[:-1], "holds 30 ids and 29 images, but the catalogue 30 rows"),
        (lambda i: [*i[:4], i[4][:, :, :9], *i[5:]], "image 5 is float32 (50, 50, 9), but must be an array"),
        (lambda i: [*i[:4], i[4].tolist(), *i[5:]], "image 5 is list, but must be an array"),
        (lambda i: [*i[:4], i[4] * np.nan, *i[5:]], "image 5 has 25000 pixels that aren't finite"),
        (lambda i: [*i[:4], i[4] * 1e300, *i[5:]], "pixels that aren't finite"),
        (lambda i: [*i[:4], i[4] - 0.5, *i[5:]], "image 5 has negative counts"),
        (lambda i: [*i[:4], i[4] * 0, *i[5:]], "image 5 holds no photon"),
        (lambda i: [*i[:4], i[4].astype(complex), *i[5:]], "truncated or damaged pickle"),
    ],
)
def test_a_faulty_image_is_named(tmp_path, catalogue, images, fault, expected):
    text = message(tmp_path, catalogue, fault(images))
    assert "images.pickle: " in text
    assert expected in text


def test_other_contents_and_keys_of_the_pickle(tmp_path, catalogue, images):
    sky = write_set(tmp_path, catalogue, images)
    for content, expected in (
        ({"clusters": [1], "gsm_3dImgs": [2]}, "but holds the keys 'clusters', 'gsm_3dImgs'"),
        ([1, 2], "but holds list"),
        ({"cluster": 3, "gsm_3dImgs": []}, "'cluster' is a int, but must be a list"),
    ):
        (tmp_path / "images.pickle").write_bytes(pickle.dumps(content))
        with pytest.raises(InputError, match=expected):
            ingest(tmp_path, sky)


def test_one_array_of_all_images_is_as_good_as_a_list(tmp_path, catalogue, images):
    sky = write_set(tmp_path, catalogue, images)
    content = {"cluster": np.asarray(catalogue["SRC_ID_IN"]), "gsm_3dImgs": np.stack(images)}
    (tmp_path / "images.pickle").write_bytes(pickle.dumps(content))
    found = read_netcdf(ingest(tmp_path, sky)["images"][0])["image"].values
    np.testing.assert_allclose(found, np.stack(images[:EACH]).transpose(0, 3, 1, 2), atol=2e-6)


def test_only_clip_and_transform_are_left_of_the_recipe(tmp_path, catalogue, images):
    bright = [image * 40 for image in images]
    files = ingested(tmp_path, catalogue, bright)
    given = read_netcdf(files["images"][0])["image"].values
    assert given.max() > 36
    preprocess(files["images"][0], tmp_path / "clipped.nc", RECIPE)
    clipped = read_netcdf(tmp_path / "clipped.nc")
    assert np.array_equal(clipped["image"].values, np.minimum(given, 36))
    assert json.loads(clipped.attrs["cutting"])["images"]["box_pixels"] == 300
    preprocess(files["images"][0], tmp_path / "root.nc", {**RECIPE, "transform": "sqrt"})
    np.testing.assert_allclose(read_netcdf(tmp_path / "root.nc")["image"].values ** 2, np.minimum(given, 36), rtol=1e-5)
    for change in ({"pixel_arcsec": 48.0}, {"smoothing": None}, {"half_width_arcsec": 300.0}):
        with pytest.raises(InputError, match=next(iter(change))):
            preprocess(files["images"][0], tmp_path / "other.nc", {**RECIPE, **change})


def test_baselines_that_need_counts_are_left_out_and_say_so(tmp_path):
    catalogue = make_catalogue()
    files = ingested(tmp_path, catalogue, make_images(catalogue))
    division = {"fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 1, "box_arcsec": 1200.0}
    split_sample(files["images"], tmp_path / "split.nc", division)
    block = load_config([Path(__file__).parents[2] / "config" / "config.yaml"])["baselines"]
    selection = {"log10_m500c_min": 13.0, "log10_m500c_max": 15.3, "det_like_min": 5.0, "ext_like_min": 6.0}
    sky = Sky(files["images"], files["truth"], COSMOLOGY)
    fit_baselines(sky, tmp_path / "split.nc", selection, block, 1, tmp_path / "baselines.nc")
    found = read_netcdf(tmp_path / "baselines.nc")
    assert sorted(json.loads(found.attrs["left_out"])) == ["boosted_trees", "luminosity_selected", "ridge_features"]
    names = ["prior", "count_rate_efeds", "count_rate_recalibrated", "luminosity_published", "luminosity_recalibrated"]
    names.append("luminosity_temperature")
    assert found["predictor"].values.tolist() == names
    assert (found["isolated"] == -1).all()
    test = found["split"].values == "test"
    residual = (found["mu"] - found["log10_m500c"]).values[:, test]
    assert test.sum() > 3
    assert residual[2].std() < 0.5 * residual[0].std()  # the rates follow the masses, redshift alone doesn't


def test_a_sky_of_counts_is_compared_on_the_published_one_without_features(tmp_path, straight):
    write_sky(tmp_path)
    own, theirs = (
        Sky([tmp_path / "images.nc"], [tmp_path / "truth.fits"], COSMOLOGY),
        Sky(*straight.values(), COSMOLOGY),
    )
    output = tmp_path / "baselines.nc"
    selection, split = {"log10_m500c_min": 13.0}, tmp_path / "split.nc"
    fit_baselines(own, split, selection, BLOCK, 1, output, other=theirs, box_arcsec=1200.0)
    found = read_netcdf(output)
    assert found.sizes["cluster"] == ALL
    assert sorted(json.loads(found.attrs["left_out"])) == ["boosted_trees", "ridge_features"]
    assert np.isfinite(found["mu"].values).all()


def test_the_same_files_give_the_same_bytes(tmp_path, catalogue, images, straight):
    again = ingested(tmp_path, catalogue, images)
    first, second = ([path.read_bytes() for paths in files.values() for path in paths] for files in (straight, again))
    assert len(first) == 6
    assert first == second
