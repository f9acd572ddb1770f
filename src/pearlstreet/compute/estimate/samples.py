"""Training where samples count, not tokens: images, and encoders whose forward operations are given.

Three times the forward operations (one pass forward, two backward), over a roofline of compute and memory.
"""

from __future__ import annotations

from pearlstreet.compute.estimate.model import Training

TOUCHED: dict[str, float] = {"vision": 0.0135, "diffusion": 0.0085, "encoder": 0.003}
"""Bytes moved for each operation: convolutions and normalisation of small images touch most."""
TOUCHED_OTHERWISE = 0.005
PRODUCT_SHARE = 0.6


def sample_seconds(run: Training) -> float:
    """Device-seconds of one sample, before any learnt factor."""
    flops = 3.0 * (run.architecture.forward_flops or 6.0 * run.architecture.active / 3.0)
    device = run.hardware
    # Half of the operations of an fp8 recipe stay in 16 bits.
    rate = 2.0 / (
        1.0 / (device.peak * device.achievable) + 1.0 / (device.attention_peak * device.attention_achievable)
    )
    touched = TOUCHED.get(run.architecture.family, TOUCHED_OTHERWISE)
    return flops / (rate * PRODUCT_SHARE) + flops * touched / device.bandwidth
