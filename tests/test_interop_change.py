"""Changes of a layer: merged, attached, as LoRA adapters; weights from safetensors files."""

import copy
import functools
import json
import os
import sys

import numpy as np
import pages
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from subquad.activations import GELU  # noqa: E402
from subquad.interop import apply_change, export_peft, fit_layer, load_layer  # noqa: E402
from subquad.training import LastLayerGaussNewton  # noqa: E402

PAGE = pages.REPOSITORY / "docs" / "fine_tuning.md"
WIDTH = 60
ROUNDING = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


class Model(nn.Module):
    """Two layers called fc1, one inside of a block, so that names must be matched as a whole."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential()
        self.block.add_module("fc1", nn.Linear(4, 16))
        self.fc1, self.head = nn.Linear(16, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x):
        return self.head(nn.functional.gelu(self.fc1(torch.tanh(self.block(x)))))


@functools.cache
def fitted(layer="fc1", bias=False, dtype=torch.float64):
    """Return a model, samples, and the change that was fitted to them."""
    torch.manual_seed(0)
    model = Model().to(dtype).eval()
    X = torch.randn(10, 4, dtype=dtype)
    with torch.no_grad():
        y = model(X) + 0.2 * torch.randn(10, 2, dtype=dtype)
    return model, X, fit_layer(model, X, y, layer, bias=bias, regularization=1e-3, max_steps=8)


pytestmark = pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")


def outputs(model, X):
    with torch.no_grad():
        return model(X).double().numpy()


@pytest.mark.parametrize("layer", ["fc1", "block.fc1", "head"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("merge", [False, True])
def test_what_is_applied_gives_the_outputs_of_the_fit(layer, bias, merge):
    model, X, change = fitted(layer, bias)
    changed = copy.deepcopy(model)
    applied = apply_change(changed, change, merge=merge)
    assert applied.rounding < (1e-15 if merge else 1e-14)  # a branch has singular vectors
    np.testing.assert_allclose(outputs(changed, X), change.outputs, rtol=0, atol=3e-14)
    assert np.abs(outputs(model, X) - change.outputs).max() > 1e-3
    others = [(n, p) for n, p in changed.named_parameters() if not n.startswith(layer + ".")]
    for name, p in others:
        assert torch.equal(p, dict(model.named_parameters())[name])


def test_merging_keeps_the_parameter_and_returns_no_gradient():
    model, _, change = fitted()
    changed = copy.deepcopy(model)
    weight = changed.fc1.weight
    apply_change(changed, change)
    assert changed.fc1.weight is weight
    assert weight.requires_grad
    assert weight.grad is None


@pytest.mark.parametrize("merge", [False, True])
def test_single_precision(merge):
    model, X, change = fitted(dtype=torch.float32)
    changed = copy.deepcopy(model)
    applied = apply_change(changed, change, merge=merge)
    assert applied.rounding <= (2.0**-24 if merge else 2.0**-20)
    np.testing.assert_allclose(outputs(changed, X), change.outputs, rtol=0, atol=3e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_rounding_of_a_copy_in_another_precision_is_what_is_returned(dtype):
    model, _, change = fitted()
    changed = copy.deepcopy(model).to(dtype)
    W = changed.fc1.weight.detach().double().numpy()
    applied = apply_change(changed, change)
    exact = W + change.weight_change()
    error = changed.fc1.weight.detach().double().numpy() - exact
    assert applied.rounding == pytest.approx(np.abs(error).max() / np.abs(exact).max(), rel=1e-12)
    assert 0 < applied.rounding <= ROUNDING[dtype]
    expected = np.linalg.norm(error) / np.linalg.norm(change.weight_change())
    assert applied.lost == pytest.approx(expected, rel=1e-6)


def test_a_change_that_rounding_eats_is_a_warning_and_a_branch_keeps_it():
    model, X, _ = fitted()
    with torch.no_grad():
        y = model(X) + 1e-3 * torch.randn(10, 2, dtype=torch.float64)
    change = fit_layer(model, X, y, "fc1", regularization=1e-3)
    half = copy.deepcopy(model).bfloat16()
    with pytest.warns(UserWarning, match=r"^Rounding to bfloat16 took \d+% of the change of 'fc1'"):
        assert apply_change(copy.deepcopy(half), change).lost > 0.05
    applied = apply_change(half, change, merge=False)
    assert applied.lost < 0.01
    assert half(X.bfloat16()).dtype == torch.bfloat16


def test_a_branch_survives_a_round_trip_of_its_state():
    model, X, change = fitted(bias=True)
    changed, other = copy.deepcopy(model), copy.deepcopy(model)
    apply_change(changed, change, merge=False)
    apply_change(other, change, merge=False)
    with torch.no_grad():
        other.fc1.A.zero_()
    other.load_state_dict(changed.state_dict())
    np.testing.assert_array_equal(outputs(other, X), outputs(changed, X))
    assert not any(p.requires_grad for name, p in other.named_parameters() if ".A" in name)


@pytest.mark.parametrize("merge", [False, True])
def test_a_change_is_applied_once(merge):
    model, X, change = fitted()
    changed = copy.deepcopy(model)
    apply_change(changed, change, merge=merge)
    before = outputs(changed, X)
    with pytest.raises((ValueError, TypeError), match=r"^'fc1' must have (the|a) weight"):
        apply_change(changed, change)
    np.testing.assert_array_equal(outputs(changed, X), before)


def tied():
    model = copy.deepcopy(fitted()[0])
    model.other = nn.Linear(16, WIDTH)
    model.other.weight = model.fc1.weight
    return model


def quantized():
    torch.backends.quantized.engine = "fbgemm"
    model = copy.deepcopy(fitted()[0]).float()
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)


def without_the_layer():
    model = copy.deepcopy(fitted()[0])
    del model.fc1
    return model


def without_a_weight():
    model = copy.deepcopy(fitted()[0])
    model.fc1 = nn.ReLU()
    return model


def of_another_width():
    model = copy.deepcopy(fitted()[0])
    model.fc1 = nn.Linear(16, 7)
    return model


def retrained():
    model = copy.deepcopy(fitted()[0])
    nn.init.normal_(model.fc1.weight)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per:UserWarning")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (tied, ValueError, "layer must have a weight of its own; got 'fc1'.*other.weight"),
        (quantized, TypeError, "'fc1' must have a weight in .*quantized"),
        (without_a_weight, TypeError, "'fc1' must have a weight; got a ReLU, which has none"),
        (without_the_layer, ValueError, "model must have the layer 'fc1'; got one without"),
        (of_another_width, ValueError, r"'fc1' must have a weight of shape \(60, 16\)"),
        (retrained, ValueError, "'fc1' must have the weight that was fitted; got another"),
        (lambda: "model", TypeError, "model must be a torch.nn.Module; got str"),
    ],
)
@pytest.mark.parametrize("function", ["apply", "export"])
def test_models_that_cannot_take_a_change_are_refused(make, error, message, function, tmp_path):
    model, change = make(), fitted()[2]
    if function == "export":
        pytest.importorskip("peft")
        apply = functools.partial(export_peft, change, tmp_path / "adapter", model)
    else:
        apply = functools.partial(apply_change, model, change)
    with pytest.raises(error, match="^" + message):
        apply()
    assert not os.listdir(tmp_path)


def test_a_sum_that_overflows_is_refused_before_anything_is_written():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)).double().eval()
    X = torch.randn(3, 3, dtype=torch.float64)
    change = fit_layer(model, X, 1e7 * X[:, 0].numpy(), "0", regularization=0.0)
    half = copy.deepcopy(model).half()
    before = copy.deepcopy(half.state_dict())
    with pytest.raises(ValueError, match=r"^'0' must hold its new weight in float16; .*overflows"):
        apply_change(half, change)
    for name, x in half.state_dict().items():
        assert torch.equal(x, before[name])


def test_other_arguments_are_checked():
    model, _, change = fitted()
    with pytest.raises(TypeError, match=r"^change must be a LayerChange; got tuple"):
        apply_change(model, change.factors)
    with pytest.raises(TypeError, match=r"^merge must be True or False; got 1"):
        apply_change(model, change, merge=1)
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 1)).double().eval()
    X = torch.randn(3, 1, 3, dtype=torch.float64)
    change = fit_layer(conv, X, np.zeros(3), "0", regularization=0.1)
    with pytest.raises(ValueError, match=r"^merge must be True for '0'; got False for a Conv1d"):
        apply_change(conv, change, merge=False)


# --- PEFT ---


def with_adapter(model, folder):
    peft = pytest.importorskip("peft")
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()


@pytest.mark.parametrize("layer", ["fc1", "block.fc1"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_peft_loads_the_adapter_onto_that_layer_alone(layer, dtype, tmp_path):
    pytest.importorskip("peft")
    model, X, change = fitted(layer, dtype=dtype)
    exported = export_peft(change, tmp_path / "adapter", model)
    loaded = with_adapter(model, tmp_path / "adapter")
    lora = [n for n, _ in loaded.named_parameters() if "lora_A" in n]
    assert lora == [f"base_model.model.{layer}.lora_A.default.weight"]
    assert loaded.base_model.model.get_submodule(layer).scaling == {"default": 1.0}
    atol = 3e-14 if dtype == torch.float64 else 3e-6
    np.testing.assert_allclose(outputs(loaded, X), change.outputs, rtol=0, atol=atol)
    merged = copy.deepcopy(model)
    apply_change(merged, change)
    np.testing.assert_allclose(outputs(loaded, X), outputs(merged, X), rtol=0, atol=atol)
    unloaded = loaded.merge_and_unload()
    np.testing.assert_allclose(outputs(unloaded, X), outputs(merged, X), rtol=0, atol=atol)
    assert exported.rank == change.rank
    assert exported.error < (1e-14 if dtype == torch.float64 else 1e-6)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == change.rank
    assert os.listdir(tmp_path) == ["adapter"]


@pytest.mark.parametrize("rank", [1, 4, 1000])
def test_recompression_is_the_best_of_its_rank_and_states_its_error(rank, tmp_path):
    pytest.importorskip("peft")
    model, _, change = fitted()
    exported = export_peft(change, tmp_path / "adapter", model, rank=rank)
    loaded = with_adapter(model, tmp_path / "adapter").merge_and_unload()
    found = (loaded.fc1.weight - model.fc1.weight).detach().numpy()
    s = np.linalg.svd(change.weight_change(), compute_uv=False)
    best = np.sqrt(np.sum(s[rank:] ** 2) / np.sum(s**2))
    error = np.linalg.norm(found - change.weight_change()) / change.change_norm
    assert exported.rank == min(rank, change.rank)
    assert exported.error == pytest.approx(error, abs=1e-14)
    assert exported.error == pytest.approx(best, abs=1e-14)


def test_layers_of_gpt_2_keep_their_weight_transposed(tmp_path):
    pytest.importorskip("peft")
    Conv1D = pytest.importorskip("transformers.pytorch_utils").Conv1D
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(9, 5), nn.GELU(), nn.Linear(9, 1)).double().eval()
    X = torch.randn(6, 5, dtype=torch.float64)
    change = fit_layer(model, X, X[:, 0].numpy() ** 2, "0", regularization=1e-2)
    assert change.weight_change().shape == (5, 9)
    export_peft(change, tmp_path / "adapter", model)
    loaded = with_adapter(model, tmp_path / "adapter")
    np.testing.assert_allclose(outputs(loaded, X), change.outputs, rtol=0, atol=3e-14)
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), change.outputs, rtol=0, atol=3e-14)


def test_a_fit_without_a_step_is_an_adapter_of_zeros(tmp_path):
    pytest.importorskip("peft")
    model, X, _ = fitted()
    change = fit_layer(model, X, np.zeros((10, 2)), "block.fc1", max_steps=0)
    assert export_peft(change, tmp_path / "adapter", model) == (change.rank or 1, 0.0)
    loaded = with_adapter(model, tmp_path / "adapter")
    np.testing.assert_array_equal(outputs(loaded, X), outputs(model, X))


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_nothing_that_exists_is_overwritten(kind, tmp_path):
    pytest.importorskip("peft")
    model, _, change = fitted()
    place = tmp_path / "adapter"
    if kind == "link":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir() if kind == "folder" else place.write_text("mine")
    with pytest.raises(FileExistsError, match=r"^folder must be a new one; .* exists"):
        export_peft(change, place, model)
    assert os.listdir(tmp_path) == ["adapter"]
    if kind == "file":
        assert place.read_text() == "mine"


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    peft = pytest.importorskip("peft")

    def fail(*_, **__):
        raise OSError("disk full")

    model, _, change = fitted()
    monkeypatch.setattr(peft.LoraConfig, "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        export_peft(change, tmp_path / "adapter", model)
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match=r"^folder must lie in a folder that exists"):
        export_peft(change, tmp_path / "missing" / "adapter", model)


def test_what_an_adapter_cannot_hold_is_refused(tmp_path):
    pytest.importorskip("peft")
    model, _, change = fitted(bias=True)
    with pytest.raises(ValueError, match=r"^change must leave the bias as it is, since a LoRA"):
        export_peft(change, tmp_path / "adapter", model)
    conv = nn.Sequential(nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 1)).double().eval()
    X = torch.randn(3, 1, 3, dtype=torch.float64)
    change = fit_layer(conv, X, np.zeros(3), "0", regularization=0.1)
    with pytest.raises(ValueError, match=r"^change must be of a Linear layer; got .* a Conv1d"):
        export_peft(change, tmp_path / "adapter", conv)
    model, _, change = fitted()
    with pytest.raises(ValueError, match=r"^rank must be at least 1; got 0"):
        export_peft(change, tmp_path / "adapter", model, rank=0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("absent", "call", "extra"),
    [
        ("torch", lambda m, c, f: fit_layer(m, None, None, "fc1"), "fit_layer needs PyTorch"),
        ("torch", lambda m, c, f: apply_change(m, c), "apply_change needs PyTorch"),
        ("torch", lambda m, c, f: export_peft(c, f, m), "export_peft needs PyTorch"),
        ("peft", lambda m, c, f: export_peft(c, f, m), "export_peft needs PEFT"),
    ],
)
def test_a_missing_package_is_named_with_what_to_install(
    absent, call, extra, tmp_path, monkeypatch
):
    model, _, change = fitted()
    monkeypatch.setitem(sys.modules, absent, None)
    name = {"torch": "torch", "peft": "peft"}[absent]
    with pytest.raises(ImportError, match=rf'^{extra}.* pip install "subquad\[{name}\]"'):
        call(model, change, tmp_path / "adapter")
    assert os.listdir(tmp_path) == []


# --- safetensors ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_layer_is_read_as_it_was_stored(dtype, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    model = copy.deepcopy(fitted()[0]).to(dtype)
    save_file(model.state_dict(), tmp_path / "model.safetensors", {"format": "pt"})
    stored = load_layer(tmp_path / "model.safetensors", "fc1", head="head")
    for found, expected in [
        (stored.weight, model.fc1.weight),
        (stored.bias, model.fc1.bias),
        (stored.readout, model.head.weight),
        (stored.constant, model.head.bias),
    ]:
        assert found.dtype == (np.float64 if dtype == torch.float64 else np.float32)
        np.testing.assert_array_equal(found, expected.detach().double().numpy())
    assert repr(stored).startswith("StoredLayer(width=60, m_in=16, n_outputs=2")


def test_a_stored_layer_is_fitted_without_torch(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    model, X, _ = fitted()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    stored = load_layer(str(tmp_path / "model.safetensors"), "fc1", head="head")
    with torch.no_grad():
        V = torch.tanh(model.block(X)).numpy()
    layer = stored.last_layer(V, GELU())
    np.testing.assert_allclose(layer.outputs() + stored.constant, outputs(model, X), atol=1e-13)
    trainer = LastLayerGaussNewton(layer, np.zeros((10, 2))).run()
    assert trainer.converged
    with pytest.raises(ValueError, match=r"^head must be given to load_layer for this; got None"):
        load_layer(tmp_path / "model.safetensors", "fc1").last_layer(V)


def stored_file(path, entries, data=b"", length=None):
    """Write a safetensors file by hand."""
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    size = len(header) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + header + data)
    return path


def entry(dtype="F32", shape=(2, 3), offsets=(0, 24)):
    return {"fc.weight": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("entries", "data", "message"),
    [
        (entry(), bytes(23), "file must be a safetensors file; .*'fc.weight' does not lie within"),
        (entry(shape=(2, 4)), bytes(24), "file must be .* 'fc.weight' has another size"),
        (entry(shape=(2, -3)), bytes(24), "file must be a safetensors file"),
        (entry(offsets=(24, 0)), bytes(24), "file must be a safetensors file"),
        (entry(offsets=(0, 2**62)), bytes(24), "file must be a safetensors file"),
        ({"fc.weight": 3}, bytes(24), "file must be a safetensors file"),
        (b"no json", b"", "file must be .* its header is not the JSON"),
        (b"[1]", b"", "file must be .* its header is not the JSON"),
        (b"[" * 100000, b"", "file must be .* its header is not the JSON"),
        (entry("I8", offsets=(0, 6)), bytes(6), "layer must hold numbers in F64.* I8, .*quantized"),
        (entry("F8_E4M3", offsets=(0, 6)), bytes(6), "layer must hold .* newer than this version"),
        (entry(shape=(6,)), bytes(24), "layer must name a linear layer, whose weight is a matrix"),
        (
            {"other.weight": entry()["fc.weight"]},
            bytes(24),
            "layer must be one of the layers of .*It has: other",
        ),
        ({"other.weight": {}}, b"", "file must be .* 'other.weight' does not lie within"),
        # A file that lost its end is refused also for what lies before.
        (
            entry() | {"last": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}},
            bytes(31),
            "file must be a safetensors file; .* truncated .*'last' does not lie within",
        ),
        ({}, b"", "layer must be one of the layers of .*It has: none"),
    ],
)
def test_files_that_cannot_be_read_are_refused(entries, data, message, tmp_path):
    file = stored_file(tmp_path / "x.safetensors", entries, data)
    with pytest.raises(ValueError, match="^" + message):
        load_layer(file, "fc")


def test_other_files_are_refused(tmp_path):
    for content in (b"", b"abc", bytes(8), (2**63).to_bytes(8, "little"), b"PK\3\4" * 100):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match=r"^file must be a safetensors file; .*does not fit"):
            load_layer(tmp_path / "x", "fc")
    with pytest.raises(FileNotFoundError):
        load_layer(tmp_path / "missing", "fc")
    with pytest.raises(TypeError, match=r"^layer must be the name of a layer; got int"):
        load_layer(stored_file(tmp_path / "y", entry(), bytes(24)), 3)


def test_a_head_must_fit_its_layer(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    x = {"a.weight": np.ones((3, 2)), "b.weight": np.ones((1, 4))}
    save_file(x, tmp_path / "x.safetensors")
    assert not load_layer(tmp_path / "x.safetensors", "a").bias.any()
    with pytest.raises(ValueError, match=r"^head must have 3 columns, the rows of 'a'; got 4"):
        load_layer(tmp_path / "x.safetensors", "a", head="b")


@pytest.mark.skipif(not PAGE.exists(), reason="the pages are not beside these tests")
def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    assert len(pages.blocks_of(PAGE)) == 7
    pages.run(PAGE)
    assert sorted(os.listdir()) == ["adapter", "model.safetensors"]
