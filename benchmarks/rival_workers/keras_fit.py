"""Worker that trains with Keras 3 on TensorFlow, as in the paper, by `fit` of a compiled model.

Images are augmented in the input pipeline, which is the fastest way. `jit_compile` has its default value; training
without it was as fast.
"""

import os

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}

import keras
import tensorflow as tf
from problem import CHECKED_STEPS, serve, widths_of

EPSILON = 1e-8 * 0.001**0.5  # Keras adds it before the bias correction; so the first step is that of Adam with 1e-8


def network(shape, block):
    """Return the model: blocks of convolutions, then dense layers that also get the side inputs."""
    images, redshift = keras.Input(shape), keras.Input((len(block["side_inputs"]),))
    maps = images
    for features in widths_of(block, "conv"):
        maps = keras.layers.Conv2D(features, 3, padding="same", activation="relu")(maps)
        maps = keras.layers.AveragePooling2D(2)(maps)
    output = keras.layers.Concatenate()([keras.layers.Flatten()(maps), redshift])
    for features in widths_of(block, "dense"):
        output = keras.layers.Dense(features, activation="relu")(output)
    return keras.Model([images, redshift], keras.layers.Dense(2)(output))


def gaussian_nll(mass, output):
    """Return the negative log-likelihood of each sample, without its constant; `output` is mean and log-variance."""
    mean, log_variance = output[:, 0], output[:, 1]
    return 0.5 * (log_variance + (mass - mean) ** 2 * keras.ops.exp(-log_variance))


class Keras:
    """Training of one network by `fit`."""

    def __init__(self, problem, threads=2):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        self.problem, self.sets = problem, {}
        self.data = [problem.images, problem.redshift, problem.mass]
        self.model = network(problem.images.shape[1:], problem.network)
        self.fill()

    def fill(self):
        """Set the model back to the initial weights, with a new optimiser."""
        self.model.set_weights([array for layer in self.problem.layers() for array in layer])
        adam = keras.optimizers.Adam(self.problem.rate, epsilon=EPSILON)
        self.model.compile(adam, gaussian_nll)

    def losses(self):
        """Return the losses of the first steps on the checked batch without augmentation."""
        images, redshift, mass = (column[: self.problem.batch] for column in self.data)
        values = []
        for _ in range(CHECKED_STEPS):
            self.model.reset_metrics()
            values.append(float(self.model.train_on_batch((images, redshift), mass)))
        self.fill()
        return values

    def run(self, samples):
        """Train for one epoch on the first `samples`; return the mean loss."""
        if samples not in self.sets:
            self.sets[samples] = batches([column[:samples] for column in self.data], self.problem.batch)
        return float(self.model.fit(self.sets[samples], epochs=1, verbose=0).history["loss"][0])


def batches(data, batch):
    """Return a data set of augmented batches, shuffled again in each epoch."""
    images, redshift, mass = map(tf.constant, data)

    def chosen(rows):
        return (augmented(tf.gather(images, rows)), tf.gather(redshift, rows)), tf.gather(mass, rows)

    rows = tf.data.Dataset.range(len(mass)).shuffle(len(mass)).batch(batch, drop_remainder=True)
    return rows.map(chosen).prefetch(2)


def augmented(images):
    """Return images (sample, y, x, band), each turned or flipped by one of the eight symmetries at random."""
    index = tf.random.uniform((tf.shape(images)[0], 1, 1, 1), 0, 8, tf.int32)
    images = tf.where(index & 1 > 0, tf.reverse(images, [1]), images)
    images = tf.where(index & 2 > 0, tf.reverse(images, [2]), images)
    return tf.where(index & 4 > 0, tf.transpose(images, (0, 2, 1, 3)), images)


if __name__ == "__main__":
    serve(Keras)
