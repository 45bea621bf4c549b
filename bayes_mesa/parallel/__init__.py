"""Many independent tasks, on threads or on a Dask cluster."""
