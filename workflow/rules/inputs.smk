"""Input functions and params: what the wildcards of a job mean. No rules."""


def sky_blocks(wildcards, *names):
    return in_order({name: SKIES[wildcards.sky][name] for name in ("seed", *names)})


def sky_photons(wildcards):
    """What shapes a simulated sky's photons."""
    return sky_blocks(wildcards, *PHOTON_BLOCKS)


def sky_detection(wildcards):
    """What shapes a simulated sky's catalogue, given its photons."""
    return sky_blocks(wildcards, *CATALOGUE_BLOCKS)


def sky_reading(wildcards):
    """How the files of a sky are read: how many realizations there are doesn't count."""
    used_elsewhere = ("realizations", "observed", "cosmology")
    return in_order({k: v for k, v in SKIES[wildcards.sky].items() if k not in used_elsewhere})


def sky_cosmology(wildcards):
    """Cosmology of a simulated sky."""
    return cosmology_of(wildcards.sky)


def sky_realization_files(wildcards):
    """Where the user's own files of a realization of a `files` sky lie."""
    return in_order(SKIES[wildcards.sky]["realizations"][wildcards.realization])


def sky_files(wildcards):
    """The same as a flat list of input files."""
    return input_files(SKIES[wildcards.sky], wildcards.realization)


def truth_of(wildcards):
    return [] if SKIES[wildcards.sky].get("observed") else f"{REALIZATION}/truth.fits"


def matches_of(wildcards):
    return [] if SKIES[wildcards.sky].get("observed") else f"{REALIZATION}/matches.fits"


def images_of_sky(wildcards):
    return of_realizations(wildcards.sky, "images.nc")


def set_of_sky(wildcards):
    return of_realizations(wildcards.sky, f"images{wildcards.of_set}.nc")


def cut_alike(wildcards, sky):
    """Images of a sky, cut as those that the experiment learns from."""
    return of_realizations(sky, f"images{of_set(wildcards.experiment)}.nc")


def seen_alike(wildcards, sky):
    """The same, preprocessed as the experiment's networks see them."""
    preprocessing = EXPERIMENTS[wildcards.experiment]["preprocessing"]
    return of_realizations(sky, f"smoothed{of_set(wildcards.experiment)}/{preprocessing}.nc")


def experiment_images(wildcards):
    return cut_alike(wildcards, EXPERIMENTS[wildcards.experiment]["sky"])


def experiment_truth(wildcards):
    return of_realizations(EXPERIMENTS[wildcards.experiment]["sky"], "truth.fits")


def experiment_catalogues(wildcards):
    """Detections of an experiment's sky; published images come without."""
    sky = EXPERIMENTS[wildcards.experiment]["sky"]
    return [] if SKIES[sky]["source"] == "published" else of_realizations(sky, "catalogue.fits")


def seen_half_width(wildcards):
    """Half of the side of the box that an experiment's networks see, arcsec."""
    return config["preprocessing"][EXPERIMENTS[wildcards.experiment]["preprocessing"]]["half_width_arcsec"]


def experiment_smoothed(wildcards):
    return seen_alike(wildcards, EXPERIMENTS[wildcards.experiment]["sky"])


def experiment_split(wildcards):
    return split_of(wildcards.experiment)


def baselines_of(experiment, test_sky=None):
    """Baselines don't hang on the networks: experiments of the same clusters share those of the first such one."""
    path = TEST_SKY if test_sky else EXPERIMENT
    return f"{path}/baselines.nc".format(experiment=WITH_BASELINES[experiment], test_sky=test_sky)


def experiment_baselines(wildcards):
    return baselines_of(wildcards.experiment)


def test_sky_baselines(wildcards):
    return baselines_of(wildcards.experiment, wildcards.test_sky)


def selection(wildcards):
    return in_order(EXPERIMENTS[wildcards.experiment]["selection"])


def network(wildcards):
    return in_order(config["network"][EXPERIMENTS[wildcards.experiment]["network"]])


def recipe(wildcards):
    return in_order(config["training"]["recipes"][EXPERIMENTS[wildcards.experiment]["recipe"]])


def redshift_noise(wildcards):
    return EXPERIMENTS[wildcards.experiment]["redshift_noise"]


def train_clusters(wildcards):
    return EXPERIMENTS[wildcards.experiment]["train_clusters"]


def train_selection(wildcards):
    """What of the selection is another for clusters to learn from; None = nothing."""
    return in_order(EXPERIMENTS[wildcards.experiment]["train_selection"])


def weighting(wildcards):
    """How much an experiment's training clusters count."""
    return EXPERIMENTS[wildcards.experiment]["weighting"]


def mass_prior(wildcards):
    """Which prior an experiment's masses have: of weighted training masses it isn't known what was learnt."""
    return config["observed"]["mass_prior"] if weighting(wildcards) == "none" else "training"


def control(wildcards):
    return EXPERIMENTS[wildcards.experiment]["control"]


def experiment_cosmology(wildcards):
    """Cosmology of the sky that an experiment learns from."""
    return cosmology_of(EXPERIMENTS[wildcards.experiment]["sky"])


def test_sky_cosmology(wildcards):
    return cosmology_of(wildcards.test_sky)


def test_sky_images(wildcards):
    return cut_alike(wildcards, wildcards.test_sky)


def test_sky_truth(wildcards):
    return of_realizations(wildcards.test_sky, "truth.fits")


def test_sky_smoothed(wildcards):
    return seen_alike(wildcards, wildcards.test_sky)


def preprocessing(wildcards):
    """A recipe; one that scales by distance does so in the cosmology that an observer assumes, whatever the sky's."""
    recipe = config["preprocessing"][wildcards.preprocessing]
    assumed = {key: config["cosmology"][key] for key in ("h0_km_s_mpc", "omega_m")}
    return in_order(recipe | ({"cosmology": assumed} if "scale_to_redshift" in recipe else {}))


def field_images(wildcards):
    return cut_alike(wildcards, wildcards.field)


def field_catalogues(wildcards):
    return of_realizations(wildcards.field, "catalogue.fits")


def field_realizations(wildcards):
    return realization_names(SKIES[wildcards.field])


def published_file(wildcards):
    return PUBLISHED[wildcards.field]["file"]


def published_block(wildcards):
    """How published masses are read and compared: where they lie doesn't count, their content does."""
    return in_order({key: value for key, value in PUBLISHED[wildcards.field].items() if key != "file"})


def field_smoothed(wildcards):
    return seen_alike(wildcards, wildcards.field)


def field_is_simulated(wildcards):
    return SKIES[wildcards.field]["source"] == "embedded"


def images_of(wildcards):
    """How images of a sky are cut: on observed ones the true centres aren't known."""
    centre = {"centre": "detected"} if SKIES[wildcards.sky].get("observed") else {}
    return in_order({**IMAGES[wildcards.of_set], **centre})


def member_files(suffix):
    """Input function: the files of all members of an experiment."""
    return lambda wildcards: expand(
        member_paths(suffix, MEMBERS[wildcards.experiment]), experiment=wildcards.experiment
    )


def candidate_ensembles(wildcards):
    if not CANDIDATES:
        raise WorkflowError("search.candidates is empty; name experiments there, as config/search.yaml does.")
    return expand(f"{EXPERIMENT}/ensemble.nc", experiment=CANDIDATES)


def candidate_split(wildcards):
    """Split of the sky that all candidates learn from."""
    return split_of(CANDIDATES[0]) if CANDIDATES else []
