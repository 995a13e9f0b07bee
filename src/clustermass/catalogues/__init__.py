"""Tables of clusters that users provide: catalogues, published masses, and the truth of simulations."""
