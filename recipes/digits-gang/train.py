"""Trains a classifier of digits on all tasks of a gang together (data parallelism) and saves the model.

Every task computes the gradient of its part of a batch; the task of rank 0 adds the parts up and sends the sum back, so that
all of them hold the same weights. The tasks meet at MASTER_ADDR and MASTER_PORT.

Data: images of 8×8 pixels that this program draws, each digit moved, dimmed and with noise. A fifth of them is held out.
Needs Python alone. The work is small enough for the CPU, so accelerators stay idle, whether they are real or not.
"""

from __future__ import annotations

import json
import math
import os
import random
import socket
import struct
import time
from array import array
from operator import mul
from pathlib import Path

EPOCHS = int(os.environ.get("EPOCHS", "12"))
IMAGES, BATCH, HIDDEN, CLASSES, PIXELS = 1_000, 40, 24, 10, 64
RATE, MOMENTUM, SEED = 0.2, 0.8, 7
MEET_WITHIN_S = 120.0
SHAPES = (
    ".###.|#...#|#...#|#...#|#...#|#...#|.###.",
    "..#..|.##..|..#..|..#..|..#..|..#..|.###.",
    ".###.|#...#|....#|...#.|..#..|.#...|#####",
    "####.|....#|....#|.###.|....#|....#|####.",
    "...#.|..##.|.#.#.|#..#.|#####|...#.|...#.",
    "#####|#....|####.|....#|....#|#...#|.###.",
    "..##.|.#...|#....|####.|#...#|#...#|.###.",
    "#####|....#|...#.|..#..|..#..|.#...|.#...",
    ".###.|#...#|#...#|.###.|#...#|#...#|.###.",
    ".###.|#...#|#...#|.####|....#|...#.|.##..",
)
"""Digits of 5×7 pixels, row by row."""
Image = list[float]


class Gang:
    """The tasks of the gang: sums up a vector over all of them."""

    def __init__(self) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        address = os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", "29500"))
        # A stranger on the same network does not know the attempt.
        self.pass_word = os.environ.get("PEARL_ATTEMPT_ID", "none").encode()
        self.peers = (
            [] if self.size == 1 else self._accept(address) if self.rank == 0 else [self._call(address)]
        )

    def _accept(self, address: tuple[str, int]) -> list[socket.socket]:
        server = socket.create_server(("", address[1]), backlog=self.size)
        server.settimeout(MEET_WITHIN_S)
        peers: list[socket.socket] = []
        while len(peers) < self.size - 1:
            peer, _ = server.accept()
            peer.settimeout(MEET_WITHIN_S)
            if self._is_ours(peer):
                peers.append(peer)
        server.close()
        return peers

    def _is_ours(self, peer: socket.socket) -> bool:
        try:
            if receive(peer, len(self.pass_word)) == self.pass_word:
                return True
        except OSError:
            pass
        peer.close()
        return False

    def _call(self, address: tuple[str, int]) -> socket.socket:
        until = time.monotonic() + MEET_WITHIN_S
        while True:
            try:
                peer = socket.create_connection(address, timeout=MEET_WITHIN_S)
                peer.sendall(self.pass_word)
                return peer
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def sum(self, values: array[float]) -> array[float]:
        """Return the sum of every task's values."""
        if self.rank:
            self.peers[0].sendall(struct.pack("!I", len(values)) + values.tobytes())
            return received(self.peers[0])
        parts = [values, *(received(peer) for peer in self.peers)]
        total = array("d", map(sum, zip(*parts, strict=True))) if len(parts) > 1 else values
        for peer in self.peers:
            peer.sendall(struct.pack("!I", len(total)) + total.tobytes())
        return total


def received(peer: socket.socket) -> array[float]:
    """Return the vector that a task sent."""
    (count,) = struct.unpack("!I", receive(peer, 4))
    values = array("d")
    values.frombytes(receive(peer, 8 * count))
    return values


def receive(peer: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes. Raises OSError if the other side ends first."""
    parts = bytearray()
    while len(parts) < size:
        part = peer.recv(size - len(parts))
        if not part:
            raise ConnectionError("a task of the gang has ended")
        parts += part
    return bytes(parts)


def draw(draws: random.Random) -> tuple[Image, int]:
    """Return an image and its digit."""
    digit = draws.randrange(CLASSES)
    across, down, ink = draws.randrange(4), draws.randrange(2), draws.uniform(0.6, 1.0)
    image = [abs(draws.gauss(0.0, 0.12)) for _ in range(PIXELS)]
    for row, line in enumerate(SHAPES[digit].split("|")):
        for column, letter in enumerate(line):
            if letter == "#" and draws.random() > 0.04:
                image[(row + down) * 8 + column + across] += ink
    return image, digit


class Model:
    """Two layers of weights in one vector: PIXELS → HIDDEN (ReLU) → CLASSES (softmax), each with its bias last."""

    def __init__(self, draws: random.Random) -> None:
        first = [draws.gauss(0.0, math.sqrt(2 / PIXELS)) for _ in range(HIDDEN * (PIXELS + 1))]
        second = [draws.gauss(0.0, math.sqrt(1 / HIDDEN)) for _ in range(CLASSES * (HIDDEN + 1))]
        self.weights, self.speed = [*first, *second], [0.0] * (len(first) + len(second))
        self.border = len(first)

    def layers(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the weights of each unit."""
        wide, high = PIXELS + 1, HIDDEN + 1
        one = [self.weights[at : at + wide] for at in range(0, self.border, wide)]
        return one, [self.weights[at : at + high] for at in range(self.border, len(self.weights), high)]

    def step(self, gradient: array[float], count: int) -> None:
        """Move the weights against the gradient of `count` images."""
        self.speed = [MOMENTUM * v - RATE * g / count for v, g in zip(self.speed, gradient, strict=True)]
        self.weights = [w + v for w, v in zip(self.weights, self.speed, strict=True)]


def forward(one: list[list[float]], two: list[list[float]], image: Image) -> tuple[list[float], list[float]]:
    """Return the hidden units (and 1) and the probability of each digit."""
    seen = [*image, 1.0]
    hidden = [*(max(0.0, sum(map(mul, unit, seen))) for unit in one), 1.0]
    scores = [sum(map(mul, unit, hidden)) for unit in two]
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return hidden, [power / total for power in powers]


def gradient(model: Model, part: list[tuple[Image, int]]) -> tuple[array[float], float]:
    """Return the summed gradient and the summed loss of some images."""
    one, two = model.layers()
    first, second = [[0.0] * (PIXELS + 1) for _ in one], [[0.0] * (HIDDEN + 1) for _ in two]
    loss = 0.0
    for image, digit in part:
        hidden, chances = forward(one, two, image)
        loss -= math.log(max(chances[digit], 1e-12))
        errors = [chance - (number == digit) for number, chance in enumerate(chances)]
        for number, error in enumerate(errors):
            second[number] = [g + error * h for g, h in zip(second[number], hidden, strict=True)]
        seen = [*image, 1.0]
        for unit in range(HIDDEN):
            if hidden[unit] > 0.0:
                error = sum(error * two[number][unit] for number, error in enumerate(errors))
                first[unit] = [g + error * x for g, x in zip(first[unit], seen, strict=True)]
    return array("d", [value for unit in (*first, *second) for value in unit]), loss


def accuracy(model: Model, images: list[tuple[Image, int]]) -> float:
    """Return the fraction of images whose digit the model finds."""
    one, two = model.layers()
    found = (forward(one, two, image)[1] for image, _ in images)
    hits = sum(
        chances.index(max(chances)) == digit for chances, (_, digit) in zip(found, images, strict=True)
    )
    return hits / len(images)


def main() -> None:
    """Train together; rank 0 evaluates on held out images and writes model.json and metrics.json."""
    gang = Gang()
    draws = random.Random(SEED)
    images = [draw(draws) for _ in range(IMAGES)]
    held_out, images = images[: IMAGES // 5], images[IMAGES // 5 :]
    model = Model(draws)
    node = os.environ.get("PEARL_NODE", socket.gethostname())
    mine = len(images) // gang.size
    print(f"rank {gang.rank} of {gang.size} on {node}: {mine} of {len(images)} images", flush=True)
    began = time.monotonic()
    for epoch in range(1, EPOCHS + 1):
        draws.shuffle(images)
        loss = 0.0
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            own, own_loss = gradient(model, batch[gang.rank :: gang.size])
            own.append(own_loss)
            total = gang.sum(own)
            loss += total.pop()
            model.step(total, len(batch))
        if gang.rank == 0:
            measure({"epoch": epoch, "loss": loss / len(images)})
        print(f"epoch {epoch}/{EPOCHS}  loss {loss / len(images):.4f}", flush=True)
    if gang.rank == 0:
        keep(model, accuracy(model, held_out), len(held_out), time.monotonic() - began, gang.size)


def keep(model: Model, held_out: float, count: int, seconds: float, tasks: int) -> None:
    """Write what is worth taking away."""
    measure({"epoch": EPOCHS, "held_out_accuracy": held_out})
    outputs = Path(os.environ.get("PEARL_OUTPUTS", "."))
    one, two = model.layers()
    (outputs / "model.json").write_text(json.dumps({"hidden": one, "classes": two}))
    metrics = {
        "accuracy": held_out,
        "held_out": count,
        "training_s": round(seconds, 3),
        "epochs": EPOCHS,
        "tasks": tasks,
    }
    (outputs / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"accuracy on {count} held out images: {held_out:.4f}", flush=True)


def measure(values: dict[str, float]) -> None:
    """Leave a line for the charts."""
    path = os.environ.get("PEARL_METRICS")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
