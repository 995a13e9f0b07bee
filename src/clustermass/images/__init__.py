"""From photons to images: projection, binning, exposure, preprocessing."""
