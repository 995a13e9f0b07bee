"""Worker that trains with plain JAX: its own gradients, one compiled step for each batch, optionally under `vmap`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from problem import CHECKED_STEPS, serve

from clustermass.network import layers
from clustermass.network.convolution import plain_block
from clustermass.network.epoch import random_symmetries
from clustermass.network.losses import Likelihood
from clustermass.network.predict import unflatten, use_device


class JaxStep:
    """Training of one network, or of several (`members`) side by side by `jax.vmap`."""

    def __init__(self, problem, threads=2, members=1):
        use_device("cpu", threads)
        self.problem, self.members, self.epochs = problem, members, 0
        self.data = [jnp.asarray(column) for column in (problem.images, problem.redshift, problem.mass)]
        layers.POOLED_BLOCKS["average"] = plain_block
        shape = problem.images.shape[1:]
        self.structure, self.state = unflatten(problem.network, shape, Likelihood.outputs, problem.weights)
        self.optimiser = optax.adam(problem.rate)
        self.progress = self.fresh()

    def fresh(self):
        """Return weights and state of the optimiser of all members before the first step."""
        one = self.state, self.optimiser.init(self.state)
        return one if self.members == 1 else jax.tree.map(lambda leaf: jnp.stack([leaf] * self.members), one)

    @partial(jax.jit, static_argnums=(0, 1))
    def step(self, augment, progress, data, rows, key):
        """Train each member by one step on its own `rows` of `data`; return progress and losses."""
        step = partial(self._step, augment)
        if self.members > 1:
            step = jax.vmap(step, in_axes=(0, None, 0, 0))
        return step(progress, data, rows, key)

    def _step(self, augment, progress, data, rows, key):
        state, optimised = progress
        images, redshift, mass = (column[rows] for column in data)
        images = random_symmetries(images, key) if augment else images
        loss, slope = jax.value_and_grad(self._loss)(state, images, redshift, mass)
        updates, optimised = self.optimiser.update(slope, optimised)
        return (optax.apply_updates(state, updates), optimised), loss

    def _loss(self, state, images, redshift, mass):
        outputs = nnx.merge(self.structure, state)({"image": images, "side": redshift})
        return Likelihood().terms(mass, outputs).mean()

    def losses(self):
        """Return the losses of the first steps on the checked batch without augmentation, averaged over the members."""
        progress, losses = self.fresh(), []
        rows, keys = (self._each(value) for value in (jnp.arange(self.problem.batch), jax.random.key(0)))
        for _ in range(CHECKED_STEPS):
            progress, loss = self.step(False, progress, self.data, rows, keys)
            losses.append(float(jnp.mean(loss)))
        return losses

    def run(self, samples):
        """Train for one epoch on the first `samples`, each member in its own order; return the mean loss."""
        self.epochs += 1
        rng, key, losses = np.random.default_rng(self.epochs), jax.random.key(self.epochs), []
        order = np.stack([rng.permutation(samples) for _ in range(self.members)])
        for number, start in enumerate(range(0, samples, self.problem.batch)):
            rows = order[:, start : start + self.problem.batch]
            keys = jax.random.split(jax.random.fold_in(key, number), self.members)
            rows, keys = (rows, keys) if self.members > 1 else (rows[0], keys[0])
            self.progress, loss = self.step(True, self.progress, self.data, rows, keys)
            losses.append(loss)
        return float(jnp.mean(jnp.stack(losses)))

    def _each(self, value):
        return value if self.members == 1 else jnp.stack([value] * self.members)


if __name__ == "__main__":
    serve(JaxStep)
