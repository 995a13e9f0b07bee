"""clustermass: masses of galaxy clusters from eROSITA X-ray images.

>>> field = clustermass.simulate_field(width_deg=1.0)
>>> masses = clustermass.Ensemble.load().masses(field.events, field.catalogue, field.exposure)
>>> masses["LOGM500"].unit
Unit("dex")

docs/how-to/python.md describes everything that can be imported from here.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clustermass import figures
    from clustermass.errors import InputError
    from clustermass.interface import conversions
    from clustermass.interface.ensemble import Ensemble
    from clustermass.interface.images import images_of
    from clustermass.interface.posterior import Posterior
    from clustermass.interface.show import show
    from clustermass.interface.simulated import SimulatedField, simulate_field
    from clustermass.interface.training import train_ensemble

__version__ = "0.1.0"
__all__ = [
    "Ensemble",
    "InputError",
    "Posterior",
    "SimulatedField",
    "__version__",
    "conversions",
    "figures",
    "images_of",
    "show",
    "simulate_field",
    "train_ensemble",
]

# HDF5 reads this variable when netCDF4 is imported. Its file locks fail on file systems without locks (NFS, Lustre). No
# file needs them, because each file is written whole under a temporary name.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
# netCDF would read settings from a file .ncrc in the current folder, which somebody else may have made.
os.environ.setdefault("NCRCENV_IGNORE", "1")

#: dict from names that are imported only when they are used, because that takes seconds, to their modules
_MODULES = {
    "Ensemble": "interface.ensemble",
    "InputError": "errors",
    "Posterior": "interface.posterior",
    "SimulatedField": "interface.simulated",
    "conversions": "interface.conversions",
    "figures": "figures",
    "images_of": "interface.images",
    "show": "interface.show",
    "simulate_field": "interface.simulated",
    "train_ensemble": "interface.training",
}


def __getattr__(name: str) -> Any:
    """Return the public function, class or module `name`. It is imported only when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
