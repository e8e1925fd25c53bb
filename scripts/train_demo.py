#!/usr/bin/env python3
"""Trains a small neural network in about a second, with nothing but Python 3.

It learns to tell two interleaved half moons apart by gradient descent, prints the loss of every epoch, and saves the
weights as JSON. Under runwrap it reports loss and accuracy of each epoch, which become curves of the record, and the path of
the model at the end; docs/python.md explains `report`.
"""

import argparse
import contextlib
import json
import math
import os
import random
import time


def half_moons(count, noise, rng):
    """Points (x, y) with a label: 0 for the upper moon, 1 for the lower one."""
    points = []
    for index in range(count):
        angle = rng.random() * math.pi
        label = index % 2
        x, y = (math.cos(angle), math.sin(angle)) if label == 0 else (1 - math.cos(angle), 0.5 - math.sin(angle))
        points.append((x + rng.gauss(0, noise), y + rng.gauss(0, noise), label))
    return points


class Network:
    """Two inputs, one hidden layer of tanh, one output: the probability of label 1."""

    def __init__(self, hidden, rng):
        self.hidden = [[rng.gauss(0, 1), rng.gauss(0, 1), 0.0] for _ in range(hidden)]
        self.output = [rng.gauss(0, 1) / math.sqrt(hidden) for _ in range(hidden)] + [0.0]

    def forward(self, x, y):
        activations = [math.tanh(wx * x + wy * y + bias) for wx, wy, bias in self.hidden]
        total = self.output[-1] + sum(w * a for w, a in zip(self.output, activations))
        return activations, 1 / (1 + math.exp(-max(-60.0, min(60.0, total))))

    def step(self, x, y, label, rate):
        """One step of stochastic gradient descent. Returns the loss before it."""
        activations, probability = self.forward(x, y)
        error = probability - label
        for index, activation in enumerate(activations):
            back = error * self.output[index] * (1 - activation * activation)
            self.output[index] -= rate * error * activation
            weights = self.hidden[index]
            weights[0] -= rate * back * x
            weights[1] -= rate * back * y
            weights[2] -= rate * back
        self.output[-1] -= rate * error
        return -math.log(max(1e-12, probability if label == 1 else 1 - probability))


def accuracy(network, points):
    right = sum((network.forward(x, y)[1] > 0.5) == (label == 1) for x, y, label in points)
    return right / len(points)


def report(metrics=None, step=None, **line):
    if "RUNWRAP_REPORT" in os.environ:
        line.update(metrics=metrics, step=step, time=time.time())
        text = json.dumps(line, default=float) + "\n"
        with contextlib.suppress(OSError), open(os.environ["RUNWRAP_REPORT"], "a") as file:
            file.write(text)


def main():
    parser = argparse.ArgumentParser(description="Train a small network; see the top of this file.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="demo-model.json", help="where to save the weights")
    options = parser.parse_args()

    rng = random.Random(options.seed)
    points = half_moons(options.points, 0.15, rng)
    held_back, training = points[: options.points // 5], points[options.points // 5 :]
    network = Network(options.hidden, rng)

    for epoch in range(1, options.epochs + 1):
        rng.shuffle(training)
        rate = 0.2 / (1 + epoch / 10)
        loss = sum(network.step(x, y, label, rate) for x, y, label in training) / len(training)
        right = accuracy(network, held_back)
        print(f"epoch {epoch:2}/{options.epochs}  loss {loss:.4f}  accuracy {right:.3f}", flush=True)
        report({"epoch": epoch, "loss": round(loss, 6), "accuracy": round(right, 4)}, step=epoch)

    with open(options.model, "w", encoding="utf-8") as model:
        json.dump({"hidden": network.hidden, "output": network.output}, model)
    report(model_path=os.path.abspath(options.model))
    print(f"saved {options.model}")


if __name__ == "__main__":
    main()
