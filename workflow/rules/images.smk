use rule step as extract_images with:
    """Make the band images of all selected clusters of one realization."""
    input:
        events=f"{REALIZATION}/events.fits",
        exposure=f"{REALIZATION}/exposure.fits",
        catalogue=f"{REALIZATION}/catalogue.fits",
        truth=unless_observed(f"{REALIZATION}/truth.fits"),
        matches=unless_observed(f"{REALIZATION}/matches.fits"),
    output:
        output=f"{REALIZATION}/images{{of_set}}.nc",
    log:
        f"{REALIZATION}/logs{{of_set}}/extract_images.log",
    benchmark:
        f"{REALIZATION}/benchmarks{{of_set}}/extract_images.tsv"
    wildcard_constraints:
        sky=skies_with_events(),
    params:
        **step("images.cutouts.extract_images"),
        realization="{realization}",
        images=image_settings,
        events_block=in_order(config["events"]),
        nh_cm2=column_density,


use rule step as smooth_images with:
    """Preprocess the images of one realization: rebin, smooth and clip."""
    input:
        images=f"{REALIZATION}/images{{of_set}}.nc",
    output:
        output=f"{REALIZATION}/smoothed{{of_set}}/{{preprocessing}}.nc",
    log:
        f"{REALIZATION}/logs{{of_set}}/smooth_images_{{preprocessing}}.log",
    benchmark:
        f"{REALIZATION}/benchmarks{{of_set}}/smooth_images_{{preprocessing}}.tsv"
    params:
        **step("images.preprocessing.preprocess"),
        recipe=preprocessing,
