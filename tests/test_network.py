"""Captured networks: what their rows are called, what is in them, and that they compute what the model computes."""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qwidgets.errors import CaptureError, DataError
from qwidgets.network import Network, capture
from tests.networks import Block, Branching, Recurrent, ResNet, Reused, TwoInputs, lively


def names(network: Network, kind: str | None = None) -> list[str]:
    return [row.name for row in network.rows if kind in (None, row.kind)]


def fused(network: Network, name: str) -> tuple[str, ...]:
    return next(row.fused for row in network.rows if row.name == name)


def seen(network: Network, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
    """Run a network, and keep a copy of each tensor that it shows."""
    tensors: dict[str, Tensor] = {}

    def keep(name: str, tensor: Tensor) -> None:
        assert name not in tensors
        tensors[name] = tensor.clone()

    network.run(args, kwargs, keep)
    return tensors


def agrees(model: nn.Module, *args: Any, **kwargs: Any) -> Network:
    """Capture a model, and check that it computes the same for other batch sizes, every row observed once."""
    network = capture(model, args, kwargs)
    for size in (5, 1):

        def resized(tensor: Tensor, size: int = size) -> Tensor:
            return torch.cat([tensor] * 5)[:size]

        again, named = pytree.tree_map_only(Tensor, resized, (args, kwargs))
        shown = seen(network, *again, **named)
        result = network.run(again, named, lambda name, tensor: None)
        with torch.enable_grad():  # without, an encoder takes its fused path, which rounds otherwise
            expected = model.eval()(*again, **named)
        torch.testing.assert_close(result, expected)
        assert set(shown) == {row.name for row in network.rows if row.kind in ("input", "activation")}
    return network


# Rows and their names


def test_rows_come_in_the_order_of_execution_and_bear_module_paths() -> None:
    network = agrees(lively(ResNet()), torch.randn(2, 3, 10, 10))
    assert names(network) == [
        "input",
        *("stem.weight", "stem.bias", "stem"),
        *("layer1.0.conv1.weight", "layer1.0.conv1.bias", "layer1.0.conv1"),
        *("layer1.0.conv2.weight", "layer1.0.conv2.bias", "layer1.0.conv2", "layer1.0.add"),
        *("layer1.1.conv1.weight", "layer1.1.conv1.bias", "layer1.1.conv1"),
        *("layer1.1.conv2.weight", "layer1.1.conv2.bias", "layer1.1.conv2", "layer1.1.add"),
        *("mean", "fc.weight", "fc.bias", "fc", "softmax"),
    ]


def test_a_fused_row_bears_the_name_of_what_multiplies_and_lists_the_rest() -> None:
    network = capture(lively(ResNet()), (torch.randn(2, 3, 10, 10),))
    assert fused(network, "stem") == ("stem", "relu6")
    assert fused(network, "layer1.0.conv1") == ("layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu")
    assert fused(network, "layer1.0.conv1.weight") == ("layer1.0.conv1", "layer1.0.bn1")
    assert fused(network, "layer1.0.conv2") == ("layer1.0.conv2", "layer1.0.bn2")
    assert fused(network, "layer1.0.add") == ("layer1.0.add", "layer1.0.relu")


def test_a_row_knows_its_layer_operation_and_shape() -> None:
    network = capture(lively(ResNet()), (torch.randn(2, 3, 10, 10),))
    rows = {row.name: row for row in network.rows}
    assert rows["input"].shape == (None, 3, 10, 10)
    assert rows["stem"].shape == (None, 4, 8, 8)
    assert rows["stem.weight"].shape == (4, 3, 3, 3)
    assert rows["stem.weight"].layer == "stem"
    assert rows["layer1.0.conv1.bias"].layer == "layer1.0.conv1"
    assert rows["layer1.0.add"].operation == "add"


def test_what_only_moves_values_has_no_row() -> None:
    class Moving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous().flatten(1).unsqueeze(1).expand(-1, 2, -1)
            first, second = F.max_pool1d(y, 2).chunk(2, -1)
            return (first - second).reshape(x.shape[0], -1)[:, ::2]

    assert names(agrees(Moving(), torch.randn(2, 3, 4, 4))) == ["input", "sub"]


def test_a_layer_called_twice_has_two_activations_and_one_weight() -> None:
    network = agrees(Reused(), torch.randint(0, 10, (3, 4)))
    assert names(network) == ["embedding.weight", "fc.weight", "fc.bias", "fc", "fc@2", "head"]
    assert fused(network, "fc") == ("fc", "relu")
    assert [layer.weight_row for layer in network.layers] == ["fc.weight", "fc.weight", "embedding.weight"]


def test_a_tensor_that_two_layers_share_is_one_row_that_lists_both() -> None:
    network = capture(Reused(), (torch.randint(0, 10, (3, 4)),))
    assert fused(network, "embedding.weight") == ("embedding", "head")
    assert "head.weight" not in names(network)


def test_a_block_called_twice_has_its_calls_told_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = lively(Block(3))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.block(self.block(x))
            return out

    network = agrees(Twice(), torch.randn(2, 3, 4, 4))
    assert names(network, "activation") == [
        *("block.conv1", "block.conv2", "block.add", "block.conv1@2", "block.conv2@2", "block.add@2")
    ]
    assert len(names(network, "weight")) == 2


def test_an_operation_done_twice_in_one_module_is_numbered() -> None:
    class Adding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x + 1) + x.exp()

    assert names(agrees(nn.Sequential(Adding()), torch.randn(2, 3)), "activation") == ["0.add", "0.exp", "0.add_1"]


def test_several_inputs_are_called_by_their_arguments_and_masks_have_no_row() -> None:
    network = agrees(TwoInputs(), torch.randn(2, 6), torch.randn(2, 6), mask=torch.zeros(2, 12, dtype=torch.bool))
    assert names(network, "input") == ["input.left", "input.right"]
    assert names(network, "activation") == ["add", "cat", "fc"]


def test_a_parameter_that_enters_a_sum_is_a_weight() -> None:
    network = capture(TwoInputs(), (torch.randn(2, 6), torch.randn(2, 6)))
    assert names(network, "weight") == ["position", "fc.weight"]


def test_a_layer_that_gives_several_tensors_has_a_row_for_each_that_is_used() -> None:
    network = agrees(Recurrent(), torch.randn(2, 5, 4))
    assert names(network, "activation") == ["lstm", "lstm.1", "fc"]
    assert names(network, "weight") == ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "fc.weight"]
    assert names(network, "bias") == ["lstm.bias_ih_l0", "lstm.bias_hh_l0", "fc.bias"]


def test_an_encoder_is_seen_layer_by_layer() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"), 1)
    network = agrees(encoder, torch.randn(2, 5, 8))
    assert names(network, "activation") == [
        f"layers.0.{name}"
        for name in (
            *("self_attn.in_proj", "self_attn.scaled_dot_product_attention", "self_attn.out_proj", "add", "norm1"),
            *("linear1", "linear2", "add_1", "norm2"),
        )
    ]
    assert fused(network, "layers.0.linear1") == ("layers.0.linear1", "layers.0.gelu")
    assert "layers.0.norm1.weight" not in names(network)


def test_a_layer_that_is_a_child_of_its_own_padding_keeps_its_name() -> None:
    class Padded(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(3, 4, 3)
            self.padding_layer = nn.ZeroPad2d(1)

        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            return super().forward(self.padding_layer(input))

    assert names(agrees(nn.Sequential(Padded(), nn.ReLU()), torch.randn(2, 3, 4, 4))) == [
        *("input", "0.weight", "0.bias", "0")
    ]


@pytest.mark.parametrize(
    "activation", [nn.ReLU6(), nn.Hardtanh(), nn.Hardswish(), nn.SiLU(), nn.GELU(), nn.LeakyReLU()]
)
def test_activation_functions_are_fused(activation: nn.Module) -> None:
    network = agrees(nn.Sequential(nn.Linear(3, 3), nn.Dropout(), activation), torch.randn(2, 3))
    assert fused(network, "0") == ("0", "2")


def test_an_activation_is_not_fused_where_what_enters_it_is_used_elsewhere_too() -> None:
    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(x)
            return y * torch.sigmoid(y)

    assert names(agrees(Swish(), torch.randn(2, 3)), "activation") == ["fc", "sigmoid", "mul"]


def test_parametrized_weights_are_called_weight() -> None:
    class Old(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.conv: nn.Module = nn.utils.weight_norm(nn.Conv1d(3, 3, 1))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.conv(x)
            return out

    new = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 3, 1))
    network = agrees(nn.Sequential(Old(), new), torch.randn(2, 3, 6))
    assert names(network, "weight") == ["0.conv.weight", "1.weight"]
    torch.testing.assert_close(network.parameters["1.weight"], new.weight.detach())


# Batch norm


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(4, 6, 3),
        nn.Conv1d(4, 6, 3, groups=2, bias=False),
        nn.ConvTranspose1d(4, 6, 3, bias=False),
        nn.ConvTranspose1d(4, 6, 3, groups=2),
    ],
    ids=str,
)
def test_folded_weights_compute_what_the_layer_and_its_batch_norm_do(layer: nn.Module) -> None:
    x = torch.randn(3, 4, 7)
    model = lively(nn.Sequential(layer, nn.BatchNorm1d(6)))
    network = capture(model, (x,))
    assert names(network) == ["input", "0.weight", "0.bias", "0"]
    folded = copy.deepcopy(layer)
    folded.weight = nn.Parameter(network.parameters["0.weight"])
    folded.bias = nn.Parameter(network.parameters["0.bias"])
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_over_features_is_folded_into_a_linear_layer() -> None:
    x = torch.randn(8, 4)
    model = lively(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)))
    parameters = capture(model, (x,)).parameters
    torch.testing.assert_close(
        F.linear(x, parameters["0.weight"], parameters["0.bias"]), model(x), atol=1e-5, rtol=1e-4
    )


def test_a_batch_norm_with_no_layer_before_it_shows_its_scale_and_shift() -> None:
    x = torch.randn(4, 3, 5)
    model = lively(nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 2, 1)))
    network = capture(model, (x,))
    assert names(network) == ["input", "0.weight", "0.bias", "0", "2.weight", "2.bias", "2"]
    scale, shift = network.parameters["0.weight"], network.parameters["0.bias"]
    torch.testing.assert_close(x * scale[:, None] + shift[:, None], model.get_submodule("0")(x))


def test_a_weight_that_is_shared_is_folded_only_if_one_batch_norm_follows_all() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(3, 3, 1)
            self.first, self.second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.second(self.conv(self.first(self.conv(x))))
            return out

    model = lively(Shared())
    network = agrees(model, torch.randn(2, 3, 4))
    assert names(network, "activation") == ["conv", "first", "conv@2", "second"]
    assert torch.equal(network.parameters["conv.weight"], model.get_parameter("conv.weight"))


def test_weights_in_half_precision_are_folded_in_single() -> None:
    model = lively(nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3))).bfloat16()
    network = capture(model, (torch.randn(2, 3, 4, dtype=torch.bfloat16),))
    assert {tensor.dtype for tensor in network.parameters.values()} == {torch.float32}
    assert seen(network, torch.randn(2, 3, 4, dtype=torch.bfloat16))["0"].dtype == torch.bfloat16


# What is observed


def test_a_tensor_is_seen_before_a_later_operation_overwrites_it() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(x)
            kept = y.clone()
            y[:, 0] += 100
            return y.add_(kept)

    x = torch.randn(4, 3)
    model = InPlace()
    tensors = seen(agrees(model, x), x)
    torch.testing.assert_close(tensors["fc"], model.fc(x))
    assert tensors["add_1"].max() > 90


def test_what_is_observed_is_what_leaves_the_activation_function() -> None:
    x = torch.randn(2, 3, 10, 10)
    model = lively(ResNet())
    tensors = seen(capture(model, (x,)), x)
    stem = F.relu6(model.get_submodule("stem")(x))
    torch.testing.assert_close(tensors["stem"], stem)
    torch.testing.assert_close(tensors["layer1.1.add"], model.get_submodule("layer1")(F.max_pool2d(stem, 2)))


def test_autocast_around_the_run_is_what_is_seen() -> None:
    x = torch.randn(2, 3)
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network = capture(model, (x,))
        tensors = seen(network, x)
        assert torch.equal(tensors["0"], model(x))
    assert tensors["0"].dtype == torch.bfloat16
    assert seen(network, x)["0"].dtype == torch.float32


def test_autocast_and_gradient_modes_within_the_model_are_kept() -> None:
    class Modes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                x = self.first(x).relu()
            with torch.enable_grad():
                x = self.second(x.float())
            out: Tensor = self.third(x)
            return out

    x = torch.randn(2, 3)
    network = agrees(Modes(), x)
    assert names(network, "activation") == ["first", "second", "third"]
    tensors = seen(network, x)
    assert (tensors["first"].dtype, tensors["third"].dtype) == (torch.bfloat16, torch.float32)
    assert not torch.is_autocast_enabled("cpu")


# The model


def test_the_model_is_given_back_as_it_was() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.last: Tensor | None = None
            self.net = ResNet()
            self.register_buffer("total", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.last = x
            out: Tensor = self.net(x)
            return out

    model = Counting().train()
    model.net.stem.eval()
    model.net.fc.weight.requires_grad_(False)
    model(torch.randn(2, 3, 10, 10)).sum().backward()
    hook = model.net.fc.register_forward_hook(lambda module, args, output: output * 1)
    state = copy.deepcopy(model.state_dict())
    training = [module.training for module in model.modules()]
    gradient = model.net.stem.weight.grad
    x = model.last
    network = capture(model, (torch.randn(2, 3, 10, 10),))
    seen(network, torch.randn(3, 3, 10, 10))
    assert [module.training for module in model.modules()] == training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert model.net.stem.weight.grad is gradient
    assert not model.net.fc.weight.requires_grad
    assert model.calls == 1
    assert model.last is x
    assert hook.id in model.net.fc._forward_hooks


def test_models_can_be_captured_in_several_threads_at_once() -> None:
    model, example = lively(ResNet()).train(), (torch.randn(2, 3, 10, 10),)
    with ThreadPoolExecutor(4) as threads:
        networks = list(threads.map(lambda _: capture(model, example), range(4)))
    assert len({network.digest for network in networks}) == 1
    assert all(module.training for module in model.modules())


def test_the_graph_shares_the_parameters() -> None:
    model = ResNet()
    network = capture(model, (torch.randn(2, 3, 10, 10),))
    assert network.tensor("stem.weight").data_ptr() == model.stem.weight.data_ptr()
    network.parameters["stem.weight"].zero_()
    assert model.stem.weight.abs().max() > 0


def test_wrapped_models_are_unwrapped() -> None:
    model = lively(ResNet())
    example = (torch.randn(2, 3, 10, 10),)
    plain = capture(model, example)
    for wrapped in (torch.compile(model), nn.DataParallel(model)):
        assert capture(wrapped, example).digest == plain.digest  # type: ignore[arg-type]


def test_inference_tensors_are_taken() -> None:
    with torch.inference_mode():
        model = lively(ResNet())
        x = torch.randn(2, 3, 10, 10)
        inside = seen(capture(model, (x,)), x)
    outside = seen(capture(model, (x,)), x)
    assert all(torch.equal(inside[name], outside[name]) for name in inside)


def test_an_example_of_one_does_not_fix_the_batch() -> None:
    network = capture(lively(ResNet()), (torch.randn(1, 3, 10, 10),))
    assert seen(network, torch.randn(7, 3, 10, 10))["fc"].shape == (7, 5)


def test_the_digest_tells_networks_apart_by_their_rows_alone() -> None:
    x = torch.randn(2, 3)
    first, second = nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 4))
    assert capture(first, (x,)).digest == capture(second, (x,)).digest
    assert capture(first, (x,)).digest != capture(nn.Sequential(nn.Linear(3, 5)), (x,)).digest


# What cannot be


def test_a_model_that_cannot_be_captured_is_told_with_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    model = Branching().train()
    with pytest.raises(CaptureError, match=r"line \d+ of .*networks.py \(if y.sum\(\) > 0:.*(?s:.*)submodule"):
        capture(model, (torch.randn(2, 4),))
    assert model.training
    assert capfd.readouterr() == ("", "")


def test_something_that_is_no_module_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"torch.nn.Module, not function"):
        capture(lambda x: x, (torch.randn(2, 4),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((torch.randn(2, 5), torch.randn(2, 6)), {}, r"input 0 is \(2, 5\) float32, .* for \(any, 6\) float32"),
        ((torch.randn(2, 6).double(), torch.randn(2, 6)), {}, r"input 0 is \(2, 6\) float64"),
        ((torch.randn(2, 6),), {}, r"nested differently .*: \(tensor\) instead of \(tensor, tensor\)"),
        ((torch.randn(2, 6), 3), {}, r"input 1 is 3"),
    ],
)
def test_arguments_that_do_not_fit_are_named(args: tuple[Any, ...], kwargs: dict[str, Any], words: str) -> None:
    network = capture(TwoInputs(), (torch.randn(2, 6), torch.randn(2, 6)))
    with pytest.raises(DataError, match=words):
        network.run(args, kwargs, lambda name, tensor: None)


def test_a_network_whose_code_fixes_the_batch_says_so() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(4, 3).exp()

    network = capture(Fixed(), (torch.randn(4, 3),))
    with pytest.raises(DataError, match=r"captured for \(4, 3\) float32; its code fixes the batch.*drop_last"):
        seen(network, torch.randn(2, 3))


def test_an_example_can_be_made_from_the_inputs_alone() -> None:
    model = TwoInputs()
    network = capture(
        model, (torch.randn(4, 6),), {"mask": torch.zeros(4, 12, dtype=torch.bool), "right": torch.randn(4, 6)}
    )
    again = type(network.inputs).from_json(network.inputs.to_json())
    assert again == network.inputs
    assert capture(model, *again.example()).digest == network.digest


@pytest.mark.slow
def test_a_trained_network_from_elsewhere_is_captured_whole() -> None:
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    network = agrees(lite.EfficientNet.from_name("efficientnet-lite0"), torch.randn(2, 3, 64, 64))
    assert len(network.layers) == 50
    assert len(names(network, "weight")) == len(names(network, "bias")) == 50
    assert names(network, "input") == ["input"]
    assert len(names(network, "activation")) == 50 + 9 + 1  # the layers, the residual sums, the pooling
    assert fused(network, "_blocks.3._depthwise_conv") == (
        *("_blocks.3._depthwise_conv", "_blocks.3._bn1", "_blocks.3._swish"),
    )


def test_another_thread_may_run_the_model_while_it_is_captured() -> None:
    model, x = ResNet().eval(), torch.randn(2, 3, 10, 10)
    with torch.no_grad():
        expected = model(x)
        with ThreadPoolExecutor(1) as pool:
            captured = pool.submit(capture, model, (x,))
            while not captured.done():
                torch.testing.assert_close(model(x), expected)
    assert names(captured.result(), "input") == ["input"]
