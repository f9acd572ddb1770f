"""Elasticity policies: how elastic jobs are resized, one file per policy; `cuts` and `growth` search what a policy allows."""
