"""A model fitted: priors and evidence in NumPyro, NUTS, marginal likelihoods."""
