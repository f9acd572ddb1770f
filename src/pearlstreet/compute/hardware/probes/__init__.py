"""Finding devices: one file a vendor, registered in `registry.PROBES`."""
