"""Worker that trains several of our networks for an epoch in one job, to measure its memory."""

from problem import serve

from clustermass.dataset.training_data import Subset
from clustermass.network.predict import use_device
from clustermass.network.train import train_networks

VALIDATED = 100


class Members:
    """Training of several networks, one after another (as on a CPU) or side by side (as on a GPU)."""

    def __init__(self, problem, threads=1):
        use_device("cpu", threads)
        self.problem = problem

    def fit(self, members, together):
        """Train `members` networks for an epoch, side by side if `together`; return their number."""
        problem = self.problem
        columns = problem.images, 0.3 + 0.05 * problem.redshift[:, 0] % 0.2, problem.mass
        train, val = Subset(*columns), Subset(*(column[:VALIDATED] for column in columns))
        network, recipe = {**problem.network, "side_inputs": ["z"]}, {**problem.recipe, "epochs": 1}
        return len(list(train_networks(train, val, network, recipe, 1, range(members), side_by_side=together)))


if __name__ == "__main__":
    serve(Members)
