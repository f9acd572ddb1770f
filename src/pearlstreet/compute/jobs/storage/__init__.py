"""Files of jobs: retention and deletion of outputs, logs and environments, and what a project stores."""
