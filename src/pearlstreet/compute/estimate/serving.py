"""Serving a language model: throughput, time to the first token and between tokens, from a roofline with queueing.

A replica holds its weights once over `tensor` devices; what memory is left holds keys and values, and so bounds how many
requests run at once (Pope et al. 2022, arXiv 2211.05102; Kwon et al. 2023, arXiv 2309.06180). A decoding step reads the
weights once for all of them, and each one's keys and values; reading prompts takes operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pearlstreet.compute.estimate.model import WEIGHT_BYTES, Architecture, Serving

USABLE = 0.9
"""Share of a device's memory that engines take for weights, keys and values."""
MOST_AT_ONCE = 2048
WINDOW = 1024
"""Tokens that layers with a sliding window keep."""
CHUNK, LARGE_CHUNK = 2048.0, 6144.0
"""Tokens, of prompts and of answers, that an engine computes in one step when prompts wait: vLLM's default is 2,048, and
8,192 on devices with Hopper's memory, which it seldom fills."""
DEFAULTS_AT_ONCE = 256
"""Requests at once that engines allow unless they are told otherwise."""


@dataclass(frozen=True, slots=True)
class Served:
    """One way to serve: replicas of `tensor` devices each, as many as fit."""

    tensor: int
    replicas: int
    at_once: float
    """Requests that run together on one replica."""
    output_tokens_per_s: float
    """Output tokens per second of all replicas."""
    ttft_s: float
    tpot_s: float
    prefill_s: float
    """Reading one prompt alone."""
    step_s: float
    """Seconds of one decoding step with all of these requests."""
    memory: float
    """Bytes on a device."""
    fits: bool


def serve(ask: Serving, k: Mapping[str, float]) -> list[Served]:
    """Return every way that the devices allow, most tokens a second first; those that fit before those that do not."""
    found = [_served(ask, tensor, k) for tensor in _sizes(ask)]
    return sorted(found, key=lambda way: (not way.fits, -way.output_tokens_per_s))


def kv_bytes(shape: Architecture, tokens: float, precision: str) -> float:
    """Return the bytes of keys and values of one request with this number of tokens."""
    number = 1.0 if WEIGHT_BYTES[precision] <= 1.1 and precision not in ("mxfp4", "int8") else 2.0
    if shape.latent_kv:
        return shape.layers * shape.latent_kv * 2.0 * tokens
    a_token = 2.0 * shape.layers * shape.kv_heads * shape.head_size * number
    kept = shape.window_share * tokens + (1.0 - shape.window_share) * min(tokens, WINDOW)
    return a_token * kept


def _sizes(ask: Serving) -> Iterator[int]:
    if ask.tensor is not None:
        yield ask.tensor * (ask.pipeline or 1)
        return
    size = 1
    while size <= min(ask.hardware.count, 64):
        yield size
        size *= 2


def _served(ask: Serving, devices: int, k: Mapping[str, float]) -> Served:
    shape, device = ask.architecture, ask.hardware
    replicas = max(1, device.count // devices)
    weights = shape.params * WEIGHT_BYTES[ask.precision]
    cache_bytes = device.memory * USABLE * devices - weights - 1e9 * devices
    context = ask.input_tokens + ask.output_tokens / 2.0
    # A paged cache grows with the request; half of the output is there on average.
    a_request = kv_bytes(shape, context, ask.precision)
    fits = cache_bytes > kv_bytes(shape, ask.input_tokens + ask.output_tokens, ask.precision)
    most = max(1.0, cache_bytes / a_request)
    limit = MOST_AT_ONCE if "LLM" in ask.engine and "v" not in ask.engine[:1] else DEFAULTS_AT_ONCE * 2
    wanted = math.inf if ask.concurrency is None else max(1.0, ask.concurrency / replicas)
    at_once = min(most, wanted, float(limit))
    rate = device.peak * device.achievable * devices
    # Small matrices do not fill a device: a replica over many devices works on slices.
    narrow = 1.0 + k["width_half"] * devices / shape.hidden
    operations = 2.0 * shape.active * (k["expert_cost"] if shape.experts else 1.0)
    attention = 2.0 * shape.layers * shape.heads * shape.head_size * ask.input_tokens
    prompt = ask.input_tokens * (
        operations * narrow / (rate * k["prefill_share"])
        + attention
        * shape.window_share
        / (device.attention_peak * device.attention_achievable * devices * k["attention_share"])
    )
    hops = _exchange(ask, devices, float(ask.input_tokens), k)
    prefill = prompt + hops + k["request_s"]
    touched = _touched(shape, at_once) * weights
    bandwidth = device.bandwidth * devices
    stream = touched / (bandwidth * k["weight_share"]) + at_once * a_request / (bandwidth * k["cache_share"])
    products = at_once * operations * narrow / (rate * k["decode_share"])
    overhead = k["step_s"] + shape.layers * k["layer_s"] + at_once * k["sample_s"]
    overhead += _exchange(ask, devices, at_once, k)
    # Prompts are read beside the decoding of others: what waits for operations and what waits for memory overlap.
    mixing = k["mixing_sharpness"]
    step = (stream**mixing + products**mixing) ** (1.0 / mixing) + overhead
    share = ask.output_tokens / at_once
    worked, streamed = prompt + share * products, share * stream
    if at_once > 1.0:
        a_request_s = (
            (worked**mixing + streamed**mixing) ** (1.0 / mixing) + hops + k["request_s"] + share * overhead
        )
    else:
        a_request_s = prefill + ask.output_tokens * step
    tokens_per_s = ask.output_tokens / a_request_s * replicas
    between = _between(ask, a_request_s, at_once, step)
    return Served(
        tensor=devices,
        replicas=replicas,
        at_once=at_once,
        output_tokens_per_s=tokens_per_s,
        ttft_s=_first(ask, prefill, between, at_once) + _wait(ask, a_request_s, at_once, replicas),
        tpot_s=between,
        prefill_s=prefill,
        step_s=step,
        memory=(weights + at_once * a_request) / devices + 1e9,
        fits=fits,
    )


def _touched(shape: Architecture, tokens: float) -> float:
    """Return the share of the weights that one step with this number of tokens reads: unused experts stay unread."""
    if not shape.experts:
        return 1.0
    routed = (
        (shape.params - shape.active)
        / max(1e-6, 1.0 - shape.experts_per_token / shape.experts)
        / shape.params
    )
    asked = 1.0 - (1.0 - shape.experts_per_token / shape.experts) ** tokens
    return float(1.0 - routed + routed * asked)


def _exchange(ask: Serving, devices: int, tokens: float, k: Mapping[str, float]) -> float:
    """Two all-reduces a layer among the devices of a replica."""
    if devices == 1:
        return 0.0
    size = 2.0 * tokens * ask.architecture.hidden
    link = ask.hardware.link if devices <= ask.hardware.domain else ask.hardware.network
    once = k["link_alpha_s"] + 2.0 * size * (devices - 1) / devices / (link * k["link_share"])
    return 2.0 * ask.architecture.layers * once


def _chunk(ask: Serving) -> float:
    hopper = ask.hardware.release >= 2022 and ask.hardware.vendor == "NVIDIA"
    return LARGE_CHUNK if hopper and ask.engine == "vLLM" else CHUNK


def _between(ask: Serving, a_request_s: float, at_once: float, step: float) -> float:
    """Return time between tokens of one request. Prompts of others are read in the same steps and make them longer."""
    if at_once <= 1.0:
        return step
    everyone = at_once * a_request_s / ask.output_tokens
    mixed = _chunk(ask) * a_request_s / (ask.input_tokens + ask.output_tokens)
    return max(step / 2.0, min(everyone, mixed))


def _first(ask: Serving, prefill: float, between: float, at_once: float) -> float:
    """Time to the first token of a request that finds a place: half a step until it is noticed, then its prompt's steps."""
    if at_once <= 1.0:
        return prefill
    return max(prefill, between * (0.5 + math.ceil(ask.input_tokens / _chunk(ask))))


def _wait(ask: Serving, a_request_s: float, at_once: float, replicas: int) -> float:
    """Waiting for a place, by Sakasegawa's formula (1977) for as many servers as requests run at once.

    With a fixed number of requests, those that find no place wait for one to end; with none named, nobody waits.
    """
    hold = a_request_s * at_once
    if ask.requests_per_s is None:
        over = 0.0 if ask.concurrency is None else ask.concurrency / replicas / at_once - 1.0
        return hold * max(over, 0.0)
    busy = ask.requests_per_s * a_request_s / replicas
    if busy >= 1.0:
        return math.inf
    return float(hold * busy ** (math.sqrt(2.0 * (at_once + 1.0)) - 1.0) / (at_once * (1.0 - busy)) / 2.0)
