"""Order policies: which waiting job is considered first; one file per policy."""
