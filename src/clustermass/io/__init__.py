"""Writing, reading and description of files (netCDF, FITS, JSON), provenance, logs. No scientific number changes here.

A step runs again if the hash of its code changes. Of this package, that hash includes only the constant `FORMAT`. Other
changes of this package therefore make no step run again.
"""

#: version of the file formats; raise it when a change here makes steps write other bytes: then all steps run again
FORMAT = 4
