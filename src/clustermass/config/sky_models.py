"""Keys of a sky in the configuration: the type, range, unit and meaning of each."""

from itertools import pairwise
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypeVar

import pydantic
from typing_extensions import TypedDict

T = TypeVar("T")


def key(description: str = "", **rules: Any) -> Any:
    """Return what a key means and the rules for its value (`gt`, `ge`, `lt`, `le`, `pattern`, `min_length`, ...)."""
    if description:
        rules["description"] = description
    return pydantic.Field(**rules)


def _each_once(entries: list[T]) -> list[T]:
    if len(set(entries)) < len(entries):
        raise ValueError("each entry may be there only once")
    return entries


Path: TypeAlias = Annotated[str, key(min_length=1)]
Name: TypeAlias = Annotated[str, key(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Seed: TypeAlias = Annotated[int, key(ge=0, le=2**32 - 1)]
Count: TypeAlias = Annotated[int, key(ge=1)]
Positive: TypeAlias = Annotated[float, key(gt=0)]
Share: TypeAlias = Annotated[float, key(ge=0, le=1)]
Correlation: TypeAlias = Annotated[float, key(ge=-1, le=1)]
#: at least 0, below 1
Fraction: TypeAlias = Annotated[float, key(ge=0, lt=1)]
#: a list whose entries differ
Distinct: TypeAlias = Annotated[
    list[T], pydantic.AfterValidator(_each_once), key(json_schema_extra={"uniqueItems": True})
]
#: decides by a value's type which of several kinds it must be
ByType = pydantic.Discriminator(lambda value: f"<{type(value).__name__}>")
Extents: TypeAlias = list[Annotated[float, key(ge=2, le=200)]]
Seconds: TypeAlias = Annotated[float, key(gt=0, le=1e8)] | None
Probability: TypeAlias = Annotated[float, key(gt=0, le=1)]
Steps: TypeAlias = list[Annotated[float, key(gt=0, le=20)]]


def _ascending(edges: list[int]) -> list[int]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("each edge must be above the one before")
    return edges


Edges: TypeAlias = Annotated[
    list[Annotated[int, key(ge=100, le=12000)]],
    pydantic.AfterValidator(_ascending),
    key(min_length=2, max_length=101),
]

Column: TypeAlias = Literal[
    "ID_SRC", "RA", "DEC", "DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG", "Z", "Z_ERR",
    "Z_TYPE", "LOGM500_REF", "LOGM500_REF_ERR", "LX500", "F_CONT", "IN_AREA90", "NAME_CAT"
]  # fmt: skip
TruthName: TypeAlias = Literal[
    "SRC_ID", "HALO_ID", "RA", "DEC", "Z", "LOG10_M500C", "M500C", "KT", "L500", "FLUX", "R500_ARCMIN"
]


class Cosmology(TypedDict):
    """Flat LCDM of the simulated skies (default as in Comparat et al. 2020)."""

    h0_km_s_mpc: Annotated[float, key("Hubble constant [km/s/Mpc]", gt=30, lt=150)]
    omega_m: Annotated[float, key("matter density today in units of the critical density", gt=0, lt=1)]
    omega_b: Annotated[float, key("baryon density today in units of the critical density", gt=0, lt=1)]
    sigma8: Annotated[float, key("amplitude of matter fluctuations in spheres of 8 Mpc/h", gt=0, le=2)]
    ns: Annotated[float, key("slope of the primordial power spectrum", gt=0, le=2)]


class Field(TypedDict):
    """Rectangle on the sky that is simulated."""

    ra_deg: Annotated[float, key("right ascension of the centre [deg]", ge=0, lt=360)]
    dec_deg: Annotated[float, key("declination of the centre [deg]", ge=-80, le=80)]
    width_deg: Annotated[float, key("width along right ascension [deg]", ge=0.5, le=40)]
    height_deg: Annotated[float, key("height along declination [deg]", ge=0.5, le=40)]


class Exposure(TypedDict):
    """Exposure map of the simulated field."""

    depth_s: Annotated[float, key("vignetting-corrected exposure in the interior of the field [s]", gt=0, le=1e6)]
    taper_deg: Annotated[float, key("width of the linear fall to zero inside each edge [deg]", ge=0, le=5)]
    scans: Annotated[int, key("parts side by side along right ascension in which the field was scanned", ge=1, le=20)]
    overlap_deg: Annotated[float, key("width of the overlap of two parts, where the depth doubles [deg]", gt=0, le=5)]
    particle_slope: Annotated[float, key("particles' exposure = relative depth to this power", ge=0, le=2)]
    pixel_arcsec: Annotated[float, key("pixel of the exposure map [arcsec]", ge=4, le=600)]


class Absorption(TypedDict):
    """Galactic absorption (cross-sections of Morrison & McCammon 1983)."""

    nh_cm2: Annotated[float, key("hydrogen column density [cm-2]", ge=0, le=1e22)]


class Psf(TypedDict):
    """Point-spread function, a King profile (1 + (r/core)^2)^-slope."""

    core_arcsec: Annotated[float, key("core radius at 1 keV [arcsec]", gt=0, le=120)]
    slope: Annotated[float, key("slope of the King profile", gt=1, le=10)]
    energy_slope: Annotated[float, key("the core radius grows with photon energy to this power", ge=-1, le=1)]
    radius_max_arcsec: Annotated[float, key("radius at which the profile ends [arcsec]", ge=60, le=3600)]


class Clusters(TypedDict):
    """Haloes and their hot gas."""

    log10_m500c_min: Annotated[float, key("lower end of the mass function, log10(M500c / Msun)", ge=12, le=15)]
    log10_m500c_max: Annotated[float, key("upper end of the mass function, log10(M500c / Msun)", ge=13, le=16)]
    redshift_min: Annotated[float, key("lowest redshift of a halo", ge=0.003, le=1)]
    redshift_max: Annotated[float, key("highest redshift of a halo", gt=0.003, le=3)]
    flux_min_cgs: Annotated[
        float, key("fainter haloes are dark [erg/s/cm2, 0.5-2 keV observed, unabsorbed, in R500]", ge=1e-17, le=1e-11)
    ]
    hydrostatic_bias: Annotated[float, key("hydrostatic mass of the gas model / true mass", gt=0.3, le=1.5)]
    normalisation_dex: Annotated[float, key("shift of log10 luminosity at fixed mass [dex]", ge=-2, le=2)]
    low_mass_slope: Annotated[float, key("slope d ln L / d ln M below low_mass_log10_m500c", ge=0, le=4)]
    low_mass_log10_m500c: Annotated[float, key("hydrostatic mass where the slope changes, log10 [Msun]", ge=12, le=16)]
    temperature_scatter_dex: Annotated[float, key("scatter of log10 kT at fixed mass and redshift [dex]", ge=0, le=0.5)]
    extra_luminosity_scatter_dex: Annotated[Share, key("scatter of log10 luminosity added to the profiles' 0.2 [dex]")]
    luminosity_temperature_correlation: Annotated[
        Correlation | None, key("correlation of ln kT and ln luminosity at fixed mass; null = as Comparat et al. 2020")
    ]
    outskirts_flux_max: Annotated[float, key("largest flux beyond R500 / flux inside R500", ge=0, le=2)]
    axis_ratio_mean: Annotated[float, key("mean ratio of minor to major axis", gt=0.3, le=1)]
    axis_ratio_std: Annotated[float, key("standard deviation of the axis ratio", ge=0, le=0.3)]


class Agn(TypedDict):
    """Active galactic nuclei: soft number counts of Moretti et al. 2003."""

    flux_min_cgs: Annotated[float, key("faintest [erg/s/cm2, 0.5-2 keV, unabsorbed]", ge=1e-17, le=1e-13)]
    flux_max_cgs: Annotated[float, key("brightest [erg/s/cm2, 0.5-2 keV]", ge=1e-14, le=1e-9)]
    photon_index: Annotated[float, key("photon index of the power-law spectrum", ge=0, le=4)]
    normalisation_per_deg2: Annotated[float, key("normalisation of the counts [deg-2]; 0 = no AGN", ge=0, le=1e6)]
    clustered_fraction: Annotated[float, key("share of the AGN that lie around haloes", ge=0, le=1)]
    clustered_r500: Annotated[float, key("largest projected distance of these from their halo [R500c]", gt=0, le=20)]


class Shares(TypedDict):
    """Parts of the background by counts in 0.2-2.3 keV; normalised to their sum."""

    local_bubble: Annotated[float, key("thermal, kT 0.1 keV, unabsorbed", ge=0, le=1)]
    galactic_halo: Annotated[float, key("thermal, kT 0.22 keV, absorbed", ge=0, le=1)]
    extragalactic: Annotated[float, key("fainter AGN: power law of index 1.45, absorbed", ge=0, le=1)]
    particle: Annotated[float, key("flat in detector energy", ge=0, le=1)]


class Background(TypedDict):
    """Smooth background: sky and particles."""

    rate_per_arcmin2_ks: Annotated[float, key("counts in 0.2-2.3 keV per arcmin2 and vignetted ks", ge=0, le=1000)]
    shares: Shares


class Redshifts(TypedDict):
    """Redshifts of the catalogue of a simulated field."""

    spectroscopic_fraction: Annotated[float, key("fraction of clusters with an exact redshift", ge=0, le=1)]
    photometric_error: Annotated[float, key("standard error of the other redshifts / (1 + z)", ge=0, le=0.5)]
    redshift_min: Annotated[float, key("no photometric redshift is below this one", gt=0, le=0.1)]


class Detection(TypedDict):
    """Source detection in a simulated field, a vectorised stand-in for eSASS ermldet."""

    e_min_ev: Annotated[float, key("lowest photon energy used [eV]", ge=0)]
    e_max_ev: Annotated[float, key("highest photon energy used [eV]", gt=0)]
    pixel_arcsec: Annotated[float, key("pixel of the stamps [arcsec]", ge=1, le=16)]
    stamp_pixels: Annotated[int, key("side of a stamp [pixels]; odd", ge=11, le=101)]
    cut_radius_arcsec: Annotated[float, key("radius of the pixels that are fitted [arcsec]", ge=20, le=200)]
    extents_arcsec: Annotated[Extents, key("core radii of beta models (2/3) tried [arcsec], increasing", min_length=3)]
    shift_arcsec: Annotated[float, key("step of the coarse 3 x 3 grid of positions [arcsec]", ge=1, le=20)]
    refine_arcsec: Annotated[Steps, key("steps of the finer grids around the best position so far [arcsec]")]
    start_scatter_arcsec: Annotated[float, key("error of the fits' first positions, per axis [arcsec]", ge=0, le=20)]
    ext_dof: Annotated[float, key("degrees of freedom: EXT_LIKE = -ln Q(ext_dof/2, dC/2)", ge=0.5, le=8)]
    box_like_min: Annotated[float, key("lowest likelihood of a box for a fit; 0 = fit all", ge=0, le=100)]
    extent_point_like_min: Annotated[float, key("lowest DET_LIKE as a point source; 0 = none", ge=0, le=1000)]
    det_like_floor: Annotated[float, key("detections below this DET_LIKE do not enter the catalogue", ge=1)]
    ext_like_floor: Annotated[float, key("detections below this EXT_LIKE are point sources (EXT = EXT_LIKE = 0)", ge=0)]
    component_counts_min: Annotated[float, key("AGN with more expected counts are modelled [counts]", ge=0)]
    background_cell_arcsec: Annotated[float, key("cell of the local background [arcsec]", ge=20, le=300)]
    background_radius_arcsec: Annotated[float, key("cells up to this distance are used [arcsec]", ge=120, le=1800)]
    background_exclusion_arcsec: Annotated[float, key("cells nearer than this are left out [arcsec]", ge=0, le=600)]
    background_clip_sigma: Annotated[float, key("cells with an excess of this many sigma are left out", ge=0.5, le=10)]
    merge_extended_arcsec: Annotated[float, key("of two extended sources within this, one is kept [arcsec]", ge=0)]
    merge_point_arcsec: Annotated[float, key("of two sources of any kind within this, one is kept [arcsec]", ge=0)]
    match_counts_factor: Annotated[float, key("fitted counts of a match <= this x photons of its halo + offset", ge=1)]
    match_counts_offset: Annotated[float, key("offset in this limit [counts]", ge=0)]


Maps: TypeAlias = Annotated[
    Annotated[str, pydantic.Tag("<str>")]
    | Annotated[Distinct[Path], key(min_length=1), pydantic.Tag("<list>")]
    | Annotated[None, pydantic.Tag("<NoneType>")],
    ByType,
]


class RealizationFiles(TypedDict):
    """Your files of one realization of a field."""

    events: Annotated[Distinct[Path], key("event lists (SIXTE, eSASS); or images in bands, on one grid", min_length=1)]
    catalogue: Annotated[Path, key("table of clusters: position (ICRS) and redshift at least")]
    joined_catalogues: NotRequired[Annotated[Distinct[Path] | None, key("tables with further columns, by their ids")]]
    exposure: NotRequired[Annotated[Maps, key("exposure map, vignetted [s], or a list of them; null = see exposure_s")]]
    exposure_s: NotRequired[Annotated[Seconds, key("where no map is [s]; null = ML_EXP of each, else mean good time")]]
    truth: NotRequired[
        Annotated[str | None, key("table of haloes: SRC_ID, RA, DEC, Z, LOG10_M500C or M500C; not of observed skies")]
    ]


class CatalogueSelection(TypedDict, total=False):
    """Clusters of your catalogue to keep; the log says how many each cut leaves. Absent = all."""

    f_cont_max: Annotated[Probability | None, key("F_CONT is below this: 0.3 keeps 477 of eFEDS, 0.2 453; null = any")]
    in_area90: Annotated[bool, key("true = only clusters with IN_AREA90 (with f_cont_max 0.2: 445 of eFEDS)")]


Source: TypeAlias = Literal["embedded", "files", "published"]
Files: TypeAlias = Annotated[dict[Name, RealizationFiles], key(min_length=1)]
Number: TypeAlias = Annotated[int, key(ge=1)]
Realizations: TypeAlias = Annotated[
    Annotated[Number, pydantic.Tag("<int>")] | Annotated[Files, pydantic.Tag("<dict>")], ByType
]


class Sky(TypedDict):
    """A simulated or observed field, in one or more realizations."""

    like: NotRequired[Annotated[str, key("name of the sky that all keys not set here are taken from")]]
    source: Annotated[Source, key("embedded = simulated here; files = your own; published = Krippendorf et al. 2023")]
    seed: Annotated[Seed, key("root of the sky's random numbers; its name and the realization enter too")]
    observed: NotRequired[Annotated[bool, key("true = a field without known masses")]]
    realizations: NotRequired[Annotated[Realizations, key("number; of source files: names of yours, each with files")]]
    images: NotRequired[Annotated[Path, key("of source published: the pickle of smoothed images")]]
    catalogue: NotRequired[Annotated[Path, key("of source published: the catalogue of their clusters")]]
    mass_unit: NotRequired[Annotated[Literal["Msun", "Msun/h"], key("unit of M500c, checked against R500c_arcmin")]]
    pairing: NotRequired[Annotated[Literal["ids", "order"], key("of source published: what joins rows to images")]]
    cosmology: NotRequired[Annotated[Cosmology, key("departures from the block `cosmology` in this sky alone")]]
    field: Field
    exposure: Exposure
    absorption: Absorption
    psf: Psf
    clusters: Clusters
    agn: Agn
    background: Background
    redshifts: Redshifts
    detection: Detection
    catalogue_columns: NotRequired[Annotated[dict[Column, str], key("your catalogue's names of columns, if unusual")]]
    catalogue_bands: NotRequired[
        Annotated[Edges | None, key("edges of your catalogue's energy bands [eV]; null = one")]
    ]
    catalogue_selection: NotRequired[CatalogueSelection]
    truth_columns: NotRequired[Annotated[dict[TruthName, str], key("your truth table's names of columns, if others")]]
    match_arcsec: NotRequired[Annotated[Positive, key("search radius for the halo of a detection [arcsec]", le=600)]]
