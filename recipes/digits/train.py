"""Trains a classifier of handwritten digits on the real data bundled with scikit-learn, and saves the model.

Data: 1,797 images of 8×8 pixels, the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak,
UCI Machine Learning Repository, 1998). A fifth of it is held out and never trained on.

Runs inside a job: reads PEARL_OUTPUTS and PEARL_METRICS, needs numpy and scikit-learn.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

EPOCHS = int(os.environ.get("EPOCHS", "25"))
BATCH = 64
HIDDEN = (128, 64)
SEED = 7


def main() -> None:
    """Train, evaluate on held out data, write model.npz, metrics.json and report.txt."""
    outputs = Path(os.environ.get("PEARL_OUTPUTS", "."))
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    print(f"{len(train_x)} images to train on, {len(test_x)} held out", flush=True)
    model = MLPClassifier(HIDDEN, learning_rate_init=0.002, random_state=SEED)
    shuffle = np.random.default_rng(SEED)
    began = time.monotonic()
    for epoch in range(1, EPOCHS + 1):
        order = shuffle.permutation(len(train_x))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            model.partial_fit(train_x[part], train_y[part], classes=np.arange(10))
        accuracy = float(model.score(train_x, train_y))
        measure({"epoch": epoch, "loss": float(model.loss_), "train_accuracy": accuracy})
        print(f"epoch {epoch:3d}/{EPOCHS}  loss {model.loss_:.4f}  accuracy {accuracy:.4f}", flush=True)
    predicted = model.predict(test_x)
    held_out = float((predicted == test_y).mean())
    measure({"epoch": EPOCHS, "held_out_accuracy": held_out})
    keep(outputs, model, held_out, test_y, predicted, time.monotonic() - began)
    print(f"accuracy on held out data: {held_out:.4f}", flush=True)


def keep(
    outputs: Path,
    model: MLPClassifier,
    accuracy: float,
    wanted: np.ndarray,
    found: np.ndarray,
    seconds: float,
) -> None:
    """Write what is worth taking away. The model is plain arrays: loading it runs no code."""
    arrays = {f"weights_{i}": layer for i, layer in enumerate(model.coefs_)}
    arrays |= {f"bias_{i}": layer for i, layer in enumerate(model.intercepts_)}
    np.savez_compressed(outputs / "model.npz", **arrays)
    metrics = {
        "accuracy": accuracy,
        "held_out": len(wanted),
        "errors": int((wanted != found).sum()),
        "training_s": round(seconds, 3),
        "epochs": EPOCHS,
    }
    (outputs / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    table = f"{classification_report(wanted, found, digits=4)}\n{confusion_matrix(wanted, found)}\n"
    (outputs / "report.txt").write_text(table)


def measure(values: dict[str, float]) -> None:
    """Leave a line for the charts."""
    path = os.environ.get("PEARL_METRICS")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
