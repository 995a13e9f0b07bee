"""Choose the processor that JAX computes on, and how many cores of it."""

import os

from clustermass.errors import InputError
from clustermass.io.log import LOGGER

CHOICES = ("auto", "cpu", "gpu")


def use_device(device: str, threads: int = 1) -> str:
    """Point JAX to a processor before its first computation and return the one taken: ``cpu`` or ``gpu``.

    JAX itself may be imported already, but mustn't have computed anything: the size of its thread pool and its memory
    policy are fixed by the first computation, and a later call changes neither. With one thread the results of a CPU
    are the same bytes on every run; ``PJRT_NPROC`` is what limits the cores (with jax 0.10.2
    ``--xla_cpu_multi_thread_eigen=false`` changes nothing).

    Parameters
    ----------
    device
        ``cpu``, ``gpu`` (any accelerator that JAX sees) or ``auto`` (an accelerator where there is one).
    threads
        Cores that the process keeps busy when it computes on the CPU.

    Raises
    ------
    InputError
        `device` is unknown, or ``gpu`` is asked for and JAX sees none.
    """
    if device not in CHOICES:
        raise InputError(f"training.device: {device!r} is unknown. Choose one of {', '.join(CHOICES)}.")
    if threads < 1:
        raise InputError(f"threads: {threads} is too few. Give 1 or more.")
    os.environ["PJRT_NPROC"] = str(threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several trainings share one GPU
    import jax

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    found = "cpu" if jax.default_backend() == "cpu" else "gpu"
    if device == "gpu" and found == "cpu":
        raise InputError(
            "training.device: gpu is asked for, but JAX sees none. Check `nvidia-smi`, install JAX for it (uv "
            "sync --group train-gpu, or envs/train-gpu.yaml by conda), or set training.device to auto or cpu."
        )
    LOGGER.info("device: %s asked for, %s taken (%s, %d thread(s))", device, found, jax.devices()[0], threads)
    return found


def arithmetic() -> list[str]:
    """Return what of JAX's settings changes the digits of a result: precision of matrix products and flags of XLA."""
    import jax

    return [str(jax.config.jax_default_matmul_precision), os.environ.get("XLA_FLAGS", "")]
