"""The default configuration and the rules that it must obey, for tests that break them."""

from pathlib import Path

import pytest

from clustermass.config.resolve import load_config
from clustermass.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(name="config")
def whole_config():
    return load_config([ROOT / "config" / "config.yaml"])


def put(config, path, value):
    """Set the value at a dotted path in `config`; numbers in the path are positions in lists."""
    *way, last = path.split(".") if isinstance(path, str) else path
    for key in way:
        config = config[key] if isinstance(config, list) else config.setdefault(key, {})
    config[last] = value


def refused(function, *arguments):
    """Return whether a call ends in an InputError."""
    try:
        function(*arguments)
    except InputError:
        return True
    return False
