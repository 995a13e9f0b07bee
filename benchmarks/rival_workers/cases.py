"""The networks that are timed, and the alternatives (arms) that train them."""

from collections.abc import Mapping
from dataclasses import dataclass

from rival_workers.problem import flop_per_sample, write
from rival_workers.processes import Workers
from runner import CONFIG

from clustermass.network.losses import Likelihood
from clustermass.network.predict import initialise

CORES = 2
RECIPE = CONFIG["training"]["recipes"]["krippendorf2023"]
SIDE_INPUTS = ["z", "log_z", "log_exposure"]  # not the measured inputs, which only our training can hide
PRODUCTS, PRODUCT_FLOP = 20, 2 * 2048**3


@dataclass(frozen=True)
class Arm:
    """An alternative. Each of its `workers` calls its method `do` with `options`; together they do `work` units."""

    what: str
    workers: Workers
    options: Mapping
    work: int
    do: str = "run"
    unit: str = "sample"

    def call(self):
        """Do the work once; return its wall and CPU seconds."""
        return self.workers.do(self.do, **self.options)[1:]


@dataclass(frozen=True)
class Case:
    """A network of the configuration, without dropout, with its training data and arms.

    An epoch has `samples` samples, or `few` in a very slow arm. `sizes` are further sizes of our epochs. `bars` maps
    names of arms to the smallest ratios that we want to reach. Such a ratio is our number of samples per second divided
    by that of the arm, or our rate of operations divided by that of a matrix product.
    """

    network: str
    shape: tuple[int, int, int]
    batch: int
    samples: int
    few: int
    sizes: tuple[int, ...]
    rivals: tuple[str, ...]
    bars: Mapping[str, float]

    def write(self, path):
        """Write the problem that all arms read: training data, network, recipe and initial weights."""
        layers = [layer for layer in CONFIG["network"][self.network]["layers"] if "dropout" not in layer]
        network = {"side_inputs": SIDE_INPUTS, "catalogue_dropout": 0.0, "layers": layers}
        weights = initialise(network, self.shape, Likelihood.outputs, [1])
        write(path, self.shape, network, {**RECIPE, "batch_size": self.batch}, weights, self.samples)

    @property
    def flop(self):
        """Return the floating point operations for one training sample."""
        return flop_per_sample(self.shape, {**CONFIG["network"][self.network], "side_inputs": SIDE_INPUTS})

    def arms(self, python):
        """Return a dict from names to arms, ours first. `python` is the interpreter for the other libraries."""
        ours = Workers("ours.py", count=CORES)
        eager = Workers("torch_steps.py", python, count=CORES)
        rivals = {
            "keras": self._run("Keras fit, 2 threads", Workers("keras_fit.py", python, threads=CORES)),
            "torch": self._run("PyTorch, 2 threads", Workers("torch_steps.py", python, threads=CORES)),
            "torch, 2 processes": self._run("PyTorch, 2 processes of 1 thread", eager),
            "compiled": self._run(
                "torch.compile, 2 processes of 1 thread",
                Workers("torch_steps.py", python, count=CORES, options={"compiled": True}),
            ),
            "jax step": self._run(
                "JAX's convolution, one compiled step a batch, 2 threads",
                Workers("jax_step.py", threads=CORES),
                self.few,
            ),
            "jax vmap": self._run(
                "the same, 2 members by vmap, 2 threads",
                Workers("jax_step.py", threads=CORES, options={"members": 2}),
                self.batch,
            ),
        }
        arms = {"ours": self._run("scanned epochs, 2 processes of 1 core", ours)}
        arms |= {name: rivals[name] for name in self.rivals}
        arms |= {f"ours, {size} samples": self._run("as ours", ours, size) for size in self.sizes}
        products = {"jax": ours} | ({"torch": eager} if "torch, 2 processes" in arms else {})
        for name, workers in products.items():
            what = f"product of two 2048 x 2048 matrices, {name}, 2 processes"
            arms[f"matmul, {name}"] = Arm(what, workers, {"repeats": PRODUCTS}, CORES * PRODUCTS, "matmul", "product")
        return arms

    def _run(self, what, workers, samples=None):
        """Return an arm that trains every member of every process for an epoch of `samples`."""
        samples = samples or self.samples
        work = samples * workers.count * workers.options.get("members", 1)
        return Arm(what, workers, {"samples": samples}, work)


CASES = {
    "paper": Case(
        "krippendorf2023",
        (50, 50, 10),
        batch=100,
        samples=2000,
        few=500,
        sizes=(500, 1000),
        rivals=("keras", "torch", "torch, 2 processes", "compiled", "jax step", "jax vmap"),
        bars={"keras": 1.25, "torch": 1.2, "compiled": 0.85, "jax vmap": 5.0, "matmul": 0.55},
    ),
    "default": Case(
        "compact", (16, 16, 10), batch=64, samples=8192, few=2048, sizes=(), rivals=("keras", "compiled"), bars={}
    ),
}
