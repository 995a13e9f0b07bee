"""Worker that trains with our code, in epochs as our trainer runs them, and multiplies large matrices by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
from problem import CHECKED_STEPS, serve

from clustermass.network.epoch import Program, TrainingData, begin, run_epochs
from clustermass.network.losses import Likelihood
from clustermass.network.predict import stacked, unflatten, use_device

SIDE = 2048


class Ours:
    """Training of one network in compiled epochs."""

    def __init__(self, problem, threads=1):
        use_device("cpu", threads)
        self.problem, self.epochs = problem, 0
        shape = problem.images.shape[1:]
        self.structure, self.state = unflatten(problem.network, shape, Likelihood.outputs, problem.weights)
        self.progress = self.fresh(self.program(problem.recipe, len(problem.mass)))
        self.matrix, self.product = jnp.ones((SIDE, SIDE)), jax.jit(jnp.matmul)

    def program(self, recipe, samples):
        """Return the training program for epochs of `samples` with a `recipe`."""
        shape = (samples, *self.problem.images.shape[1:])
        return Program.from_config(self.structure, Likelihood(), self.problem.network, recipe, shape)

    def fresh(self, program):
        """Return the progress before the first epoch."""
        return stacked([begin(program, self.state)])

    def epoch(self, program, progress, arrays):
        """Train for one epoch on `arrays` (images, side inputs, masses); return progress and losses (step,)."""
        images, side, mass = map(jnp.asarray, arrays)
        data = TrainingData({"image": images, "side": side}, mass, jnp.ones(len(mass)))
        rates = np.full((1, len(data.mass) // program.batch), self.problem.rate, np.float32)
        self.epochs += 1
        keys = jax.random.split(jax.random.key(self.epochs), 1)
        progress, losses, _ = run_epochs(program, progress, data, rates, keys)
        return progress, np.asarray(losses)[0]

    def losses(self):
        """Return the losses of the first steps on the checked batch without augmentation."""
        recipe = {**self.problem.recipe, "augmentation": "none"}
        program = self.program(recipe, self.problem.batch)
        progress, losses = self.fresh(program), []
        for _ in range(CHECKED_STEPS):
            progress, (loss,) = self.epoch(program, progress, self.problem.checked_batch())
            losses.append(float(loss))
        return losses

    def run(self, samples):
        """Train for one epoch on the first `samples`; return the mean loss."""
        arrays = [column[:samples] for column in (self.problem.images, self.problem.redshift, self.problem.mass)]
        program = self.program(self.problem.recipe, samples)
        self.progress, losses = self.epoch(program, self.progress, arrays)
        return float(losses.mean())

    def matmul(self, repeats):
        """Multiply two large matrices `repeats` times."""
        for _ in range(repeats):
            self.product(self.matrix, self.matrix).block_until_ready()


if __name__ == "__main__":
    serve(Ours)
