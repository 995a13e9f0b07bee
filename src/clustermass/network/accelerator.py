"""Find out whether a GPU plugin of JAX is installed, without importing JAX."""

from importlib.metadata import entry_points


def has_accelerator_plugin() -> bool:
    """Return whether a GPU plugin of JAX, such as `jax[cuda12]`, is installed; the machine may still lack a GPU."""
    return bool(entry_points(group="jax_plugins"))
