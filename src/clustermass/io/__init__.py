"""How files are written, read back and described: netCDF, FITS, provenance, log lines. Changes no number.

A step is not run again because this package changed: of its code only `FORMAT` counts in a step's hash.
"""

#: number of the file formats; raise it when a change here lets a step write other bytes, and all steps run again
FORMAT = 1
