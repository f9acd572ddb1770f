"""Hardware of machines: the accelerator catalogue, probes, health rules, normalised compute, and the benchmark."""
