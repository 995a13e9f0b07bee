"""Writing, reading and description of files (netCDF, FITS, JSON), provenance, logs. No scientific number changes here.

A change of this package alone makes no step run again, because a step's hash includes only its constant `FORMAT`.
"""

#: version of the file formats; raise it when a change here makes steps write other bytes: then all steps run again
FORMAT = 3
