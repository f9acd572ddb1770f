"""From a list of hosts to a Slurm cluster: what hosts have, and the files that make a cluster of them. Runs no jobs."""
