"""Provenance read back from every format as it was written, and a user's files found again."""

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustermass.catalogues.tables import add_history
from clustermass.cli import main
from clustermass.errors import InputError
from clustermass.figures import style
from clustermass.ingest import ingest_field
from clustermass.observed.columns import typed
from clustermass.observed.formats import Header, write_ecsv, write_fits_table, write_votable
from clustermass.provenance import provenance
from clustermass.verification.checks import verify
from clustermass.verification.files import Files
from clustermass.verification.records import read_record
