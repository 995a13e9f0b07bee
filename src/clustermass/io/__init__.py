"""Writing, reading and description of files (netCDF, FITS, JSON), provenance, logs. No scientific number changes here.

A step runs again if the hash of its code changes. The hash includes only the constant `FORMAT` of this folder, so that
other changes in this folder re-run no step.
"""

#: version of the file formats; raise it if a change in this package alters the bytes of files, so that all steps re-run
FORMAT = 9
