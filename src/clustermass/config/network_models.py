"""The keys of networks and of their training in the configuration: type, range, unit and meaning of each."""

from typing import Annotated, Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict

from clustermass.config.kinds import Count, Distinct, Fraction, Name, key

#: marks a key that only steers how steps are executed: a change of its value re-runs nothing
STEERING = key(json_schema_extra={"x-execution-only": True})
SideInput: TypeAlias = Literal["z", "log_z", "log_exposure", "log_nh", "log_rate", "log_extent", "log_background"]
Activation: TypeAlias = Literal["relu", "tanh", "gelu", "none"]
Loss: TypeAlias = Literal["likelihood", "squared_log", "percentage", "squared_log1p", "classification"]
Schedule: TypeAlias = Literal["cosine", "plateau", "constant"]
Augmentation: TypeAlias = Literal["symmetries", "rotations", "none"]


class Layer(TypedDict, total=False):
    """A layer: a key for its kind (conv, local, pool, global_pool, flatten, dense, dropout or join), and options."""

    conv: Annotated[int, key("number of features of a convolution", ge=1, le=4096)]
    local: Annotated[int, key("number of features of a convolution whose kernel differs between pixels", ge=1, le=4096)]
    kernel: Annotated[int, key("side of the kernel of conv and local [pixels]; absent = 3", ge=1, le=31)]
    stride: Annotated[int, key("step [pixels]; absent = 1 for conv and local, the window's side for pool", ge=1, le=31)]
    padding: Annotated[Literal["same", "valid"], key("same (or absent) = padding keeps the size; valid = no padding")]
    activation: Annotated[Activation, key("activation function of conv, local and dense; absent = relu")]
    pool: Annotated[Literal["average", "max"], key("pooling by the average or the maximum of each window")]
    size: Annotated[int, key("side of the pooling window [pixels]; absent = 2", ge=1, le=64)]
    global_pool: Annotated[Literal["average", "max"], key("average or maximum of each feature's whole map")]
    flatten: Annotated[Literal[True], key("true = the pixels of all features become one vector")]
    dense: Annotated[int, key("number of features of a dense layer", ge=1, le=8192)]
    dropout: Annotated[float, key("share of the features that are set to zero in training", ge=0, lt=1)]
    join: Annotated[Literal["side"], key("side = the side inputs are added to the features")]


class Network(TypedDict):
    """A network: its side inputs and its layers, to which a last dense layer for the loss is added."""

    side_inputs: Annotated[Distinct[SideInput], key("quantities of a cluster that the layer `join: side` adds")]
    catalogue_dropout: Annotated[
        Fraction, key("share of training clusters whose log_rate, log_extent and log_background are hidden")
    ]
    conditioned: NotRequired[
        Annotated[bool, key("true = `join: side` also adds the parameters of the physics, for a sky with a prior")]
    ]
    layers: Annotated[list[Layer], key("the layers in order; docs/explanation/training.md explains them", min_length=1)]


class Plateau(TypedDict):
    """How the learning rate is lowered when the validation loss stalls."""

    factor: Annotated[float, key("factor by which the learning rate is multiplied", gt=0, lt=1)]
    patience: Annotated[int, key("epochs without a lower validation loss before the rate is lowered", ge=1, le=10**6)]
    minimum: Annotated[float, key("lowest learning rate", ge=0)]


class Stop(TypedDict):
    """A training stops once the validation clusters' residuals of log10 M500c meet all of these conditions."""

    largest: Annotated[float, key("every absolute residual is below this [dex]", gt=0)]
    median: Annotated[float, key("the absolute value of the median residual is below this [dex]", gt=0)]
    slope: Annotated[float, key("the straight-line fit of true to predicted log10 M500c is steeper than this", lt=1)]


class Recipe(TypedDict):
    """How a network is trained."""

    loss: NotRequired[
        Annotated[Loss, key("loss; absent = likelihood: negative log-likelihood of a Gaussian in log10 M500c")]
    ]
    optimizer: Annotated[Literal["adam", "adamw"], key("optimiser")]
    learning_rate: Annotated[float, key("highest learning rate", gt=0, le=1)]
    schedule: Annotated[
        Schedule, key("learning rate: cosine = rises, then falls to 1 %; plateau = falls if the loss stalls")
    ]
    warmup_fraction: NotRequired[Annotated[float, key("for cosine: share of the steps with a rising rate", ge=0, lt=1)]]
    plateau: NotRequired[Plateau]
    weight_decay: Annotated[float, key("weight decay of kernels; decoupled (adamw), or in the gradient (adam)", ge=0)]
    gradient_clip: Annotated[float, key("gradients are clipped to this global norm; 0 = not clipped", ge=0)]
    batch_size: Annotated[int, key("number of clusters in a step", ge=1, le=10**6)]
    epochs: Annotated[int, key("number of passes through the training set", ge=1, le=10**6)]
    augmentation: Annotated[Augmentation, key("random flips and quarter turns (symmetries), or any angle (rotations)")]
    average_decay: Annotated[float, key("decay per step of the weights' running average; 0 = no average", ge=0, lt=1)]
    keep: Annotated[
        Literal["last", "best"], key("weights that are kept: of the last epoch, or of the lowest validation loss")
    ]
    l2: NotRequired[Annotated[float, key("this times the sum of squared kernel weights is added to the loss", ge=0)]]
    patience: NotRequired[
        Annotated[Count | None, key("epochs without a lower validation loss, after which training ends; null = never")]
    ]
    stop: NotRequired[Stop]
    symmetric_prediction: Annotated[bool, key("true = predictions are averaged over the square's eight symmetries")]


class Training(TypedDict):
    """Training of the networks."""

    device: Annotated[Literal["auto", "cpu", "gpu"], key("auto = a GPU if there is one, else the CPU"), STEERING]
    recipes: Annotated[dict[Name, Recipe], key("training recipes by name", min_length=1)]
