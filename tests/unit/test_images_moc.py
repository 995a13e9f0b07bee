"""The coverage of a field as a MOC: HEALPix cells against STILTS, covered and uncovered places, merged cells."""

import shutil
import subprocess

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustermass.images.exposure import ExposureMap
from clustermass.images.moc import covered_cells, merged, nested_cell, write_moc
from clustermass.io.products import write_exposure

#: RA, DEC in deg -> cell of order 11, by `healpixNestIndex` of STILTS 3.4.7
BY_STILTS = {
    (90.0, 90.0): 8388607,
    (180.0, -90.0): 41943040,
    (270.0, 41.8): 33554431,
    (359.9999999, -41.9): 47535440,
    (0.0, 89.9999): 4194303,
    (123.0, -89.99): 37748736,
    (235.391763984622, 29.419414000177): 9261436,
    (155.241629559866, -25.432272403616): 39815146,
    (312.235382031192, -59.5614500069): 46964428,
    (227.56864230006, 0.092458088562): 32155088,
    (291.698766758268, 38.344191991301): 14935198,
    (123.046100618441, -22.157212063553): 41477360,
    (195.720944280644, 15.072000927739): 28597651,
    (70.666878641311, -18.404750456682): 21673485,
    (358.610828442706, 62.017085761807): 14644851,
    (87.557567150278, 37.552396861297): 25147306,
    (92.472288201757, 32.554677124725): 25105676,
    (26.348426060748, -57.848407890888): 34333500,
}
STEP = 0.05
CARDS = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CUNIT1": "deg", "CUNIT2": "deg"}


@pytest.fixture(params=[1, 25])
def field(request, tmp_path):
    """Write a map of 4 deg x 3 deg about RA 0, of which a frame isn't exposed, and a corner hardly."""
    fine = request.param
    seconds = np.zeros((60, 80), dtype=np.float32)
    seconds[10:50, 10:70] = 1000.0
    seconds[10:20, 10:20] = 20.0
    centre = {"CRPIX1": 40 * fine + 0.5, "CRPIX2": 30 * fine + 0.5, "CRVAL1": 0.0, "CRVAL2": 0.0}
    cards = CARDS | centre | {"CDELT1": -STEP / fine, "CDELT2": STEP / fine}
    write_exposure(tmp_path / "exposure.fits", np.kron(seconds, np.ones((fine, fine), np.float32)), cards)
    return ExposureMap.read(tmp_path / "exposure.fits")


def ranges(path, order):
    """Return the cells of an order that a MOC holds, unpacked from its NUNIQ numbers as the standard defines them."""
    cells = []
    for uniq in Table.read(path)["UNIQ"].tolist():
        level = (uniq.bit_length() - 1) // 2 - 1
        first = (uniq - 4 ** (level + 1)) << 2 * (order - level)
        cells += range(first, first + 4 ** (order - level))
    return np.array(cells)


def test_cells_are_those_of_stilts():
    places = np.array(list(BY_STILTS))
    assert nested_cell(*places.T, 11).tolist() == [*BY_STILTS.values()]
    # the numbering is nested
    assert nested_cell(*places.T, 3).tolist() == [cell >> 16 for cell in BY_STILTS.values()]


def test_all_cells_have_one_area():
    rng = np.random.default_rng(50)
    cells = nested_cell(rng.uniform(-180, 540, 400_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 400_000))), 2)
    numbers = np.bincount(cells, minlength=192)
    assert numbers.size == 192
    assert abs(numbers - 400_000 / 192).max() < 5 * np.sqrt(400_000 / 192)


def test_the_moc_holds_the_exposed_places_and_no_others(field, tmp_path):
    write_moc([field], tmp_path / "a.moc.fits", {"source": "test"})
    header = fits.getheader(tmp_path / "a.moc.fits", 1)
    assert [header[key] for key in ("PIXTYPE", "ORDERING", "COORDSYS")] == ["HEALPIX", "NUNIQ", "C"]
    order = header["MOCORDER"]
    cells = ranges(tmp_path / "a.moc.fits", order)
    assert np.unique(cells).size == cells.size
    side = 58.6 / 2**order
    ra, dec = np.meshgrid(np.linspace(-2.4, 2.4, 300), np.linspace(-2, 2, 250))
    held = np.isin(nested_cell(ra, dec, order), cells)
    x, y = np.abs(ra), np.abs(dec)
    assert held[(x < 1.5 - STEP) & (y < 1 - STEP) & ~((ra > 1 - STEP) & (dec < -0.5 + STEP))].all()
    assert not held[(x > 1.5 + 1.5 * side) | (y > 1 + 1.5 * side)].any()
    assert not held[(ra > 1 + 1.5 * side) & (dec < -0.5 - 1.5 * side)].any()  # 2 % of the median
    uniq = Table.read(tmp_path / "a.moc.fits")["UNIQ"]
    assert (np.diff(uniq) > 0).all()
    assert len(uniq) < cells.size


def test_several_maps_are_one_coverage(field, tmp_path):
    other = ExposureMap(((field.planes[0][0], field.planes[0][1].deepcopy()),))
    other.planes[0][1].wcs.crval = [30.0, 0.0]
    write_moc(iter([field, other]), tmp_path / "a.moc.fits", {"source": "test"})
    order = fits.getheader(tmp_path / "a.moc.fits", 1)["MOCORDER"]
    expected = np.concatenate([covered_cells(one, order) for one in (field, other)])
    np.testing.assert_array_equal(np.sort(ranges(tmp_path / "a.moc.fits", order)), np.sort(expected))


def test_a_whole_sky_is_twelve_cells():
    assert merged(np.arange(12 * 4**4), 4).tolist() == list(range(4, 16))
    assert merged(np.array([0, 1, 2, 3, 7]), 3).tolist() == [64, 4**4 + 7]


@pytest.mark.skipif(shutil.which("stilts") is None, reason="needs stilts, TOPCAT's command line (Debian: stilts)")
def test_stilts_reads_the_moc(field, tmp_path):
    write_moc([field], tmp_path / "a.moc.fits", {"source": "test"})
    rng = np.random.default_rng(51)
    places = Table({"ra": rng.uniform(-3, 3, 500) % 360, "dec": rng.uniform(-2, 2, 500)})
    places.write(tmp_path / "places.fits")
    marked = tmp_path / "marked.fits"
    condition = f"addcol held 'inMoc(\"{tmp_path}/a.moc.fits\",ra,dec)'"
    command = ["stilts", "tpipe", f"in={tmp_path}/places.fits", f"cmd={condition}", f"out={marked}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    table = Table.read(marked)
    order = fits.getheader(tmp_path / "a.moc.fits", 1)["MOCORDER"]
    ours = np.isin(nested_cell(np.asarray(table["ra"]), np.asarray(table["dec"]), order), covered_cells(field, order))
    np.testing.assert_array_equal(np.asarray(table["held"]), ours)
    assert 50 < ours.sum() < 450
