"""clustermass: masses of galaxy clusters from eROSITA X-ray images."""

import os

__version__ = "0.1.0"

# HDF5 reads this when netCDF4 is imported. Its locks fail on file systems that have none (NFS, Lustre), and no file
# needs them, since each is written whole under a temporary name.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
