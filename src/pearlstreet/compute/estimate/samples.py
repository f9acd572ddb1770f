"""Training measured in samples instead of tokens: images, and encoders whose forward operations are given.

Three times the forward operations (one pass forward, two backward), over a roofline of compute and memory.
"""

from __future__ import annotations

from pearlstreet.compute.estimate.model import Training

TOUCHED: dict[str, float] = {"vision": 0.0135, "diffusion": 0.0085, "encoder": 0.003}
"""Bytes moved for each operation: convolutions and normalisation of small images touch most."""
TOUCHED_OTHERWISE = 0.005
PRODUCT_SHARE = 0.6
TO_TARGET = "pretrain-to-target"
SHARED: dict[str, float] = {"vision": 8e-7, "diffusion": 1.4e-5, "encoder": 2.8e-6}
"""Fixed cost of a step divided by its usual number of samples, in seconds: 3 to 30 ms over 2,000 to 4,000.

Each device pays it. Runs to a target quality cannot grow the batch with the devices, so a sample's device time grows.
"""


def sample_seconds(run: Training) -> float:
    """Return device-seconds of one sample, before any learnt factor."""
    flops = 3.0 * (run.architecture.forward_flops or 6.0 * run.architecture.active / 3.0)
    device = run.hardware
    # Half of the operations of an fp8 recipe stay in 16 bits.
    rate = 2.0 / (
        1.0 / (device.peak * device.achievable) + 1.0 / (device.attention_peak * device.attention_achievable)
    )
    touched = TOUCHED.get(run.architecture.family, TOUCHED_OTHERWISE)
    shared = (
        SHARED.get(run.architecture.family, 0.0) * (device.count - 1) if run.purpose == TO_TARGET else 0.0
    )
    return flops / (rate * PRODUCT_SHARE) + flops * touched / device.bandwidth + shared
