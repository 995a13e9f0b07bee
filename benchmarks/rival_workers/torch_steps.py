"""Worker that trains with PyTorch in the usual way (shuffle, augment, step), in eager mode or by torch.compile."""

import torch
from problem import CHECKED_STEPS, serve, widths_of
from torch import nn


class Network(nn.Module):
    """Blocks of convolutions, then dense layers that also get the side inputs."""

    def __init__(self, shape, network):
        super().__init__()
        blocks, (side, _, channels) = [], shape
        for features in widths_of(network, "conv"):
            blocks += [nn.Conv2d(channels, features, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
            side, channels = side // 2, features
        width, dense = side**2 * channels + len(network["side_inputs"]), []
        for features in [*widths_of(network, "dense"), 2]:
            dense += [nn.Linear(width, features), nn.ReLU()]
            width = features
        self.convolutional, self.dense = nn.Sequential(*blocks), nn.Sequential(*dense[:-1])

    def forward(self, images, redshift):
        """Return mean and log-variance (sample, 2) for images (sample, band, y, x) and side inputs (sample, column)."""
        maps = self.convolutional(images).permute(0, 2, 3, 1)  # a view, since maps are channels_last; our order of axes
        return self.dense(torch.cat([maps.flatten(1), redshift], 1))

    def fill(self, layers):
        """Copy our weights into the network, in PyTorch's order of axes."""
        mine = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        with torch.no_grad():
            for layer, (kernel, bias) in zip(mine, layers, strict=True):
                order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
                layer.weight.copy_(torch.from_numpy(kernel.transpose(order).copy()))
                layer.bias.copy_(torch.from_numpy(bias))


class Torch:
    """Training of one network in channels_last layout."""

    def __init__(self, problem, threads=1, compiled=False):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self.problem = problem
        self.data = [torch.from_numpy(column) for column in (problem.images, problem.redshift, problem.mass)]
        self.model = Network(problem.images.shape[1:], problem.network).to(memory_format=torch.channels_last)
        self.model.train()
        self.call = torch.compile(self.model) if compiled else self.model
        self.fill()

    def fill(self):
        """Set the network back to the initial weights, with a new optimiser."""
        self.model.fill(self.problem.layers())
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.problem.rate, fused=True)

    def step(self, images, redshift, mass):
        """Do one step of Adam on a batch; return its loss before the step."""
        self.optimiser.zero_grad(set_to_none=True)
        mean, log_variance = self.call(images.permute(0, 3, 1, 2), redshift).unbind(1)
        loss = 0.5 * (log_variance + (mass - mean) ** 2 * torch.exp(-log_variance)).mean()
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def losses(self):
        """Return the losses of the first steps on the checked batch without augmentation."""
        batch = [column[: self.problem.batch] for column in self.data]
        values = [float(self.step(*batch)) for _ in range(CHECKED_STEPS)]
        self.fill()
        return values

    def run(self, samples):
        """Train for one epoch on the first `samples`; return the mean loss."""
        losses = []
        for rows in torch.randperm(samples).split(self.problem.batch):
            images, redshift, mass = (column[rows] for column in self.data)
            losses.append(self.step(augmented(images), redshift, mass))
        return float(torch.stack(losses).mean())

    def matmul(self, repeats, side=2048):
        """Multiply two large matrices `repeats` times."""
        matrix = torch.ones(side, side)
        for _ in range(repeats):
            matrix @ matrix


def augmented(images):
    """Return images (sample, y, x, band), each turned or flipped by one of the eight symmetries at random."""
    index = torch.randint(8, (len(images), 1, 1, 1))
    images = torch.where(index & 1 > 0, images.flip(1), images)
    images = torch.where(index & 2 > 0, images.flip(2), images)
    return torch.where(index & 4 > 0, images.transpose(1, 2), images)


if __name__ == "__main__":
    serve(Torch)
