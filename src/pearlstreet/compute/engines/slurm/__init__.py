"""Engine of a cluster that Slurm runs, through slurmrestd or Slurm's commands."""
