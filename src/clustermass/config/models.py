"""The keys of the configuration: type, range, unit and meaning of each.

The keys of networks are in `network_models`, those of a sky in `sky_models`, and those of its sources in
`source_models`. At run time, the configuration consists of plain dicts. `config/describe.py` makes
`workflow/schemas/config.schema.yaml` and the table of keys in `config/README.md` from these classes. The steps of the
workflow also run where pydantic isn't installed. Therefore they import these classes for annotations only, under
`TYPE_CHECKING`, and a change of this file re-runs no step.
"""

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

import pydantic
from typing_extensions import TypedDict

from clustermass.config.kinds import ByType, Distinct, Edges, Name, Path, Positive, Seed, key
from clustermass.config.network_models import STEERING, Network, Training
from clustermass.config.sky_models import Cosmology, Sky

MassBound: TypeAlias = Annotated[float, key(ge=10, le=17)]
Redshift: TypeAlias = Annotated[float, key(gt=0, le=3)]
FlagMask: TypeAlias = Annotated[Annotated[int, pydantic.Tag("<int>")] | Annotated[str, pydantic.Tag("<str>")], ByType]
HalfWidths: TypeAlias = Annotated[list[Annotated[int, key(ge=0, le=50)]], key(min_length=3, max_length=3)]
Transform: TypeAlias = Literal["none", "sqrt", "anscombe", "log1p"]
Control: TypeAlias = Literal["none", "shuffled_redshift", "no_energy", "noise_images"]
MassPrior: TypeAlias = Literal["training", "flat"]
Recalibration: TypeAlias = Literal["auto", "none"]
MassTable: TypeAlias = Literal["chiu2022", "chiu2023", "bulbul2024", "table"]
MassColumn: TypeAlias = Literal["NAME_CAT", "ID_SRC", "LOGM500_REF", "LOGM500_REF_ERR"]
#: a name without control characters that isn't hidden, so that a configuration overwrites no file of a program
_NAME = r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*"
_TABLE = r"\.(fits|fits\.gz|tsv)"
TABLE_PATH, TABLE_NAME = rf"^({_NAME}/)*{_NAME}({_TABLE}|\.tar\.gz|\.tgz)$", rf"^{_NAME}{_TABLE}$"
TablePath: TypeAlias = Annotated[str, key(pattern=TABLE_PATH)]
TableName: TypeAlias = Annotated[str, key(pattern=TABLE_NAME)]


class Events(TypedDict):
    """Cuts on event lists: which events are used."""

    flag_mask: Annotated[
        FlagMask, key("events whose FLAG has a bit of this mask are dropped; auto = 0xC000F000 (eSASS), 0 (simulated)")
    ]
    pattern: Annotated[int, key("used patterns: sum of 1 single, 2 double, 4 triple, 8 quadruple", ge=1, le=15)]
    modules: Annotated[Distinct[Annotated[int, key(ge=1, le=7)]], key("telescope modules that are used", min_length=1)]


class Bands(TypedDict):
    """Equally wide energy bands, given in place of a list of edges."""

    start_ev: Annotated[int, key("lower edge of the first band [eV]", ge=100, le=10000)]
    width_ev: Annotated[int, key("width of a band [eV]", ge=10, le=10000)]
    number: Annotated[int, key("number of bands", ge=1, le=100)]


class ImageSet(TypedDict):
    """A further set of images of the same events; a key that it does not set is taken from the block `images`."""

    box_pixels: Annotated[int, key("side of the square image box [pixels]", ge=20, le=1000)]
    pixel_arcsec: Annotated[float, key("side of a pixel [arcsec]", ge=1, le=60)]
    base_rebin: Annotated[int, key("a stored pixel is the sum of this many pixels along each side", ge=1, le=20)]
    centre: Annotated[Literal["detected", "halo"], key("image centre: catalogue position, or the true one if known")]
    det_like_min: Annotated[float, key("only detections with DET_LIKE above this get an image", ge=0)]
    ext_like_min: Annotated[float, key("only detections with EXT_LIKE above this get an image", ge=0)]


class Images(ImageSet):
    """How the images of detections are cut out, and in which energy bands."""

    bands: Annotated[
        Annotated[Edges, pydantic.Tag("<list>")] | Annotated[Bands, pydantic.Tag("<dict>")],
        ByType,
        key("energy bands (lower edge included): a list of edges [eV], or equally wide bands by the keys below"),
    ]


class Smoothing(TypedDict):
    """Gaussian smoothing of Krippendorf et al. 2023, Eq. A.1-A.2; without this block images are not smoothed."""

    half_width: Annotated[HalfWidths, key("half-widths of the kernel: along x and y [pixels], along energy [bands]")]
    sigma: Annotated[float, key("standard deviation of the Gaussian in units of the half-width", gt=0)]


class Preprocessing(TypedDict):
    """How images of counts are prepared as the input of a network."""

    half_width_arcsec: Annotated[float, key("half the side of the network's input image [arcsec]", gt=0, le=36_000)]
    pixel_arcsec: Annotated[
        float, key("side of a pixel, a multiple of a stored pixel's side [arcsec]", gt=0, le=36_000)
    ]
    scale_to_redshift: NotRequired[
        Annotated[Redshift, key("images are scaled to this redshift: pixels have one size in kpc; absent = unscaled")]
    ]
    circle_arcsec: NotRequired[Annotated[float, key("beyond this radius pixels are 0 [arcsec]; absent = none", ge=60)]]
    bands: NotRequired[Annotated[int, key("number of bands after summing neighbours; absent = all", ge=1, le=100)]]
    smoothing: NotRequired[Smoothing]
    clip: NotRequired[Annotated[float, key("larger pixel values are set to this value; absent = no limit", gt=0)]]
    transform: Annotated[Transform, key("last step, for each pixel: anscombe = 2 sqrt(n + 3/8), log1p = ln(1 + n)")]


class Folds(TypedDict):
    """k-fold evaluation: one fold is the test set, the next fold the validation set, all others the training set."""

    number: Annotated[int, key("number of folds", ge=3, le=1000)]
    test: Annotated[int, key("number of the fold that is the test set, counted from 0", ge=0, le=999)]
    by: Annotated[
        Literal["group", "mass"],
        key("group = by a hash of the group; mass = clusters are dealt to folds in order of mass"),
    ]


class Split(TypedDict):
    """Shares of the training, validation and test set; they add up to 1."""

    train: Annotated[float, key("share of the groups of clusters in the training set", gt=0, lt=1)]
    val: Annotated[float, key("share of the groups in the validation set, by which settings are chosen", gt=0, lt=1)]
    test: Annotated[float, key("share of the groups in the test set, on which the results are evaluated", gt=0, lt=1)]
    folds: NotRequired[Annotated[Folds, key("k-fold evaluation in place of these shares; each fold needs its own run")]]


class Ensemble(TypedDict):
    """The ensemble of networks."""

    members: Annotated[int, key("number of networks of an experiment whose own `members` is null", ge=1, le=1000)]
    members_per_job: Annotated[int, key("networks that one job trains; side by side on a GPU", ge=1, le=1000), STEERING]
    recalibration: Annotated[
        Recalibration, key("auto = sigma is rescaled if left-out validation clusters become more likely; none = never")
    ]


class Selection(TypedDict, total=False):
    """Cuts on the clusters that are used; they never move a cluster from one subset to another."""

    log10_m500c_min: Annotated[MassBound, key("log10(M500c / Msun) must be at least this")]
    log10_m500c_max: Annotated[MassBound, key("log10(M500c / Msun) must be below this")]
    det_like_min: Annotated[float, key("DET_LIKE must be above this", ge=0)]
    ext_like_min: Annotated[float, key("EXT_LIKE must be above this", ge=0)]


class Experiment(TypedDict):
    """An experiment; a key that it does not set is taken from the experiment `fiducial`."""

    sky: Annotated[str, key("name of the simulated sky to train on")]
    images: Annotated[str | None, key("name of an entry of image_sets; null (or images) = the block `images`")]
    preprocessing: Annotated[str, key("name of an entry of preprocessing")]
    network: Annotated[str, key("name of an entry of network")]
    recipe: Annotated[str, key("name of an entry of training.recipes")]
    selection: Selection
    train_selection: Annotated[Selection | None, key("other cuts for training; calibration and test use `selection`")]
    train_clusters: Annotated[int | None, key("number of training clusters, taken in a fixed order; null = all", ge=1)]
    weighting: Annotated[
        Literal["none", "uniform_mass", "cells"],
        key(
            "weights of clusters: none = equal; uniform_mass = log10 M500c becomes uniform; cells = equal realizations"
        ),
    ]
    redshift_noise: Annotated[float, key("standard deviation of the noise on redshifts that the networks see", ge=0)]
    control: Annotated[
        Control, key("information that networks lack, to test its use; such networks give no masses of observed fields")
    ]
    members: Annotated[int | None, key("number of networks; null = that of ensemble.members", ge=1, le=1000)]
    test_skies: Annotated[Distinct[str], key("names of further simulated skies to test on")]
    compared_with: NotRequired[Annotated[str, key("experiment with which `make paper` compares this one")]]


class Search(TypedDict):
    """Comparison of networks and recipes on the validation clusters, by `snakemake ... -- search`."""

    candidates: Annotated[Distinct[str], key("names of the experiments, all of the same sky and selection")]


class CountRateRelation(TypedDict):
    """Relation log10 M500c = log10_mass + slope_rate log10(rate/pivot_rate) + linear_z q + quadratic_z q^2.

    Here q is log10((1+z)/(1+pivot_z)). The default is a fit to the masses of 453 eFEDS clusters of Chiu et al. 2023.
    """

    log10_mass: Annotated[float, key("log10(M500c / Msun) at the pivots")]
    slope_rate: Annotated[float, key("coefficient of log10(rate/pivot_rate)")]
    linear_z: Annotated[float, key("coefficient of q")]
    quadratic_z: Annotated[float, key("coefficient of q^2")]
    pivot_rate: Annotated[float, key("pivot count rate, 0.2-2.3 keV [count/s]", gt=0)]
    pivot_z: Annotated[float, key("pivot redshift", ge=0)]


class LuminosityRelation(TypedDict):
    """Soft-band luminosity inside R500 as a function of mass and redshift: Chiu et al. 2022 (A&A 661, A11), Eq. 67."""

    log10_l_pivot: Annotated[float, key("log10 of the luminosity at the pivots, 0.5-2 keV [erg/s]")]
    mass_pivot_msun: Annotated[
        Positive, key("pivot M500c [Msun]; 2.0e+14 = published 1.4e14 in Msun/h (1.4e+14 lowers masses by 0.155 dex)")
    ]
    slope: Annotated[float, key("slope of ln luminosity with ln mass at the pivot redshift", gt=0)]
    delta: Annotated[float, key("change of the slope with ln((1+z)/(1+pivot_z))")]
    evolution: Annotated[float, key("exponent of E(z)/E(pivot_z)")]
    gamma: Annotated[float, key("exponent of (1+z)/(1+pivot_z)")]
    pivot_z: Annotated[float, key("pivot redshift", ge=0)]
    scatter_ln: Annotated[float, key("standard deviation of ln L at fixed mass and redshift; 0.46 = 0.2 dex", gt=0)]


class Baselines(TypedDict):
    """Simpler predictors of mass, with which the networks are compared on the same clusters."""

    ridge_alpha: Annotated[list[Positive], key("penalties of the ridge regression that are tried", min_length=1)]
    count_rate_efeds: CountRateRelation
    luminosity_published: LuminosityRelation


class Evaluation(TypedDict):
    """Evaluation on the test set."""

    bootstrap: Annotated[int, key("number of bootstrap samples for every interval", ge=100, le=10**6)]


class PublishedMasses(TypedDict):
    """Published masses of the clusters of an observed field, for comparison only."""

    file: Annotated[Path, key("path of the table (.fits, .fits.gz, .csv, .tsv or .ecsv; chiu2022: also tablec1.dat)")]
    kind: Annotated[
        MassTable, key("paper of the table; table = your own, with NAME_CAT or ID_SRC, LOGM500_REF, LOGM500_REF_ERR")
    ]
    columns: NotRequired[Annotated[dict[MassColumn, str], key("for kind table: our name of a column -> yours")]]
    log10_m500c_min: NotRequired[Annotated[MassBound | None, key("compare only log10(M500c / Msun) above this")]]
    log10_m500c_max: NotRequired[Annotated[MassBound | None, key("compare only log10(M500c / Msun) below this")]]


class Observed(TypedDict):
    """Fields whose clusters get masses."""

    acronym: Annotated[str, key("survey's name, the beginning of NAME in the catalogue (SIM for simulated fields)")]
    mass_prior: Annotated[
        MassPrior,
        key("flat = adds columns LOGM500_FLAT*, from which the training sample's mass distribution is divided out"),
    ]
    fields: Annotated[list[str], key("names of observed skies")]
    published: Annotated[dict[Name, PublishedMasses], key("published masses, by name of the observed sky")]


class Validation(TypedDict):
    """Comparison of a simulated sky with published numbers, by `make validate-sky`."""

    sky: Annotated[str, key("name of an embedded sky with known masses; it is compared with eFEDS")]


class Figures(TypedDict):
    """Settings of the figures."""

    dpi: Annotated[int, key("resolution of the png figures [dots per inch]", ge=50, le=1200)]
    style: Annotated[str | None, key("Matplotlib style on top of ours: its name, or a path that ends in .mplstyle")]


class Download(TypedDict):
    """A file that is downloaded and checked."""

    urls: Annotated[list[Annotated[str, key(pattern="^https?://")]], key("addresses, tried in order", min_length=1)]
    path: Annotated[TablePath, key("relative path; its ending is .fits, .fits.gz, .tsv, .tar.gz or .tgz")]
    fetch: NotRequired[Annotated[bool, key("false = the file is not downloaded; absent = true")]]
    bytes: NotRequired[Annotated[int, key("length that the file must have [bytes]", ge=1, le=10**11)]]
    sha256: NotRequired[Annotated[str, key("SHA-256; absent = that of the first download", pattern="^[0-9a-f]{64}$")]]
    rows: NotRequired[Annotated[int, key("number of rows that the table must have", ge=1, le=10**10)]]
    unpack: NotRequired[Annotated[Distinct[TableName], key("tables that are taken out of the archive", min_length=1)]]


class Downloads(TypedDict):
    """Public files, which only the target `snakemake ... -- download` downloads."""

    tries: NotRequired[Annotated[int, key("number of tries of an address; absent = 6", ge=1, le=100)]]
    stall_s: NotRequired[Annotated[Positive, key("a try ends after this time without data [s]; absent = 60", le=3600)]]
    pause_s: NotRequired[
        Annotated[float, key("pause before the second try; doubles with each try [s]; absent = 2", ge=0, le=60)]
    ]
    files: Annotated[dict[str, Download], key("files by name")]


@pydantic.with_config(pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Config(TypedDict):
    """The whole configuration."""

    run: Annotated[Name, key("name of the run: results go to results/<run>/; all runs share skies and images")]
    seed: Annotated[Seed, key("root of the random numbers of split, training and bootstrap; skies have their own")]
    experiments: Annotated[dict[Name, Experiment | None], key("experiments by name; `fiducial` is the base of all")]
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
