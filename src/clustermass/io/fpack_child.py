"""The process in which astropy unpacks an image that fpack compressed. `fpack.py` starts it."""

import json
import resource
import sys


def main(packed: str, unpacked: str, folders: str, seconds: str, memory: str) -> None:
    """Write the pixels of the compressed image in the first extension of the file `packed` to `unpacked` (.npy).

    Modules are imported from the `folders`, a list as JSON. `seconds` and `memory` (in bytes) limit the processor time
    and the memory that the process may use.
    """
    sys.path[:] = json.loads(folders)
    import numpy as np
    from astropy.io import fits

    for kind, most in ((resource.RLIMIT_CPU, int(seconds)), (resource.RLIMIT_DATA, int(memory))):
        limits = [one for one in (*resource.getrlimit(kind), most) if one != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min(limits), min(limits)))
    with fits.open(packed, memmap=False) as hdus:
        np.save(unpacked, hdus[1].data)


if __name__ == "__main__":
    main(*sys.argv[1:])
