"""Clusters found by names, what their flags mean, and their pictures."""

import io
import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr
from cards_inputs import write_field
from matplotlib.image import imread

from clustermass.cards.field import FieldCards, Neighbour
from clustermass.cards.find import find_masses
from clustermass.cards.image import pictures, png
from clustermass.cards.page import content
from clustermass.cards.show import draw_card, list_of_strangest, save_card, text_card
from clustermass.cards.words import _MAY_BE, mass_in_words, notes
from clustermass.cli import main
from clustermass.ensemble.ood_quantities import QUANTITIES
from clustermass.errors import InputError
from clustermass.io.netcdf import write_netcdf

BLEND = "a blend, photons taken for a neighbour's, or a rate from another energy band or exposure"
UNLIKE = "an image unlike those in training, such as a blend"


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    names = ["Abell 1", "Abell 12", "MACS J0", "", "my_own", "El Gordo"]
    return FieldCards.read(write_field(tmp_path_factory.mktemp("cards"), names=names))


@pytest.mark.parametrize(
    ("wanted", "row"),
    [("101", 0), ("01_103", 2), ("abell 1", 0), ("Abell_12", 1), ("gordo", 5), ("MY OWN", 4), ("macs", 2)],
)
def test_a_cluster_is_found_by_id_name_or_part_of_a_name(field, wanted, row):
    assert field.find(wanted) == row
    assert field.find(field.columns["NAME"][row].lower().replace(" ", "_")) == row


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("abel", "'abel' is a part of 2 names: TEST J"),
        ("El Gardo", "no cluster .* Did you mean El Gordo"),
        ("xyzzy", r"no cluster .*\. It holds TEST J.*, \.\.\."),
        ("", "no cluster"),
        ("12", "no cluster"),  # an id, not a part of Abell 12
    ],
)
def test_an_unknown_or_ambiguous_name_gets_suggestions(field, wanted, message):
    with pytest.raises(InputError, match=message):
        field.find(wanted)


def test_a_catalogue_is_found_in_folders(tmp_path):
    (place := tmp_path / "results/default/fiducial/observed/mine").mkdir(parents=True)
    (place / "masses.fits").touch()
    for start in (tmp_path, place.parents[2], place.parents[1], place, place / "masses.fits", place / "masses.vot"):
        assert find_masses(start) == place / "masses.fits"
    (tmp_path / "results/default/fiducial/observed/other").mkdir()
    (tmp_path / "results/default/fiducial/observed/other/masses.fits").touch()
    with pytest.raises(InputError, match=r"several mass catalogues.*in Python: field"):
        find_masses(tmp_path)
    with pytest.raises(InputError, match="no mass catalogue there"):
        find_masses(tmp_path / "nothing.fits")


def test_each_flag_is_explained(tmp_path):
    flags = {"FLAG_RANGE": [1, 0, 0, 0, 0, 0], "FLAG_EDGE": [0, 1, 0, 0, 0, 0], "FLAG_OOD": [0, 0, 1, 0, 0, 0]}
    flags |= {"FLAG_NOCAT": [0, 0, 0, 1, 0, 0], "COVERED_FRACTION": [1, 0.9, 1, 1, 1, 1]}
    flags |= {"OOD_WHY": ["", "", "rate", "", "", ""], "OOD_P": [0.5, 0.5, 0.004, 0.5, 0.5, np.nan]}
    flags |= {"Z": [1.31, 0.3, 0.3, 0.3, 0.3, np.nan]}
    field = FieldCards.read(write_field(tmp_path, **{name: np.array(values) for name, values in flags.items()}))
    rate = field.data["given"][2, 2]
    words = [" ".join(note.text for note in notes(field, row)) for row in range(6)]
    assert "Redshift 1.31, above the range of the training clusters, 0.05 to 1.20 (FLAG_RANGE)" in words[0]
    assert "Bright neighbour 141″ to the NW, inside R500c: another extended source with 1.2 times" in words[0]
    assert "Edge of the field: 90 %" in words[1]
    assert "FLAG_OOD): 0.4 % of validation clusters are as unusual" in words[2]
    assert f"count rate in the catalogue, {abs(rate):.1f} σ {'below' if rate < 0 else 'above'} what" in words[2]
    assert "lacks count rate, extent or background (FLAG_NOCAT)" in words[3]
    largest = field.distances(4)[0]
    assert words[4].startswith(f"No flag: inside the range of the training clusters and like them. Its largest distance"
                               f": {QUANTITIES[largest.quantity]}, {abs(largest.given):.1f} σ ")  # fmt: skip
    assert "no usable redshift of this cluster (FLAG_NOZ)" in words[5]
    assert [notes(field, row)[0].warns for row in range(6)] == [True, True, True, True, False, True]
    lines = list_of_strangest(field).splitlines()
    assert lines[0].startswith("6 clusters, 5 with a mass. FLAG_OOD marks 1 as unlike the training clusters; 0.1 are ")
    name, z, mass, rarity, flags = lines[1].split("  ")[1:]
    assert (name, z, rarity, flags) == (field.columns["NAME"][2], "z 0.300", "OOD_P 0.0040", "FLAG_OOD")
    assert mass == f"log10 M500c {field.columns['LOGM500'][2]:.2f}"
    words = " ".join(" ".join(lines[2:]).split())
    assert words.startswith(f"Possible cause: {BLEND}. Most unusual: count rate in the catalogue, {abs(rate):.1f} σ ")
    assert words.count("Most unusual: ") == 5
    assert words.count("Possible cause") == 1  # of the cluster with FLAG_OOD
    assert sorted(line.split("  ")[-1] for line in lines[3:-1] if "OOD_P" in line) == [
        "FLAG_EDGE",
        "FLAG_NOCAT",
        "FLAG_RANGE (redshift)",
        "no flag",
    ]


@pytest.mark.parametrize(
    ("rarity", "number", "words"),
    [
        (1 / 375, 374, "none of 374 validation clusters is as unusual"),
        (2 / 375, 374, "1 of 374 validation clusters is as unusual"),
        (4 / 1128, 1127, "3 of 1127 validation clusters are as unusual"),
        (np.nan, 374, "nan % of validation clusters"),
    ],
)
def test_a_rank_is_a_number_of_validation_clusters(tmp_path, rarity, number, words):
    flagged = {"FLAG_OOD": np.ones(6), "OOD_P": np.full(6, rarity)}
    field = FieldCards.read(write_field(tmp_path, **flagged))
    field.header["NOOD"] = number
    assert words in notes(field, 1)[0].text


def test_values_near_the_end_of_a_range_have_the_decimals_that_tell_them_apart(tmp_path):
    outside = {"FLAG_RANGE": np.ones(6), "Z": np.array([0.0497, 1.21, 0.01, 1.2004, 5.0, 0.3])}
    field = FieldCards.read(write_field(tmp_path, **outside))
    begins = [notes(field, row)[0].text.partition(" (")[0] for row in range(4)]
    ranges = "the range of the training clusters, "
    assert begins == [
        f"Redshift 0.0497, below {ranges}0.0500 to 1.2000", f"Redshift 1.21, above {ranges}0.05 to 1.20",
        f"Redshift 0.01, below {ranges}0.05 to 1.20", f"Redshift 1.2004, above {ranges}0.0500 to 1.2000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("offsets", "counts", "extent", "flagged", "begins", "warns"),
    [
        ((0, -47), 184, 0, 1, "47″ to the S, inside R500c: a point-like source with 2.3 times", True),
        ((0, -47), 184, 0, 0, "47″ to the S, inside R500c: a point-like source with 2.3 times", False),
        ((0, 47), 320, 0, 0, "47″ to the N, inside R500c: a point-like source with 4.0 times", True),
        ((-150, 150), 44, 0, 0, "212″ to the NE, in the networks' image: a point-like source with 0.6 times", False),
        ((-150, 150), 44, 9, 0, "212″ to the NE, in the networks' image: another extended source with 0.6 times", True),
        ((0, 47), 36, 0, 1, "", False),  # less than half of the counts
        ((200, 0), 800, 9, 1, "", False),  # outside the networks' image
    ],
)
def test_a_bright_neighbour_is_named(tmp_path, offsets, counts, extent, flagged, begins, warns):
    field = FieldCards.read(write_field(tmp_path, FLAG_OOD=np.full(6, flagged)))
    for name, value in zip(("x", "y", "cts", "ext_like"), (*offsets, counts, extent), strict=True):
        field.data[f"near_{name}"][1, 3] = value
    found = [note for note in notes(field, 1) if note.text.startswith("Bright neighbour")]
    assert [
        note.text.startswith(f"Bright neighbour {begins} the cluster's counts ({counts} against 80)") for note in found
    ] == [True] * bool(begins)
    assert [note.warns for note in found] == [warns] * bool(begins)
    assert "No flag" in notes(field, 1)[0].text if not flagged else "No flag" not in str(notes(field, 1))
    listed = " ".join(list_of_strangest(field).split())
    assert (f"with {counts / 80:.1f} times the cluster's counts." in listed) == bool(flagged and begins)


def test_small_masses_have_a_smaller_power_of_ten_and_a_radius_beyond_the_image_is_stated(tmp_path):
    mass = {f"LOGM500_Q{q}": np.full(6, value) for q, value in ((16, 12.88), (50, 12.98), (84, 13.09))}
    field = FieldCards.read(write_field(tmp_path, R500C_ARCMIN=np.array([3, 5.1, 25, 3, 3, np.nan]), **mass))
    assert mass_in_words(field, 2) == ("9.55 (+2.75, −1.96)", 12)
    assert notes(field, 2)[-1].text == "R500c = 25′ is larger than the image; the networks see only its inner 3.2′."
    assert not notes(field, 2)[-1].warns
    assert ["larger than the image" in str(notes(field, row)) for row in range(6)] == [False, True, True, *[False] * 3]


def test_masses_from_elsewhere_are_shown_beside_that_of_the_networks(tmp_path):
    published = {"LOGM500_REF": np.array([14.1, *[np.nan] * 5]), "LOGM500_REF_ERR": np.full(6, 0.2)}
    field = FieldCards.read(write_field(tmp_path, **published))
    assert field.other_masses(1) == []
    field.data["rate_mass"][:2], field.data["rate_mass_err"][:2] = 13.98, 0.17
    assert [one.source for one in field.other_masses(0)] == ["published", "by count rate"]
    assert "log10(M500c/Msun) = 14.10 ± 0.20, published" in text_card(field, 0)
    assert "log10(M500c/Msun) = 13.98 ± 0.17, by count rate" in text_card(field, 1)
    assert content(field)["clusters"][1]["others"] == [["by count rate", 13.98, 0.17]]
    labels = [axes.get_legend_handles_labels()[1] for axes in draw_card(field, 1).axes]
    assert sum("by count rate" in one for one in labels) == 1


@pytest.mark.parametrize(("bits", "label"), [(0, ""), (8, ""), (1, ", extrapolated"), (10, ", extrapolated")])
def test_a_mass_by_count_rate_outside_the_training_range_is_extrapolated(tmp_path, bits, label):
    field = FieldCards.read(write_field(tmp_path, FLAG_RANGE=np.full(6, bits)))
    field.data["rate_mass"][1], field.data["rate_mass_err"][1] = 13.98, 0.17
    assert f"13.98 ± 0.17, by count rate{label}\n" in text_card(field, 1)


@pytest.mark.parametrize(
    ("excess", "words"), [(0.99, "1.0 dex higher"), (-0.6, "0.6 dex lower"), (0.49, ""), (-0.4, "")]
)
def test_masses_that_disagree_are_a_warning(tmp_path, excess, words):
    field = FieldCards.read(write_field(tmp_path))
    field.data["rate_mass"][1] = field.columns["LOGM500"][1] + excess
    found = [note for note in notes(field, 1) if note.text.startswith("The mass by count rate is ")]
    assert [note.text.partition(" is ")[2].partition(" than")[0] for note in found] == [words] * bool(words)
    assert all(note.warns for note in found)


@pytest.mark.parametrize(
    ("why", "bits", "z", "radius", "causes"),
    [
        ("rate", 0, 0.3, 3, f": {BLEND}"),
        ("epistemic", 0, 0.3, 3, f": {UNLIKE}"),
        ("rate", 1, 0.01, 25, ": redshift below the range of the training clusters"),
        ("aleatoric", 8, 0.3, 3, f": {UNLIKE}"),  # the predicted mass isn't a cause
        ("aleatoric", 9, 0.01, 25, "s: redshift below the range of the training clusters; R500c larger than the image"),
        ("mass", 5, 1.3, 3, "s: redshift above the range of the training clusters; exposure outside the range of the "
         "training clusters"),
        ("outer_soft", 0, 0.3, 25, ": R500c larger than the image"),
        ("redshift", 0, 0.3, 3, ": a wrong redshift, or one that is rare in training"),
    ],
)  # fmt: skip
def test_possible_causes_of_unusual_quantities_are_named(tmp_path, why, bits, z, radius, causes):
    changed = {"FLAG_OOD": np.ones(6), "OOD_WHY": np.full(6, why), "FLAG_RANGE": np.full(6, bits)}
    field = FieldCards.read(write_field(tmp_path, **changed, Z=np.full(6, z), R500C_ARCMIN=np.full(6, radius)))
    field.data["near_cts"][:] = 0  # no bright neighbour
    (text,) = [note.text for note in notes(field, 1) if "FLAG_OOD" in note.text]
    assert text.partition(" Possible cause")[2].partition(" Most unusual: ")[0] == f"{causes}."
    field.data["near_x"][1, 0] = field.data["near_y"][1, 0] = field.data["near_ext_like"][1, 0] = 100
    field.data["near_cts"][1, 0] = 200
    (text,) = [note.text for note in notes(field, 1) if "FLAG_OOD" in note.text]
    named = "a bright neighbour, extended, with 2.5 times the cluster's counts" in text
    assert named == (why != "redshift")


def test_each_unusual_quantity_has_a_possible_cause():
    assert {*_MAY_BE} == {*QUANTITIES}


@pytest.mark.parametrize(
    ("x", "y", "direction"), [(0, 9, "N"), (-9, 0, "E"), (9, 0, "W"), (-7, -7, "SE"), (0.1, -9, "S"), (7, 7.1, "NW")]
)
def test_directions(x, y, direction):
    assert Neighbour(x, y, 1, 0).direction == direction


def test_energies_are_shown_as_colours_and_north_is_up():
    counts = np.zeros((3, 3, 50, 50), np.uint16)
    counts[0, 0, 40, 25] = counts[1, 2, 40, 25] = 200
    counts[2, :, 40, 25] = 200
    exposed = np.ones((3, 50, 50), np.uint8)
    exposed[2, :3, 47:] = 0  # the corner in the South and West
    soft, hard, neutral = pictures(counts, exposed, 12.0, [0, 1, 2])
    assert soft.shape == (50, 50, 3)
    place = np.unravel_index(soft.sum(axis=2).argmax(), (50, 50))
    assert place == (9, 25)  # the upper part
    assert soft[place][0] > 2 * soft[place][2]
    assert hard[place][2] > 2 * hard[place][0]
    assert np.ptp(neutral[place].astype(int)) < 40
    assert set(neutral[47:, 47:].ravel().tolist()) == {60, 110}  # stripes in the lower right corner
    assert neutral[:47].max() == neutral[place].max()


def test_a_png_holds_the_picture():
    picture = np.random.default_rng(2).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(np.rint(255 * imread(io.BytesIO(png(picture)))), picture)


def test_a_text_and_a_picture_of_a_cluster(field, tmp_path):
    text = text_card(field, 0)
    assert f"{field.columns['NAME'][0]} · ID_SRC 101 · Abell 1 · z = " in text
    assert f"log10(M500c/Msun) = {field.columns['LOGM500'][0]:.3f} ± 0.150" in text
    assert "no redshift" in text_card(field, 5)
    for row, kind in ((0, "png"), (5, "svg"), (1, "pdf")):
        save_card(field, row, tmp_path / f"card.{kind}", dpi=60)
    assert imread(tmp_path / "card.png").shape[1] == round(7.1 * 60)
    assert b"<svg" in (tmp_path / "card.svg").read_bytes()


def test_the_command_shows_a_cluster(field, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place = ["--field", str(field.path)]
    assert main(["show", *place]) == 0
    assert "as unlike the training clusters" in capsys.readouterr().out
    assert main(["show", "--strangest", *place]) == 0
    first = field.columns["NAME"][np.nanargmin(field.columns["OOD_P"])]
    assert capsys.readouterr().out.startswith(f"{first} · ")
    assert main(["show", "gordo", "--strangest", *place]) == 1
    assert "leave out 'gordo'" in capsys.readouterr().err
    assert main(["show", "gordo", *place]) == 0
    picture = tmp_path / f"{field.columns['NAME'][5].replace(' ', '_')}.png"
    assert picture.is_file()
    assert main(["show", "gordo", *place, "--output", str(picture)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["show", "gordo", *place, "--output", "card.gif"]) == 1
    assert main(["show", "gordo", "--field", "nowhere"]) == 1
    assert "no mass catalogue there" in capsys.readouterr().err


def test_settings_of_libraries_in_the_current_folder_are_not_read(tmp_path):
    masses = write_field(tmp_path)
    for name in ("matplotlibrc", ".ncrc"):
        (tmp_path / name).write_text("a\x1b[2J\n[\x1b[2JAll hashes are right\n")
    command = [sys.executable, "-P", "-m", "clustermass", "show", "101", "--field", masses]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_a_file_of_the_user_that_has_the_name_of_a_cluster_stays(tmp_path, monkeypatch, capsys):
    names = np.array(["holiday", "a$b", *(f"x{number}" for number in range(4))])
    masses = write_field(tmp_path, NAME=names)
    monkeypatch.chdir(tmp_path)
    holiday = tmp_path / "holiday.png"
    for own in (b"my picture", png(np.zeros((4, 4, 3), np.uint8))):
        holiday.write_bytes(own)
        assert main(["show", "101", "--field", str(masses)]) == 1
        assert "holiday.png: exists already." in capsys.readouterr().err
        assert holiday.read_bytes() == own
    holiday.unlink()
    for _ in range(2):  # a card is drawn again
        assert main(["show", "101", "--field", str(masses)]) == 0
    assert imread(holiday).shape[1] == round(7.1 * 200)


def test_wrong_cards_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    masses, other = write_field(tmp_path / "a"), write_field(tmp_path / "b", number=7)
    with pytest.raises(InputError, match="other clusters"):
        FieldCards.read(masses, other.with_suffix(".cards.nc"))
    for value in (np.nan, np.inf):
        with netCDF4.Dataset(other.with_suffix(".cards.nc"), "a") as file:
            file["colour_bounds"][1, 1] = value
        with pytest.raises(InputError, match=r"cards\.nc: colour_bounds holds numbers that aren't finite"):
            FieldCards.read(other)
    masses.with_suffix(".cards.nc").unlink()
    with pytest.raises(InputError, match="holds the images"):
        FieldCards.read(masses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.isel(colour=[0, 1, 2, 0]), "more than 3 colours in the data of cards"),
        (lambda data: data.assign_coords(x=data["x"] / 100, y=data["y"] / 100), "its variables aren't those of cards"),
    ],
)
def test_cards_whose_pictures_would_take_minutes_are_refused(tmp_path, change, message):
    masses = write_field(tmp_path)
    with xr.open_dataset(masses.with_suffix(".cards.nc")) as stored:
        data = change(stored.load())
    write_netcdf(data, masses.with_suffix(".cards.nc"), "test", {})
    with pytest.raises(InputError, match=message):
        FieldCards.read(masses)
