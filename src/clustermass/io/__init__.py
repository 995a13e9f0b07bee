"""How files are written, read back and described: netCDF, FITS, provenance, log lines. Changes no number.

A change of this package alone re-runs no step: of its code only `FORMAT` counts in a step's hash.
"""

#: version of the file formats; raise it when a change here makes steps write other bytes: then all steps run again
FORMAT = 1
