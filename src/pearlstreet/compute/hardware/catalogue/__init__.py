"""The accelerator catalogue: what makers rate their cards at, as packaged data."""

from pearlstreet.compute.hardware.catalogue.accelerator import PRECISIONS, Accelerator
from pearlstreet.compute.hardware.catalogue.book import Catalogue, catalogue
from pearlstreet.compute.hardware.catalogue.cluster import SimulatedNodes, parse_cluster
from pearlstreet.compute.hardware.catalogue.plausible import implausibilities

__all__ = [
    "PRECISIONS",
    "Accelerator",
    "Catalogue",
    "SimulatedNodes",
    "catalogue",
    "implausibilities",
    "parse_cluster",
]
