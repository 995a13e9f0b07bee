"""Images that fpack compressed are unpacked in a process of their own.

astropy's C code trusts the parameters of the compression, so that a hostile file can make it read or write outside its
memory. A crash ends only the process that unpacks the image.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from clustermass.io.room import check_disk

_CHILD = Path(__file__).with_name("fpack_child.py")
#: bytes of a pixel of unpacked data, at most
_PIXEL = 8
#: processor time of the process for any image, and more for each pixel
_SECONDS, _SECONDS_PER_PIXEL = 30, 1e-6
#: memory of the process for any image, and more for each pixel
_MEMORY, _MEMORY_PER_PIXEL = 10**9, 64


def unpacked_image(hdu: fits.CompImageHDU, path: Path) -> NDArray[Any]:
    """Return the pixels of a compressed image in an opened FITS file `path`, scaled by BSCALE and BZERO.

    The number of pixels sets limits on the time and memory for the unpacking. OSError if the image can't be unpacked
    within these limits, or has another shape than the header states. InputError if the disk is full.
    """
    pixels = math.prod(hdu.shape)
    bounds = int(_SECONDS + _SECONDS_PER_PIXEL * pixels), int(_MEMORY + _MEMORY_PER_PIXEL * pixels)
    with tempfile.TemporaryDirectory() as folder:
        packed, unpacked = Path(folder, "packed.fits"), Path(folder, "unpacked.npy")
        check_disk(_PIXEL * pixels, folder, path)
        packed.write_bytes(fits.PrimaryHDU().header.tostring().encode() + _stored(hdu))
        arguments = [packed, unpacked, json.dumps(sys.path), *bounds]
        command = [sys.executable, "-I", "-S", str(_CHILD), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise OSError(said[-1] if done.returncode > 0 and said else f"unpacking ends with {done.returncode}")
        values: NDArray[Any] = np.load(unpacked)
    if values.shape != hdu.shape:
        raise OSError(f"the image has the shape {values.shape} instead of {hdu.shape}")
    return values


def _stored(hdu: fits.CompImageHDU) -> bytes:
    place = hdu._bintable.fileinfo()
    stream = place["file"]
    stream.seek(place["hdrLoc"])
    return bytes(stream.read(place["datLoc"] + place["datSpan"] - place["hdrLoc"]))
