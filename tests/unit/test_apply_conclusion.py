"""The last lines of a mass catalogue's log: counts, exposure, and warnings about the sample as a whole."""

import numpy as np
import pytest
from apply_inputs import COSMOLOGY

from clustermass.apply.conclusion import conclude, split_clusters
from clustermass.cosmology import arcmin_per_mpc, r500c_mpc


def sample(number=200, flagged=0, why="background", outside=0, exp_from="given"):
    """Return columns of clusters of 10^14.2 Msun, 1 deg apart.

    The first one lacks a redshift, the second one exposure, the third one coverage; they have no mass.
    """
    columns = {name: np.zeros(number, dtype=np.int16) for name in ("FLAG_RANGE", "FLAG_EDGE", "FLAG_NOCAT", "FLAG_NOZ")}
    columns |= {"ID_SRC": np.arange(number), "NAME": np.array([f"X J{row}" for row in range(number)])}
    columns |= {"RA": np.arange(number) * 1.0, "DEC": np.zeros(number), "Z": np.full(number, 0.3)}
    columns |= {"Z_ERR": np.zeros(number), "LOGM500": np.full(number, 14.2), "EXPOSURE": np.full(number, 1200.0)}
    columns |= {"COVERED_FRACTION": np.ones(number), "EXP_FROM": np.full(number, exp_from)}
    columns["FLAG_OOD"] = (np.arange(number) >= number - flagged).astype(np.int16)
    columns["OOD_WHY"] = np.where(columns["FLAG_OOD"] != 0, why, "")
    columns["FLAG_RANGE"][number - outside :] = 4
    columns["LOGM500"][:3] = np.nan
    columns["R500C_ARCMIN"] = np.full(number, r500c_mpc(14.2, 0.3, COSMOLOGY) * arcmin_per_mpc(0.3, COSMOLOGY))
    columns["FLAG_NOZ"][0], columns["EXPOSURE"][1], columns["COVERED_FRACTION"][2] = 1, np.nan, 0.4
    return columns


def said(caplog, columns, level="INFO"):
    caplog.clear()
    with caplog.at_level(level, "clustermass"):
        conclude(columns, 0.7)
    return [record.getMessage() for record in caplog.records]


def warned(caplog, columns):
    """Return the warnings, without the two about the second and the third cluster."""
    return said(caplog, columns, "WARNING")[2:]


def test_the_last_lines_say_who_got_a_mass_and_what_was_assumed(caplog):
    lines = said(caplog, sample(flagged=2))
    lost = "no mass for 1 of 199 clusters with a redshift, because"
    assert lines == [
        "200 clusters, 3 without a mass: no redshift 1, no exposure 1, field's edge 1",
        f"{lost} no exposure is known at the position: X J1",
        f"{lost} less than 70 % of the image is exposed (FLAG_EDGE): X J2",
        "197 with a mass: 195 without a flag (GOOD), 2 with a flag: FLAG_OOD 2 (2.0 expected by chance), "
        "FLAG_RANGE 0, FLAG_EDGE 0, FLAG_NOCAT 0",
        "exposure from: given 197",
    ]


def test_the_numbers_of_the_last_lines_add_up_if_causes_coincide(caplog):
    columns = sample()
    columns["EXPOSURE"][0] = columns["COVERED_FRACTION"][0] = np.nan  # without redshift, too
    columns["COVERED_FRACTION"][1] = 0.0  # without exposure, too
    columns["FLAG_EDGE"][:4] = 1
    columns["FLAG_RANGE"][2:5] = 4  # the third one has no mass, the fourth one has two flags
    lines = said(caplog, columns)
    assert lines[0] == "200 clusters, 3 without a mass: no redshift 1, no exposure 1, field's edge 1"
    assert lines[3].startswith("197 with a mass: 195 without a flag (GOOD), 2 with a flag (1 with several): FLAG_OOD 0")
    assert lines[3].endswith("FLAG_RANGE 2, FLAG_EDGE 1, FLAG_NOCAT 0")


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("background", r"the exposure \(given 197\); ML_RATE, EXT or ML_BKG from another software or energy band"),
        ("outer_hard", "energies or modules unlike those in training"),
        ("offset", "positions that aren't the clusters' centres"),
    ],
)
def test_more_flags_than_chance_allows_are_a_warning_with_their_causes(caplog, why, cause):
    assert warned(caplog, sample(flagged=5)) == []  # chance 5 %
    (line,) = warned(caplog, sample(flagged=12, why=why))
    assert line.startswith("12 of 197 clusters are unlike the training clusters, where 2.0 are expected (chance ")
    assert f"What stands out: {why} 12. Likely causes: {cause}; events selected otherwise".replace("\\", "") in line


def test_eleven_of_eleven_are_a_warning(caplog):
    (line,) = warned(caplog, sample(14, flagged=11))
    assert line.startswith("11 of 11 clusters are unlike")


def test_a_sample_outside_the_training_range_is_a_warning(caplog):
    assert warned(caplog, sample(outside=10)) == []
    (line,) = warned(caplog, sample(outside=40))
    assert line.startswith("outside the range of the training clusters, of 197: exposure_s 40.")


def test_thousands_of_clusters_at_one_place_are_not_compared(caplog):
    columns = sample(4000)
    columns["RA"][:] = 3.0
    with caplog.at_level("WARNING", "clustermass"):
        assert split_clusters(columns) == []
    assert "15976009 pairs of clusters are less than R500 apart: too many" in caplog.text


def test_two_rows_of_one_cluster_are_named(caplog):
    columns = sample(6)
    r500 = float(r500c_mpc(14.2, 0.3, COSMOLOGY) * arcmin_per_mpc(0.3, COSMOLOGY)) / 60
    columns["RA"][4], columns["RA"][5] = 3 + 0.9 * r500, 3 - 0.9 * r500  # rows 4 and 5 are farther apart than R500
    assert split_clusters(columns) == [(3, 4), (3, 5)]
    lines = warned(caplog, columns)
    assert lines[0] == "X J3 and X J4 are less than R500 apart at one redshift: one cluster split in two? Keep one row"
    columns["Z"][4] = 0.35  # farther than errors allow, unless they are as large
    assert split_clusters(columns) == [(3, 5)]
    columns["Z_ERR"][4] = 0.03
    assert split_clusters(columns) == [(3, 4), (3, 5)]


def test_many_pairs_are_counted_and_ten_are_named(caplog):
    columns = sample(40)
    columns["RA"] = np.repeat(np.arange(20.0), 2)  # all but the first three, which have no mass, are in pairs
    columns["DEC"] = np.tile([0.0, 0.001], 20)
    split = split_clusters(columns)
    assert split == [(one, one + 1) for one in range(4, 40, 2)]
    lines = warned(caplog, columns)
    assert sum("one cluster split in two?" in line for line in lines) == 10
    assert lines[-1] == "8 further pairs are less than R500 apart at one redshift"
