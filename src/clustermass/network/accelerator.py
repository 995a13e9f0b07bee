"""Find out whether a GPU plugin of JAX is installed, without importing JAX."""

from importlib.metadata import entry_points


def has_accelerator_plugin() -> bool:
    """Return whether a GPU plugin of JAX is installed, such as `jax[cuda12]`. The machine may still have no GPU."""
    return bool(entry_points(group="jax_plugins"))
