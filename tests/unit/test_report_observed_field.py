"""What is said about an observed field: numbers of masses, causes of missing ones, and unusual clusters."""

import numpy as np
import pytest
from cards_inputs import write_field

from clustermass.cards.field import FieldCards
from clustermass.cards.page import write_page
from clustermass.cards.show import strangest
from clustermass.errors import InputError
from clustermass.report.observed_field import masses_in_words, strangest_of_page


def test_clusters_without_a_mass_are_counted_by_cause(tmp_path):
    mass = np.array([14.0, np.nan, np.nan, np.nan, np.nan, np.nan])
    changed = {"LOGM500": mass, "FLAG_NOZ": np.array([0, 1, 1, 0, 0, 0]), "FLAG_EDGE": np.array([1, 0, 0, 0, 1, 1])}
    changed["EXPOSURE"] = np.array([1e3, 1e3, np.nan, np.nan, 1e3, 1e3])
    assert masses_in_words(write_field(tmp_path, **changed)) == (
        "1 of 6 clusters have a mass, 5 have none (no redshift: 2, no known exposure: 1, at the edge of the field: 2); "
        "1 of the masses have a flag"
    )


def test_unusual_clusters_are_those_of_the_command_with_the_cause_first(tmp_path):
    flags = {"FLAG_OOD": np.array([1, 0, 1, 0, 1, 0]), "OOD_WHY": np.array(["rate", "", "core", "", "rate", ""])}
    masses = write_field(tmp_path, **flags, OOD_P=np.array([0.004, 0.5, 0.002, 0.5, 0.004, np.nan]))
    write_page(masses, tmp_path / "clusters.html")
    found = strangest_of_page(tmp_path / "clusters.html")
    field = FieldCards.read(masses)
    assert [name for name, _ in found] == field.columns["NAME"][strangest(field)[:3]].tolist()
    for _, text in found:
        assert text.startswith("Possible cause: ")
        assert text.endswith(" what its other quantities imply.")
        assert " Most unusual: " in text


def test_damaged_files_are_refused(tmp_path):
    for name, read in (("masses.fits", masses_in_words), ("clusters.html", strangest_of_page)):
        (tmp_path / name).write_text('<script type="application/json" id="data">{}</script>')
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
