"""Tables of clusters as users have them: catalogues, published masses, and the truth of simulations."""
