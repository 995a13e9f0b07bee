"""Every key of the configuration, declared once: its type, range, unit and meaning.

Values are plain dicts at run time. `workflow/schemas/config.schema.yaml` and the table in `config/README.md` are made
by `config/describe.py` from these classes. Steps import them for annotations only, under `TYPE_CHECKING`: they run
where there is no pydantic, and a change here re-runs nothing.
"""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

import pydantic
from typing_extensions import TypedDict

from clustermass.config.sky_models import (
    ByType,
    Cosmology,
    Count,
    Distinct,
    Edges,
    Fraction,
    Name,
    Path,
    Positive,
    Seed,
    Sky,
    key,
)

#: a key that steers how steps are executed: its change re-runs nothing
STEERING = key(json_schema_extra={"x-execution-only": True})
SideInput: TypeAlias = Literal["z", "log_z", "log_exposure", "log_rate", "log_extent", "log_background"]
MassBound: TypeAlias = Annotated[float, key(ge=10, le=17)]
Redshift: TypeAlias = Annotated[float, key(gt=0, le=3)]
FlagMask: TypeAlias = Annotated[Annotated[int, pydantic.Tag("<int>")] | Annotated[str, pydantic.Tag("<str>")], ByType]
HalfWidths: TypeAlias = Annotated[list[Annotated[int, key(ge=0, le=50)]], key(min_length=3, max_length=3)]
Transform: TypeAlias = Literal["none", "sqrt", "anscombe", "log1p"]
Activation: TypeAlias = Literal["relu", "tanh", "gelu", "none"]
Loss: TypeAlias = Literal["likelihood", "squared_log", "percentage", "squared_log1p", "classification"]
Schedule: TypeAlias = Literal["cosine", "plateau", "constant"]
Augmentation: TypeAlias = Literal["symmetries", "rotations", "none"]
Control: TypeAlias = Literal["none", "shuffled_redshift", "no_energy", "noise_images"]
MassPrior: TypeAlias = Literal["training", "flat"]
Recalibration: TypeAlias = Literal["auto", "none"]
MassTable: TypeAlias = Literal["chiu2022", "chiu2023", "bulbul2024", "table"]
MassColumn: TypeAlias = Literal["NAME_CAT", "ID_SRC", "LOGM500_REF", "LOGM500_REF_ERR"]
FileName: TypeAlias = Annotated[str, key(pattern=r"^[^/\\]+$")]


class Events(TypedDict):
    """Which events of an event list count."""

    flag_mask: Annotated[FlagMask, key("bits of FLAG that drop an event; auto = 0xC000F000 (eSASS), 0 (simulated)")]
    pattern: Annotated[int, key("mask of PAT_TYP: 1 single, 2 double, 4 triple, 8 quadruple; 15 = all", ge=1, le=15)]
    modules: Annotated[Distinct[Annotated[int, key(ge=1, le=7)]], key("telescope modules that count", min_length=1)]


class Bands(TypedDict):
    """Equally wide energy bands, in place of the list of their edges."""

    start_ev: Annotated[int, key("lower edge of the first band [eV]", ge=100, le=10000)]
    width_ev: Annotated[int, key("width of a band [eV]", ge=10, le=10000)]
    number: Annotated[int, key("number of bands", ge=1, le=100)]


class ImageSet(TypedDict):
    """A further set of images of the same events: what it does not set is as in the block `images`."""

    box_pixels: Annotated[int, key("side of the image box [pixels]", ge=20, le=1000)]
    pixel_arcsec: Annotated[float, key("size of a pixel [arcsec]", ge=1, le=60)]
    base_rebin: Annotated[int, key("images are stored with this many pixels summed along each side", ge=1, le=20)]
    centre: Annotated[Literal["detected", "halo"], key("the catalogue's position, or the true one where it is known")]
    det_like_min: Annotated[float, key("images are made of detections with DET_LIKE above this", ge=0)]
    ext_like_min: Annotated[float, key("images are made of detections with EXT_LIKE above this", ge=0)]


class Images(ImageSet):
    """Images in energy bands of every detection above two likelihoods."""

    bands: Annotated[
        Annotated[Edges, pydantic.Tag("<list>")] | Annotated[Bands, pydantic.Tag("<dict>")],
        ByType,
        key("energy bands: a list of their edges [eV], lower ones included; or equally wide ones, by the keys below"),
    ]


class Smoothing(TypedDict):
    """Gaussian smoothing of Krippendorf et al. 2023, Eq. A.1-A.2. Absent = none."""

    half_width: Annotated[HalfWidths, key("half-widths of the kernel along x, y [pixels] and energy [bands]")]
    sigma: Annotated[float, key("standard deviation / half-width", gt=0)]


class Preprocessing(TypedDict):
    """How counts become what a network sees."""

    half_width_arcsec: Annotated[float, key("half the side of the image [arcsec]", gt=0)]
    pixel_arcsec: Annotated[float, key("size of a pixel, a multiple of the stored one [arcsec]", gt=0)]
    scale_to_redshift: NotRequired[Annotated[Redshift, key("scale images to this redshift: pixels of one size in kpc")]]
    circle_arcsec: NotRequired[
        Annotated[float, key("radius outside which nothing counts; absent = none [arcsec]", ge=60)]
    ]
    bands: NotRequired[Annotated[int, key("sum bands to this many; 1 = no energies; absent = all", ge=1, le=100)]]
    smoothing: NotRequired[Smoothing]
    clip: NotRequired[Annotated[float, key("pixels above this are set to it; absent = none", gt=0)]]
    transform: Annotated[Transform, key("applied to each pixel last; anscombe = 2 sqrt(n + 3/8), log1p = ln(1 + n)")]


class Folds(TypedDict):
    """One fold of a k-fold evaluation: it is the test set, the next one validates, the others train."""

    number: Annotated[int, key("number of folds", ge=3)]
    test: Annotated[int, key("fold that is the test set, counted from 0", ge=0)]
    by: Annotated[Literal["group", "mass"], key("group = hash of groups; mass = dealt in turn in the order of mass")]


class Split(TypedDict):
    """Shares of the three subsets; they add up to 1."""

    train: Annotated[float, key("share of the groups of clusters to train on", gt=0, lt=1)]
    val: Annotated[float, key("share of the groups by which epochs and settings are chosen", gt=0, lt=1)]
    test: Annotated[float, key("share of the groups that are used once, at the end", gt=0, lt=1)]
    folds: NotRequired[Annotated[Folds, key("k-fold evaluation instead of these shares, one run a fold")]]


class Layer(TypedDict, total=False):
    """A layer of a network: its kind (conv, local, pool, global_pool, flatten, dense, dropout or join) and options."""

    conv: Annotated[int, key("convolution with this many features", ge=1, le=4096)]
    local: Annotated[int, key("convolution whose kernel differs from pixel to pixel: its features", ge=1, le=4096)]
    kernel: Annotated[int, key("side of the kernel of conv and local [pixels]; absent = 3", ge=1, le=31)]
    stride: Annotated[int, key("step of conv, local (absent = 1) and pool (absent = size) [pixels]", ge=1, le=31)]
    padding: Annotated[Literal["same", "valid"], key("same (absent) = zero padding keeps the size; valid = none")]
    activation: Annotated[Activation, key("function after conv, local and dense; absent = relu")]
    pool: Annotated[Literal["average", "max"], key("the average or the maximum of each window")]
    size: Annotated[int, key("side of the window of pool [pixels]; absent = 2", ge=1, le=64)]
    global_pool: Annotated[Literal["average", "max"], key("the average or the maximum of each feature's map")]
    flatten: Annotated[Literal[True], key("all pixels of all features, one after the other")]
    dense: Annotated[int, key("dense layer with this many features", ge=1, le=8192)]
    dropout: Annotated[float, key("share of the features set to zero in training", ge=0, lt=1)]
    join: Annotated[Literal["side"], key("input that joins the features: side, the side inputs")]


class Network(TypedDict):
    """A network: a list of layers, and a last dense one with the outputs of the loss."""

    side_inputs: Annotated[Distinct[SideInput], key("numbers that join the image where the layers say so")]
    catalogue_dropout: Annotated[Fraction, key("share of clusters drawn to lack log_rate, log_extent, log_background")]
    layers: Annotated[list[Layer], key("layers in their order (docs/training.md)", min_length=1)]


class Plateau(TypedDict):
    """How the learning rate is lowered when the validation loss stalls."""

    factor: Annotated[float, key("the rate is multiplied by this", gt=0, lt=1)]
    patience: Annotated[int, key("epochs without a better validation loss", ge=1)]
    minimum: Annotated[float, key("the rate is lowered no further than this", ge=0)]


class Recipe(TypedDict):
    """How a network is trained."""

    loss: NotRequired[Annotated[Loss, key("what is minimised; absent = likelihood, of a Gaussian in log10 M500c")]]
    optimizer: Annotated[Literal["adam", "adamw"], key("optimiser")]
    learning_rate: Annotated[float, key("highest learning rate", gt=0, le=1)]
    schedule: Annotated[Schedule, key("cosine = warm-up, then decay to 1 per cent; plateau = lowered when loss stalls")]
    warmup_fraction: NotRequired[Annotated[float, key("share of the steps with a rising rate (cosine)", ge=0, lt=1)]]
    plateau: NotRequired[Plateau]
    weight_decay: Annotated[float, key("decoupled weight decay (adamw)", ge=0)]
    gradient_clip: Annotated[float, key("largest global norm of the gradient; 0 = no limit", ge=0)]
    batch_size: Annotated[int, key("clusters per step", ge=1)]
    epochs: Annotated[int, key("passes through the training set", ge=1)]
    augmentation: Annotated[Augmentation, key("symmetries = flips, quarter turns; rotations = any angle")]
    average_decay: Annotated[float, key("decay per step of the running average of the weights; 0 = none", ge=0, lt=1)]
    keep: Annotated[Literal["last", "best"], key("weights of the last epoch, or of the lowest validation loss")]
    l2: NotRequired[Annotated[float, key("this times the sum of all kernels' squares is added to the loss", ge=0)]]
    patience: NotRequired[Annotated[Count | None, key("epochs without a lower validation loss to end at; null = none")]]
    symmetric_prediction: Annotated[bool, key("average predictions over the eight symmetries of the square")]


class Training(TypedDict):
    """How networks are trained."""

    device: Annotated[Literal["auto", "cpu", "gpu"], key("auto = a GPU if there is one"), STEERING]
    recipes: Annotated[dict[Name, Recipe], key("training recipes by name", min_length=1)]


class Ensemble(TypedDict):
    """The ensemble of networks."""

    members: Annotated[int, key("number of networks of an experiment that sets none of its own", ge=1, le=1000)]
    members_per_job: Annotated[int, key("networks that one job trains, side by side on a GPU", ge=1, le=1000), STEERING]
    recalibration: Annotated[Recalibration, key("auto = scale sigma if it helps left-out validation data; none = no")]


class Selection(TypedDict, total=False):
    """Clusters to train and test on; the split itself never changes."""

    log10_m500c_min: Annotated[MassBound, key("lowest log10(M500c / Msun)")]
    log10_m500c_max: Annotated[MassBound, key("log10(M500c / Msun) must be below this")]
    det_like_min: Annotated[float, key("DET_LIKE must be above this", ge=0)]
    ext_like_min: Annotated[float, key("EXT_LIKE must be above this", ge=0)]


class Experiment(TypedDict):
    """An experiment: what it does not set is as in `fiducial`."""

    sky: Annotated[str, key("simulated sky to train on")]
    images: Annotated[str | None, key("one of image_sets; null (or images) = as the block `images` says")]
    preprocessing: Annotated[str, key("one of preprocessing")]
    network: Annotated[str, key("one of network")]
    recipe: Annotated[str, key("one of training.recipes")]
    selection: Selection
    train_selection: Annotated[Selection | None, key("of the training clusters; calibration and test use `selection`")]
    train_clusters: Annotated[int | None, key("number of training clusters, in a fixed order; null = all", ge=1)]
    weighting: Annotated[Literal["none", "uniform_mass"], key("weights in training: equal, or uniform in log10 M500c")]
    redshift_noise: Annotated[float, key("standard deviation of noise added to the redshifts a network sees", ge=0)]
    control: Annotated[Control, key("data taken away to see what networks use; controls give no observed masses")]
    members: Annotated[int | None, key("number of networks; null = ensemble.members", ge=1, le=1000)]
    test_skies: Annotated[Distinct[str], key("further simulated skies to test on")]
    compared_with: NotRequired[Annotated[str, key("experiment it is compared with on the paper's page")]]


class Search(TypedDict):
    """Comparison of networks and recipes on the validation clusters, by `snakemake ... -- search`."""

    candidates: Annotated[Distinct[str], key("experiments of one sky and selection")]


class CountRateRelation(TypedDict):
    """log10 M500c = log10_mass + slope_rate log10(rate/pivot_rate) + linear_z q + quadratic_z q^2.

    q = log10((1+z)/(1+pivot_z)); the default is fitted to the masses of Chiu et al. 2023 for 453 eFEDS clusters.
    """

    log10_mass: Annotated[float, key("log10(M500c / Msun) at the pivots")]
    slope_rate: Annotated[float, key("slope with the count rate")]
    linear_z: Annotated[float, key("linear coefficient of q")]
    quadratic_z: Annotated[float, key("quadratic coefficient of q")]
    pivot_rate: Annotated[float, key("pivot count rate, 0.2-2.3 keV [count/s]", gt=0)]
    pivot_z: Annotated[float, key("pivot redshift", ge=0)]


class LuminosityRelation(TypedDict):
    """Chiu et al. 2022 (A&A 661, A11), Eq. 67: soft-band luminosity inside R500 at given mass and redshift."""

    log10_l_pivot: Annotated[float, key("log10 of the luminosity at the pivots, 0.5-2 keV [erg/s]")]
    mass_pivot_msun: Annotated[
        Positive, key("pivot M500c [Msun]: 2.0e+14 = the published 1.4e14 as Msun/h (1.4e+14: masses 0.155 dex lower)")
    ]
    slope: Annotated[float, key("slope with mass", gt=0)]
    delta: Annotated[float, key("change of the slope with ln((1+z)/(1+pivot_z))")]
    evolution: Annotated[float, key("power of E(z)/E(pivot_z)")]
    gamma: Annotated[float, key("power of (1+z)/(1+pivot_z)")]
    pivot_z: Annotated[float, key("pivot redshift", ge=0)]
    scatter_ln: Annotated[float, key("scatter of ln L at fixed mass and redshift; 0.46 = 0.2 dex", gt=0)]


class Baselines(TypedDict):
    """Predictors that the ensemble is compared with, on the same clusters."""

    ridge_alpha: Annotated[list[Positive], key("penalties of the ridge regression that are tried", min_length=1)]
    count_rate_efeds: CountRateRelation
    luminosity_published: LuminosityRelation


class Evaluation(TypedDict):
    """Evaluation on the test set."""

    bootstrap: Annotated[int, key("number of bootstrap samples behind every interval", ge=100)]


class PublishedMasses(TypedDict):
    """Published masses of an observed field, to compare with."""

    file: Annotated[Path, key("the table (.fits, .fits.gz, .csv, .tsv or .ecsv; of chiu2022 also tablec1.dat)")]
    kind: Annotated[MassTable, key("table = your own: NAME_CAT or ID_SRC, LOGM500_REF, perhaps LOGM500_REF_ERR (dex)")]
    columns: NotRequired[Annotated[dict[MassColumn, str], key("of kind table: your columns' names, where they differ")]]
    log10_m500c_min: NotRequired[Annotated[MassBound | None, key("only published log10(M500c / Msun) above this")]]
    log10_m500c_max: NotRequired[Annotated[MassBound | None, key("only published log10(M500c / Msun) below this")]]


class Observed(TypedDict):
    """Fields whose clusters get masses."""

    acronym: Annotated[str, key("survey's name, with which NAME in the catalogue begins (simulated fields: SIM)")]
    mass_prior: Annotated[MassPrior, key("training = that of the training sample; flat = also columns LOGM500_FLAT*")]
    fields: Annotated[list[str], key("observed skies")]
    published: Annotated[dict[Name, PublishedMasses], key("published masses by the observed sky that they are of")]


class Validation(TypedDict):
    """Comparison of a simulated sky with published numbers, by `make validate-sky`."""

    sky: Annotated[str, key("an embedded sky with known masses; the published numbers are those of eFEDS")]


class Figures(TypedDict):
    """Figures."""

    dpi: Annotated[int, key("resolution of the png figures", ge=50, le=1200)]


class Download(TypedDict):
    """A file to fetch."""

    urls: Annotated[list[Annotated[str, key(pattern="^https?://")]], key("addresses, tried in turn", min_length=1)]
    path: Annotated[Path, key("where it goes; checked by its ending: .fits, .fits.gz, .tsv, .tar.gz, .tgz")]
    fetch: NotRequired[Annotated[bool, key("false = left out; absent = true")]]
    bytes: NotRequired[Annotated[int, key("length that it must have [bytes]", ge=1)]]
    sha256: NotRequired[Annotated[str, key("SHA-256; absent = that of the first download", pattern="^[0-9a-f]{64}$")]]
    rows: NotRequired[Annotated[int, key("rows that its table must have", ge=1)]]
    unpack: NotRequired[Annotated[Distinct[FileName], key("files to take out of an archive", min_length=1)]]


class Downloads(TypedDict):
    """Public files that `snakemake ... -- download` fetches; nothing else does."""

    tries: NotRequired[Annotated[int, key("how often an address is tried; absent = 6", ge=1, le=100)]]
    stall_s: NotRequired[Annotated[Positive, key("a try ends after this long without data [s]; absent = 60", le=3600)]]
    pause_s: NotRequired[Annotated[float, key("pause before a try, doubled each time [s]; absent = 2", ge=0, le=60)]]
    files: Annotated[dict[str, Download], key("files by name")]


@pydantic.with_config(pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Config(TypedDict):
    """The whole configuration."""

    run: Annotated[Name, key("name of the run; results go to results/<run>/, skies and images are shared by all runs")]
    seed: Annotated[Seed, key("root of the random numbers of split, training and bootstrap; skies have their own")]
    experiments: Annotated[dict[Name, Experiment | None], key("experiments by name; all but `fiducial` state changes")]
    observed: Observed
    images: Images
    image_sets: Annotated[dict[Name, ImageSet], key("further sets of images by name")]
    events: Events
    preprocessing: Annotated[dict[Name, Preprocessing], key("ways of preprocessing by name", min_length=1)]
    split: Split
    network: Annotated[dict[Name, Network], key("networks by name", min_length=1)]
    training: Training
    ensemble: Ensemble
    search: Search
    baselines: Baselines
    evaluation: Evaluation
    validation: Validation
    figures: Figures
    cosmology: Cosmology
    skies: Annotated[dict[Name, Sky], key("skies by name", min_length=1)]
    downloads: NotRequired[Annotated[Downloads, STEERING]]
    facts: NotRequired[Annotated[dict[str, Any], key("set by the workflow: numbers in captions"), STEERING]]
    record: NotRequired[Annotated[dict[str, Any], key("set by the workflow: run times, software"), STEERING]]
