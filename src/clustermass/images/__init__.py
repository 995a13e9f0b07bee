"""Make images of clusters from photons: geometry, cut-outs, exposure, preprocessing."""
