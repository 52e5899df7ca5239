"""Small torch models with a layer of every kind, and per-sample gradients by autograd."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Loop(nn.Module):
    """A layer that is called three times."""

    def __init__(self):
        super().__init__()
        self.enter, self.step, self.leave = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.enter(x)
        for _ in range(3):
            h = torch.tanh(self.step(h))
        return self.leave(h)


class TiedAutoencoder(nn.Module):
    """Encoder and decoder share one parameter, in two modules."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 5), nn.Linear(5, 5)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(torch.sigmoid(self.encoder(x)))


class TransposedAutoencoder(nn.Module):
    """The decoder is a function of the encoder's weight: no module is called."""

    def __init__(self):
        super().__init__()
        self.encoder, self.last = nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x):
        return self.last(functional.linear(torch.sigmoid(self.encoder(x)), self.encoder.weight.t()))


class LanguageModel(nn.Module):
    """Embedded tokens and positions, and a head that is tied to the tokens."""

    def __init__(self, dimension=4):
        super().__init__()
        self.tokens = nn.Embedding(11, dimension, padding_idx=0)
        self.positions = nn.Embedding(6, dimension)
        self.mix, self.head = nn.Linear(dimension, dimension), nn.Linear(dimension, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens):
        positions = torch.arange(tokens.shape[1])[None]
        h = self.tokens(tokens) + self.positions(positions)
        return self.head(torch.tanh(self.mix(h)).cumsum(1))[:, -1, :3]


class Bags(nn.Module):
    """Bags as rows, and the same as one list with offsets."""

    def __init__(self, mode, offsets=False):
        super().__init__()
        self.bags = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=2)
        self.leave, self._offsets = nn.Linear(4, 2), offsets

    def forward(self, x):
        if self._offsets:
            starts = torch.arange(len(x)) * x.shape[1]
            return self.leave(torch.tanh(self.bags(x.reshape(-1), starts)))
        return self.leave(torch.tanh(self.bags(x)))


class WeightedBags(nn.Module):
    """Bags of weighted entries, the last offset included."""

    def __init__(self):
        super().__init__()
        self.bags = nn.EmbeddingBag(9, 4, mode="sum", include_last_offset=True)

    def forward(self, x):
        starts = torch.arange(len(x) + 1) * x.shape[1]
        weights = (1 + x.reshape(-1)).to(self.bags.weight.dtype)
        return torch.sin(self.bags(x.reshape(-1), starts, per_sample_weights=weights))[:, :2]


class SequenceFirst(nn.Module):
    """A transformer layer whose samples lie along the second axis."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1)
        self.leave = nn.Linear(8, 2)

    def forward(self, x):
        return self.leave(self.layer(x.transpose(0, 1)).mean(0))


class Flattened(nn.Module):
    """Positions of all samples in one axis, those of a sample together or apart."""

    def __init__(self, together):
        super().__init__()
        self.first, self.leave, self._together = nn.Linear(3, 5), nn.Linear(5, 2), together

    def forward(self, x):
        n, length, _ = x.shape
        if self._together:
            h = self.first(x.reshape(n * length, -1)).relu_()
            return self.leave(h).reshape(n, length, 2).sum(1)
        h = self.first(x.transpose(0, 1).reshape(n * length, -1)).relu_()
        return self.leave(h).reshape(length, n, 2).sum(0)


class Attention(nn.Module):
    """Queries, keys and values that differ, a mask, and weights that are asked for."""

    def __init__(self, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, **options)

    def forward(self, x):
        keys, values = x[:, 2:, : self.attention.kdim], x[:, 2:, : self.attention.vdim]
        mask = x[:, 2:, 0] > 1.5
        found, weights = self.attention(
            x[:, :2], key=keys.tanh(), value=values, key_padding_mask=mask
        )
        return found.sum(1)[:, :2] + weights.square().sum((1, 2))[:, None]


class Functional(nn.Module):
    """The weight of a layer that is never called."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(functional.linear(x, self.first.weight).tanh())


def layers():
    """Three linear layers."""
    return nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 2))


def of_three_axes():
    """Conv3d."""
    return nn.Sequential(nn.Conv3d(2, 3, 2, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 1))


def transformer():
    """A transformer layer, batch first, and a head."""
    return nn.Sequential(
        nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True),
        nn.Flatten(),
        nn.Linear(24, 2),
    )


def convolutions(groups=1, mode="zeros"):
    """Stride, padding, dilation, groups, and changes in place."""
    return nn.Sequential(
        nn.Conv2d(4, 8, (3, 2), stride=2, padding=(1, 2), dilation=(1, 2), groups=groups),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 6, 3, padding="same", padding_mode=mode, dilation=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 2),
    )


def of_one_axis():
    """Conv1d, whose output is changed in place."""
    return nn.Sequential(
        nn.Conv1d(3, 6, 4, stride=3, padding=2, groups=3),
        nn.ReLU(inplace=True),
        nn.Conv1d(6, 4, 2, padding="same"),
        nn.Flatten(),
        nn.Linear(16, 1),
    )


def weight_of(model, name):
    """Return the weight of a layer by the name that `capture` gives it."""
    above, _, last = name.rpartition(".")
    if last in ("in_proj", "q_proj", "k_proj", "v_proj"):
        return getattr(model.get_submodule(above), f"{last}_weight")
    return model.get_submodule(name).weight


def ready(model):
    """Return the model in float64 and eval mode."""
    return model.double().eval()


def gradients(model, X, weight, transposed=False):
    """Return the derivatives of every output of every sample, one row (sample, output) each."""
    rows = []
    for i in range(len(X)):
        for value in model(X[i : i + 1]).reshape(-1):
            (gradient,) = torch.autograd.grad(value, weight, retain_graph=True)
            gradient = gradient.T if transposed else gradient
            rows.append(gradient.reshape(-1).numpy())
    return np.array(rows)
