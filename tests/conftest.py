"""All processes of the tests share the networks that JAX has compiled, because compiling takes longer than training."""

import atexit
import os
import shutil
import tempfile

# processes that the tests start, with xdist or by themselves, inherit these variables
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
