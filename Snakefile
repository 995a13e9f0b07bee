include: "workflow/Snakefile"


rule default:
    """Make all results of the configuration; this is what `snakemake` does without a target."""
    default_target: True
    input:
        rules.all.input,
