"""clustermass: masses of galaxy clusters from eROSITA X-ray images."""

__version__ = "0.1.0"
