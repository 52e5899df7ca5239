"""Language models of the transformers library: every linear layer, tied embeddings, positions."""

import numpy as np
import pytest

from subquad.interop import capture

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


def gpt2():
    models = pytest.importorskip("transformers.models.gpt2")
    config = models.GPT2Config(
        vocab_size=30,
        n_positions=9,
        n_embd=8,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return models.GPT2LMHeadModel(config)


def bert():
    models = pytest.importorskip("transformers.models.bert")
    config = models.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=9,
    )
    return models.BertForSequenceClassification(config)


def first(response, rows):
    """Return a logit of each sample, of the last token where tokens have their own."""
    logits = response.logits
    return logits[:, 0] if logits.ndim == 2 else logits[:, -1, 0]


@pytest.mark.parametrize(("make", "n_layers"), [(gpt2, 6), (bert, 11)])
def test_language_models_are_captured_whole(make, n_layers):
    torch.manual_seed(0)
    model = make().double().eval()
    rng = np.random.default_rng(0)
    inputs = {"input_ids": rng.integers(0, 30, (9, 7)), "attention_mask": np.ones((9, 7), int)}
    inputs["attention_mask"][::2, :2] = 0
    J = capture(model, inputs, outputs=first, batch_size=4)
    assert len(J) == n_layers
    weights = [model.get_submodule(name).weight for name in J]
    everything = [w for name, w in model.named_parameters() if w.ndim == 2]
    assert {*map(id, weights)} == {*map(id, everything)}
    linear = torch.nn.Linear  # J by all other layers is by the transpose of their weights
    transposed = {name for name in J if not isinstance(model.get_submodule(name), linear)}
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
    for i in range(9):
        response = model(**{name: value[i : i + 1] for name, value in tensors.items()})
        found = torch.autograd.grad(first(response, None).sum(), weights)
        for (name, own), gradient in zip(J.items(), found, strict=True):
            row, expected = own.to_dense()[i].reshape(own.m_u, own.m_v), gradient.numpy()
            if name in transposed:
                expected = expected.T
            np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-13, err_msg=name)
