"""Opening users' FITS files: what is damaged is refused, what is only packed is not."""

import numpy as np
import pytest
from astropy.io import fits

from clustermass.errors import InputError
from clustermass.io.fits import is_fits, opened_fits


def test_a_compressed_image_with_checksums_is_whole_until_a_byte_changes(tmp_path):
    values = np.arange(3000, dtype=np.int32).reshape(50, 60)
    image = fits.CompImageHDU(values)
    image.add_checksum()  # fpack states the sums of the image as it was and those of what it has become
    path = tmp_path / "image.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, checksum=True)
    with opened_fits(path) as hdus:
        np.testing.assert_array_equal(hdus[1].data, values)
    content = bytearray(path.read_bytes())
    content[-2880] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="Datasum verification failed"), opened_fits(path):
        pass


def test_files_are_recognised_by_content(tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "a.csv")
    (tmp_path / "a.fits").write_text("ID_SRC,RA")
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8bdamaged")
    assert is_fits(tmp_path / "a.csv")
    assert not is_fits(tmp_path / "a.fits")
    assert not is_fits(tmp_path / "a.gz")
