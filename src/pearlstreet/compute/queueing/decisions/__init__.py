"""Records of the planner's decisions on disk: snapshot, configuration and plan, which a replay can verify."""
