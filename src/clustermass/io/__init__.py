"""Writing, reading and description of files (netCDF, FITS, JSON), provenance, logs. No scientific number changes here.

A step runs again if the hash of its code changes. The only part of this folder that enters the hash is the constant
`FORMAT`. Therefore other changes in this folder make no step run again.
"""

#: version of the file formats; raise it if a change in this package alters the bytes of files, so that all steps re-run
FORMAT = 7
