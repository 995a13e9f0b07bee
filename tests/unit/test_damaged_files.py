"""Damage that `make campaign` found, planted by hand: each is told in words."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from event_lists import photons, write_esass

from clustermass.catalogues.user_catalogue import read_catalogue
from clustermass.errors import InputError
from clustermass.events.read import read_events


def catalogue_table():
    number = 12
    columns = {"ID_SRC": np.arange(1, number + 1), "RA": np.full(number, 136.0), "DEC": np.linspace(1, 2, number)}
    columns |= {name: np.linspace(0.1, 0.9, number) for name in ("Z", "DET_LIKE", "EXT_LIKE", "ML_RATE")}
    return Table(columns)


def with_card(content, old, new):
    assert content.count(old) == 1
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"TTYPE6  = 'PI  ", b"TTYPE6  @ 'PI  ", "lacks column PI"),
        (b"TTYPE6  = 'PI  ", b"TTYPE6  = &PI  ", r"truncated or damaged FITS file \(Unparsable card"),
        (b"TTYPE6  = 'PI  ", b"TTYQE6  = 'PI  ", "lacks column PI"),
        (b"TTYPE15 = 'TM_NR   '", b"TTYPE15 = 'RAWX_   '", "lacks column TM_NR"),
    ],
)
def test_headers_with_a_changed_letter(tmp_path, old, new, message):
    path = write_esass(tmp_path / "events.fits", photons())
    path.write_bytes(with_card(path.read_bytes(), old, new))
    with pytest.raises(InputError, match=rf"events.fits.*{message}"):
        read_events(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_changed_number_is_told_where_there_is_a_checksum(tmp_path, compressed):
    path = write_esass(tmp_path / f"events.fits{'.gz' * compressed}", photons())
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
        hdus[1].data["PI"][7] += 1
        hdus[1].header.remove("CHECKSUM", ignore_missing=True)
        stated = fits.getheader(path, 1)
        hdus[1].header["CHECKSUM"], hdus[1].header["DATASUM"] = stated["CHECKSUM"], stated["DATASUM"]
        hdus.writeto(path, overwrite=True)
    with pytest.raises(InputError, match=r"verification failed.*fitscheck --write"):
        read_events(path)
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
    assert len(read_events(path)) == 200


@pytest.mark.parametrize("column", ["Z", "DET_LIKE", "ML_RATE"])
def test_numbers_that_nothing_measures(tmp_path, column):
    table = catalogue_table()
    table[column][4] = 1e39
    table.write(tmp_path / "clusters.csv")
    if column == "Z":  # as good as none
        assert read_catalogue(tmp_path / "clusters.csv")["Z_TYPE"].tolist().count("none") == 1
    else:
        with pytest.raises(InputError, match=rf"column {column}, row 5: 1e\+39 is too large"):
            read_catalogue(tmp_path / "clusters.csv")


def test_a_number_beyond_64_bits(tmp_path):
    content = "ID_SRC,RA,DEC,Z\n" + 30 * "9" + ",136,1.5,0.3\n2,136,1.6,0.3\n"
    (tmp_path / "clusters.csv").write_text(content)
    with pytest.raises(InputError, match=r"column ID_SRC, row 1: 9+ is no whole number below 2\^31"):
        read_catalogue(tmp_path / "clusters.csv")


def test_redshifts_in_other_units(tmp_path):
    table = catalogue_table()
    table["Z"] *= 299792.458
    table.write(tmp_path / "clusters.csv")
    with pytest.raises(InputError, match=r"column Z holds no redshift \(all 12 are .*above 10\)"):
        read_catalogue(tmp_path / "clusters.csv")


def test_a_module_that_does_not_exist(tmp_path):
    columns = photons()
    columns["TM_NR"][5] = 57
    with pytest.raises(InputError, match="row 6: TM_NR is 57, but must be between 0 and 7"):
        read_events(write_esass(tmp_path / "events.fits", columns))
