"""Find out whether JAX is set up for a GPU, without importing it."""

from importlib.metadata import entry_points


def has_accelerator_plugin() -> bool:
    """Return whether a JAX plugin for GPUs (`jax[cuda12]`) is installed, even if no GPU works with it."""
    return bool(entry_points(group="jax_plugins"))
