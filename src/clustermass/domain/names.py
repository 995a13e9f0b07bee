"""Names, units and meaning of what this package writes, entered in the list of all the pipeline's variables.

They stand here and not in that list itself: skies, images and networks depend on its module and would be made anew.
"""

from clustermass.datasets import VARIABLES

#: share of clusters like the training clusters that get FLAG_OOD, at most
FALSE_ALARMS = 0.01

VARIABLES.update(
    {
        "quantity": ("1", "what was measured of a cluster"),
        "other_quantity": ("1", "what was measured of a cluster"),
        "term": ("1", "term of the polynomial in the covariates"),
        "covariate": ("1", "quantity that the expected quantities depend on"),
        "knot": ("1", "normal score"),
        "component": ("1", "component of the mixture"),
        "covariate_centre": ("1", "mean of the covariate over the training clusters"),
        "covariate_width": ("1", "its standard deviation"),
        "coefficient": ("1", "coefficients of the expected quantity"),
        "log_scale": ("1", "coefficients of the natural logarithm of the scatter about it"),
        "knot_value": ("1", "deviation over scatter at the normal scores `knot`, of the training clusters"),
        "weight": ("1", "share of a component in the mixture"),
        "mean": ("1", "mean normal scores of a component"),
        "covariance": ("1", "covariance of the normal scores in a component"),
        "validation": ("1", "normal scores of the validation clusters; NaN = not known"),
        "ood_p": ("1", "share of validation clusters at least as unlike the training ones"),
        "ood_why": ("1", "flagged clusters: the quantity that stands out most"),
        "flag_ood": ("1", "1 = unlike the training clusters: OOD_P is 0.01 or less"),
    }
)
