"""The keys of a sky in the configuration: type, range, unit and meaning of each."""

from typing import Annotated, Literal, NotRequired, TypeAlias

import pydantic
from typing_extensions import TypedDict

from clustermass.config.kinds import (
    ByType,
    Count,
    Distinct,
    Edges,
    Extents,
    Name,
    Path,
    Positive,
    Probability,
    Seconds,
    Seed,
    key,
)
from clustermass.config.prior_models import Prior
from clustermass.config.source_models import Agn, Clusters, Population, Richness

Column: TypeAlias = Literal[
    "ID_SRC", "RA", "DEC", "DET_LIKE", "EXT_LIKE", "EXT", "ML_RATE", "ML_CTS", "ML_EXP", "ML_BKG", "Z", "Z_ERR",
    "Z_TYPE", "LOGM500_REF", "LOGM500_REF_ERR", "LX500", "F_CONT", "IN_AREA90", "NAME_CAT"
]  # fmt: skip
TruthName: TypeAlias = Literal[
    "SRC_ID", "HALO_ID", "RA", "DEC", "Z", "LOG10_M500C", "M500C", "KT", "L500", "FLUX", "R500_ARCMIN"
]


class Distances(TypedDict):
    """Parameters of a flat LCDM cosmology from which distances follow."""

    h0_km_s_mpc: Annotated[float, key("Hubble constant [km/s/Mpc]", gt=30, lt=150)]
    omega_m: Annotated[float, key("matter density today in units of the critical density", gt=0, lt=1)]


class Cosmology(Distances):
    """Flat LCDM cosmology of the simulated skies; the default is that of Comparat et al. 2020."""

    omega_b: Annotated[float, key("baryon density today in units of the critical density", gt=0, lt=1)]
    sigma8: Annotated[float, key("amplitude of matter fluctuations in spheres of 8 Mpc/h", gt=0, le=2)]
    ns: Annotated[float, key("slope of the primordial power spectrum", gt=0, le=2)]


class Field(TypedDict):
    """The simulated rectangle on the celestial sphere."""

    ra_deg: Annotated[float, key("right ascension of the centre [deg]", ge=0, lt=360)]
    dec_deg: Annotated[float, key("declination of the centre [deg]", ge=-80, le=80)]
    width_deg: Annotated[float, key("width along right ascension [deg]", ge=0.5, le=40)]
    height_deg: Annotated[float, key("height along declination [deg]", ge=0.5, le=40)]


class Exposure(TypedDict):
    """Exposure map of the simulated field."""

    depth_s: Annotated[float, key("vignetting-corrected exposure in the interior of the field [s]", gt=0, le=1e6)]
    taper_deg: Annotated[float, key("width inside each edge over which the exposure falls to zero [deg]", ge=0, le=5)]
    scans: Annotated[int, key("number of scanned parts, side by side along right ascension", ge=1, le=20)]
    overlap_deg: Annotated[float, key("overlap of two parts, in whose middle the depth doubles [deg]", gt=0, le=5)]
    particle_slope: Annotated[float, key("exposure to particles = depth_s x (exposure / depth_s)^this", ge=0, le=2)]
    pixel_arcsec: Annotated[float, key("side of a pixel of the exposure map [arcsec]", ge=4, le=600)]


class Absorption(TypedDict):
    """Galactic absorption, with the cross-sections of Morrison & McCammon 1983."""

    nh_cm2: Annotated[float, key("hydrogen column density [cm-2]", ge=0, le=1e22)]


class Telescope(TypedDict):
    """Range of detector energies of the simulated events."""

    pi_max_ev: Annotated[float, key("highest detector energy; the lowest is 200 eV [eV]", ge=2350, le=10000)]


class Psf(TypedDict):
    """Point-spread function, a King profile (1 + (r/core)^2)^-slope."""

    core_arcsec: Annotated[float, key("core radius at 1 keV [arcsec]", gt=0, le=120)]
    slope: Annotated[float, key("slope of the King profile", gt=1, le=10)]
    energy_slope: Annotated[float, key("the core radius is proportional to the energy to this power", ge=-1, le=1)]
    radius_max_arcsec: Annotated[float, key("radius at which the profile ends [arcsec]", ge=60, le=3600)]


class Shares(TypedDict):
    """Contributions to the background's counts at 0.2-2.3 keV, relative to the sum of the four numbers."""

    local_bubble: Annotated[float, key("thermal emission of kT = 0.1 keV, unabsorbed", ge=0, le=1)]
    galactic_halo: Annotated[float, key("thermal emission of kT = 0.22 keV, absorbed", ge=0, le=1)]
    extragalactic: Annotated[float, key("AGN below agn.flux_min_cgs: power law of index 1.45, absorbed", ge=0, le=1)]
    particle: Annotated[float, key("particles: flat spectrum in detector energy", ge=0, le=1)]


class Background(TypedDict):
    """Smooth background of the sky and of particles."""

    rate_per_arcmin2_ks: Annotated[
        float, key("counts (0.2-2.3 keV) per arcmin2 and ks of vignetting-corrected exposure", ge=0, le=1000)
    ]
    shares: Shares


class Redshifts(TypedDict):
    """Redshifts in the catalogue of a simulated field."""

    spectroscopic_fraction: Annotated[float, key("share of clusters with an exact, spectroscopic redshift", ge=0, le=1)]
    photometric_error: Annotated[float, key("standard error of photometric redshifts, divided by 1 + z", ge=0, le=0.5)]
    redshift_min: Annotated[float, key("lowest photometric redshift", gt=0, le=0.1)]


class Matching(TypedDict):
    """How detections in a simulated field are matched to haloes, from which they get mass and redshift."""

    rule: Annotated[
        Literal["photons", "confirmed"],
        key("photons = the halo that sent most photons; confirmed = the halo that an optical follow-up finds"),
    ]
    photon_radius_arcsec: Annotated[
        float, key("for photons: photons this near to a detection are counted [arcsec]", gt=0, le=600)
    ]
    det_like_min: Annotated[float, key("for confirmed: detections above this are followed up", ge=0)]
    ext_like_min: Annotated[float, key("for confirmed: detections above this are followed up", ge=0)]
    radius_r500: Annotated[float, key("for confirmed: largest distance of a halo [its R500c]", gt=0, le=5)]
    damping_r500: Annotated[
        float, key("for confirmed: scale on which the measured richness falls with distance [R500c]", gt=0, le=10)
    ]
    random_positions: Annotated[Count, key("for confirmed: number of random positions from which F_CONT is computed")]
    f_cont_max: Annotated[Probability, key("for confirmed: counterparts with a lower F_CONT are accepted")]


class Detection(TypedDict):
    """Source detection from the photons alone, modelled on erbox and ermldet of eSASS."""

    e_min_ev: Annotated[float, key("lowest photon energy that is used [eV]", ge=0)]
    e_max_ev: Annotated[float, key("highest photon energy that is used [eV]", gt=0)]
    pixel_arcsec: Annotated[float, key("side of a pixel of the stamps (images that are fitted) [arcsec]", ge=1, le=16)]
    stamp_pixels: Annotated[int, key("side of a stamp, an odd number [pixels]", ge=11, le=101)]
    cut_radius_arcsec: Annotated[float, key("only pixels inside this radius are fitted [arcsec]", ge=20, le=200)]
    extents_arcsec: Annotated[Extents, key("core radii of beta models (beta = 2/3), increasing [arcsec]", min_length=3)]
    shift_arcsec: Annotated[
        float, key("sources farther than this from their stamp's centre get a new stamp [arcsec]", ge=1, le=20)
    ]
    ext_dof: Annotated[
        float, key("degrees of freedom of the chi-square distribution by which EXT_LIKE is computed", ge=0.5, le=8)
    ]
    box_like_min: Annotated[
        float, key("lowest likelihood of an excess of counts at which a source is fitted", ge=0, le=100)
    ]
    extent_point_like_min: Annotated[
        float, key("lowest DET_LIKE that an extended source must have if fitted as a point source", ge=0, le=1000)
    ]
    det_like_floor: Annotated[float, key("detections below this DET_LIKE do not enter the catalogue", ge=1)]
    ext_like_floor: Annotated[float, key("detections below this EXT_LIKE are point sources (EXT = EXT_LIKE = 0)", ge=0)]
    background_cell_arcsec: Annotated[float, key("side of a cell of the background estimate [arcsec]", ge=20, le=300)]
    background_radius_arcsec: Annotated[
        float, key("largest distance of used cells from a source along each axis [arcsec]", ge=120, le=1800)
    ]
    background_exclusion_arcsec: Annotated[
        float, key("smallest distance of used cells from a source [arcsec]", ge=0, le=600)
    ]
    background_clip_sigma: Annotated[
        float, key("largest excess of a used cell above the background [sigma]", ge=0.5, le=10)
    ]
    merge_extended_arcsec: Annotated[float, key("of two extended sources nearer than this, one is kept [arcsec]", ge=0)]
    merge_point_arcsec: Annotated[float, key("of two sources of any kind nearer than this, one is kept [arcsec]", ge=0)]


Maps: TypeAlias = Annotated[
    Annotated[str, pydantic.Tag("<str>")]
    | Annotated[Distinct[Path], key(min_length=1), pydantic.Tag("<list>")]
    | Annotated[None, pydantic.Tag("<NoneType>")],
    ByType,
]


class RealizationFiles(TypedDict):
    """Your files of one realization of a field."""

    events: Annotated[Distinct[Path], key("event lists (SIXTE, eSASS), or images in bands on one grid", min_length=1)]
    catalogue: Annotated[Path, key("table of clusters with at least position (ICRS) and redshift")]
    joined_catalogues: NotRequired[Annotated[Distinct[Path] | None, key("tables with further columns, joined by id")]]
    exposure: NotRequired[
        Annotated[Maps, key("vignetting-corrected exposure map [s], or a list of maps; null = see exposure_s")]
    ]
    exposure_s: NotRequired[
        Annotated[Seconds, key("exposure without a map [s]; null = ML_EXP of each cluster, or mean good time")]
    ]
    truth: NotRequired[
        Annotated[str | None, key("table of haloes: SRC_ID, RA, DEC, Z, LOG10_M500C or M500C; none for observed skies")]
    ]


class CatalogueSelection(TypedDict, total=False):
    """Cuts on your catalogue; the log says how many clusters each cut leaves. Without this block there is no cut."""

    f_cont_max: Annotated[
        Probability | None, key("upper limit of F_CONT: 0.3 keeps 477 eFEDS clusters, 0.2 keeps 453; null = no limit")
    ]
    in_area90: Annotated[bool, key("true = keep only clusters with IN_AREA90 (445 of eFEDS if f_cont_max is 0.2)")]


Source: TypeAlias = Literal["embedded", "files", "published"]
Files: TypeAlias = Annotated[dict[Name, RealizationFiles], key(min_length=1)]
Number: TypeAlias = Annotated[int, key(ge=1, le=10_000)]
Realizations: TypeAlias = Annotated[
    Annotated[Number, pydantic.Tag("<int>")] | Annotated[Files, pydantic.Tag("<dict>")], ByType
]


class Sky(TypedDict):
    """A simulated or observed field, in one or more realizations."""

    like: NotRequired[Annotated[str, key("name of a sky, from which all keys that are not set here are taken")]]
    source: Annotated[
        Source, key("embedded = simulated here; files = your own; published = set of Krippendorf et al. 2023")
    ]
    seed: Annotated[Seed, key("root of the random numbers, which also depend on the names of sky and realization")]
    observed: NotRequired[Annotated[bool, key("true = a field without known masses")]]
    realizations: NotRequired[
        Annotated[Realizations, key("number of realizations; for source files: their names and files")]
    ]
    images: NotRequired[Annotated[Path, key("for source published: the pickle of smoothed images")]]
    catalogue: NotRequired[Annotated[Path, key("for source published: the catalogue of the images' clusters")]]
    mass_unit: NotRequired[Annotated[Literal["Msun", "Msun/h"], key("for source published: unit of M500c")]]
    pairing: NotRequired[Annotated[Literal["ids", "order"], key("for source published: how rows match images")]]
    cosmology: NotRequired[Annotated[Cosmology, key("keys of the block `cosmology` that differ in this sky")]]
    field: Field
    exposure: Exposure
    absorption: Absorption
    telescope: Telescope
    psf: Psf
    clusters: Clusters
    population: NotRequired[Population]
    prior: NotRequired[Prior]
    richness: Richness
    agn: Agn
    background: Background
    redshifts: Redshifts
    detection: Detection
    matching: Matching
    catalogue_columns: NotRequired[Annotated[dict[Column, str], key("our column name -> yours, if yours is unusual")]]
    catalogue_bands: NotRequired[
        Annotated[Edges | None, key("edges of your catalogue's energy bands [eV]; null = from its header, or one band")]
    ]
    catalogue_selection: NotRequired[CatalogueSelection]
    truth_columns: NotRequired[Annotated[dict[TruthName, str], key("our column name -> yours, in the truth table")]]
    match_arcsec: NotRequired[
        Annotated[Positive, key("largest distance between a detection and its halo [arcsec]", le=600)]
    ]
