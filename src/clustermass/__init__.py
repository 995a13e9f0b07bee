"""clustermass: masses of galaxy clusters from eROSITA X-ray images."""

import os

__version__ = "0.1.0"

# HDF5 reads this variable when netCDF4 is imported. Its file locks fail on file systems without locks (NFS, Lustre). No
# file needs them, because each file is written whole under a temporary name.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
