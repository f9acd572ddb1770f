"""Whether elastic jobs are resized: one file a policy; `cuts` and `growth` find what a policy allows."""
