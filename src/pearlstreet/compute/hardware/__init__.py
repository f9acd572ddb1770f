"""What machines are made of: the accelerator catalogue, probes, health rules, one unit for all, and the benchmark."""
