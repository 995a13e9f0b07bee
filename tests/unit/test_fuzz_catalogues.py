"""Damaged catalogues and truth tables: each ends in a result that can be right, or in an InputError."""

import numpy as np
import pytest
from astropy.table import Table
from fuzz_checks import DEC, RA, catalogue_table, tried
from fuzz_inputs import campaign, damages
from hypothesis import strategies as st

from clustermass.catalogues.truth import read_truth
from clustermass.catalogues.user_catalogue import read_catalogue


def check_catalogue(table):
    assert len(table) > 0
    assert len(set(table["ID_SRC"].tolist())) == len(table)
    assert np.all((table["RA"] >= 0) & (table["RA"] < 360) & (np.abs(table["DEC"]) <= 90))
    assert np.all((table["Z"] > 0) | (table["Z_TYPE"] == "none"))
    assert not np.isinf(table["Z"]).any()
    assert np.isfinite(table["DET_LIKE"]).all()


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits"])
def test_catalogues(tmp_path, ending):
    path = tmp_path / f"clusters.{ending}"
    catalogue_table().write(path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), read_catalogue)
        if found is not None:
            check_catalogue(found)

    campaign(0.06, damages(), case)


def test_catalogues_with_columns_swapped_and_cells_replaced(tmp_path):
    path, table = tmp_path / "clusters.csv", catalogue_table()

    def case(drawn):
        pair, row, cell = drawn
        changed = table.copy()
        changed[pair[0]], changed[pair[1]] = table[pair[1]].astype(str), table[pair[0]].astype(str)
        changed[pair[0]] = changed[pair[0]].astype("U40")
        changed[pair[0]][row] = cell
        changed.write(tmp_path / "new.csv", overwrite=True)
        found = tried(path, (tmp_path / "new.csv").read_bytes(), read_catalogue)
        if found is not None:
            check_catalogue(found)

    (tmp_path / "new.csv").touch()
    pairs = st.lists(st.sampled_from(table.colnames), min_size=2, max_size=2, unique=True)
    cells = st.sampled_from(["nan", "inf", "-1", "1e39", "9" * 30, "", "x", "0", "-99.9", "0x10", "1_0", "٣", "1,2"])
    campaign(0.06, st.tuples(pairs, st.integers(0, len(table) - 1), cells), case)


@pytest.mark.parametrize("ending", ["csv", "fits"])
def test_truth_tables(tmp_path, ending):
    path = tmp_path / f"truth.{ending}"
    rng = np.random.default_rng(6)
    Table(
        {"SRC_ID": np.arange(1, 9), "RA": RA + rng.random(8), "DEC": DEC + rng.random(8), "Z": rng.uniform(0.1, 1, 8)}
        | {"M500C": 10 ** rng.uniform(13.5, 15, 8)}
    ).write(path)
    content = path.read_bytes()

    def case(damage):
        found = tried(path, damage.apply(content), lambda path: read_truth(path, {}, "01"))
        if found is not None:
            assert np.all((found["LOG10_M500C"] > 9) & (found["LOG10_M500C"] < 17) & (found["Z"] > 0))

    campaign(0.05, damages(), case)
