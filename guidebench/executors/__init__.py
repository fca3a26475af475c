"""Where trials run beyond this machine's own processes: on SLURM, on Ray, or in shards that somebody else starts."""
