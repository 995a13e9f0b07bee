"""Our training: epochs as the trainer runs them, and one large matrix product by the same library."""

import jax
import jax.numpy as jnp
import numpy as np
from problem import CHECKED_STEPS, serve

from clustermass.network.device import use_device
from clustermass.network.epochs import Settings, TrainingData, begin, run_epochs, stacked
from clustermass.network.parameters import unflatten

SIDE = 2048


class Ours:
    """One member, scanned epochs."""

    def __init__(self, problem, threads=1):
        use_device("cpu", threads)
        self.problem, self.epochs = problem, 0
        self.structure, self.state = unflatten(problem.images.shape[1:], problem.network, problem.weights)
        self.progress = self.fresh(self.settings(problem.recipe, len(problem.mass)))
        self.matrix, self.product = jnp.ones((SIDE, SIDE)), jax.jit(jnp.matmul)

    def settings(self, recipe, samples):
        """Return what goes into the compiled program."""
        return Settings.of(recipe, self.problem.network, self.problem.images.shape[1:], samples)

    def fresh(self, settings):
        """Progress before the first epoch."""
        return stacked([begin(self.state, settings)])

    def epoch(self, settings, progress, arrays):
        """Return progress and losses (step,) of one epoch over `arrays`."""
        data = TrainingData(*map(jnp.asarray, arrays), jnp.ones(len(arrays[-1])))
        rates = np.full((1, len(data.mass) // settings.batch), self.problem.rate, np.float32)
        self.epochs += 1
        keys = jax.random.split(jax.random.key(self.epochs), 1)
        progress, losses, _ = run_epochs(self.structure, settings, progress, data, rates, keys)
        return progress, np.asarray(losses)[0]

    def losses(self):
        """Losses of the first steps on the checked batch, as it is."""
        recipe = {**self.problem.recipe, "augmentation": "none"}
        settings = self.settings(recipe, self.problem.batch)
        progress, losses = self.fresh(settings), []
        for _ in range(CHECKED_STEPS):
            progress, (loss,) = self.epoch(settings, progress, self.problem.checked_batch())
            losses.append(float(loss))
        return losses

    def run(self, samples):
        """Do one epoch of the first `samples`."""
        arrays = [column[:samples] for column in (self.problem.images, self.problem.redshift, self.problem.mass)]
        settings = self.settings(self.problem.recipe, samples)
        self.progress, losses = self.epoch(settings, self.progress, arrays)
        return float(losses.mean())

    def matmul(self, repeats):
        """Multiply two large matrices."""
        for _ in range(repeats):
            self.product(self.matrix, self.matrix).block_until_ready()


if __name__ == "__main__":
    serve(Ours)
