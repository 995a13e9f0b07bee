"""Numbers of the cluster model of Comparat et al. 2020, re-derived for this project.

Comparat et al. 2020 (Open J. Astrophys. 3, 13) describe clusters by a multivariate Gaussian in the logarithms of the
scaled emission measure at 20 radii, redshift, mass and temperature, measured on XXL, HIFLUGCS and X-COP clusters. Here
it is conditioned on redshift and mass, interpolated in ln(radius) to other radii, moved to the pivot below and reduced
to the four leading principal components of the profiles (98.5 % of the variance; every standard deviation to 1.5 %).
"""

import numpy as np

#: pivot of the mean relations: redshift and hydrostatic M500c in Msun
PIVOT_REDSHIFT, PIVOT_MASS = 0.3, 2e14

#: one row a radius: radius / R500c; mean of ln(scaled emission measure / cm-6 Mpc); slopes with ln z and ln M500c;
#: loadings of four principal components of unit variance
PROFILE = np.array(
    [
        [0.025, -12.327, -0.115, 0.594, 0.026, 0.942, -0.205, -0.168],
        [0.04, -12.514, -0.086, 0.589, 0.054, 0.882, -0.127, -0.064],
        [0.06, -12.754, -0.034, 0.595, 0.077, 0.781, -0.039, 0.031],
        [0.09, -13.071, 0.018, 0.597, 0.094, 0.649, 0.063, 0.108],
        [0.13, -13.445, 0.066, 0.582, 0.108, 0.514, 0.158, 0.138],
        [0.19, -13.926, 0.097, 0.547, 0.145, 0.363, 0.253, 0.118],
        [0.28, -14.524, 0.121, 0.499, 0.217, 0.21, 0.32, 0.049],
        [0.4, -15.232, 0.122, 0.447, 0.323, 0.082, 0.342, -0.04],
        [0.55, -16.006, 0.123, 0.398, 0.482, -0.006, 0.304, -0.108],
        [0.75, -16.888, 0.122, 0.311, 0.753, -0.054, 0.161, -0.167],
        [1.0, -17.841, 0.118, 0.203, 1.037, -0.087, -0.021, -0.122],
        [1.35, -18.916, 0.008, 0.038, 1.206, -0.094, -0.146, 0.049],
        [1.8, -19.887, -0.066, -0.047, 1.29, -0.098, -0.228, 0.164],
    ]
)

#: the same for ln(kT / keV): mean, slopes with ln z and ln M500c, covariance with the four components
TEMPERATURE_MEAN, TEMPERATURE_SLOPES = 1.341, (0.086, 0.551)
TEMPERATURE_LOADINGS = np.array([-0.004, -0.021, 0.028, 0.042])
#: standard deviation of ln(kT) at fixed redshift and mass (0.065 dex)
TEMPERATURE_SCATTER = 0.150
