"""The planner's decisions on disk: what it saw, how it was set, what it answered; planned again to prove it."""
