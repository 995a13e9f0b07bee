"""Opening users' FITS files: what is damaged is refused, what is only packed is not."""

import lzma

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


@pytest.mark.parametrize("more", [b"\0", b"1" * 15])
def test_bytes_that_were_put_in_are_noticed_at_the_end(tmp_path, more):
    """A download that was resumed too early holds some bytes twice; all that follows is shifted."""
    path, values = tmp_path / "image.fits", np.zeros((60, 60), dtype=np.int32)
    values[20, 20] = 1
    fits.PrimaryHDU(values).writeto(path)
    content = path.read_bytes()
    path.write_bytes(content[:4000] + more + content[4000:])
    with (
        pytest.raises(InputError, match=rf"damaged FITS file \({len(more)} bytes follow its last HDU"),
        opened_fits(path),
    ):
        pass
    path.write_bytes(content + bytes(2880))
    with opened_fits(path) as hdus:
        assert hdus[0].data.sum() == 1


def test_a_damaged_tile_of_a_compressed_image_is_an_error_of_its_file(tmp_path):
    """Astropy raises an exception of its own type, which is no OSError."""
    path = tmp_path / "image.fits.fz"
    values = np.random.default_rng(1).integers(0, 1000, (20, 60)).astype(np.int32)
    fits.CompImageHDU(values, compression_type="RICE_1").writeto(path)
    with fits.open(path, disable_image_compression=True) as hdus:
        place = hdus[1].fileinfo()["datLoc"] + hdus[1].header["NAXIS1"] * hdus[1].header["NAXIS2"]
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes(100) + content[place + 100 :])
    with pytest.raises(InputError, match=r"image.fits.fz: truncated or damaged"), opened_fits(path) as hdus:
        _ = hdus[1].data


def test_headers_that_are_long_only_together_are_refused(tmp_path):
    path = tmp_path / "a.fits.xz"
    cards = b"".join(card.ljust(80) for card in (b"XTENSION= 'IMAGE   '", b"BITPIX  = 8", b"NAXIS   = 0"))
    header = cards + b"HISTORY x".ljust(80) * (99_000 - 4) + b"END".ljust(80)
    primary = fits.PrimaryHDU().header.tostring().encode()
    path.write_bytes(lzma.compress(primary + 3 * (header + b" " * (-len(header) % 2880)), preset=0))
    with pytest.raises(InputError, match=r"a\.fits\.xz: more than 200000 cards in the headers"), opened_fits(path):
        pass
