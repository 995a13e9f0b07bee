"""The embedded sky: an eFEDS-like field drawn from published relations, photon by photon."""
