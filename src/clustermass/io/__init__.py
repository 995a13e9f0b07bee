"""How files are written, read and described: netCDF, FITS, provenance, log lines. No scientific number changes here.

A change of this package alone re-runs no step: a step's hash includes nothing of it but `FORMAT`.
"""

#: version of the file formats; raise it when a change here makes steps write other bytes: then all steps run again
FORMAT = 2
