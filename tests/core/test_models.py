"""Networks: names, numbers and answers are torchvision's and the papers'."""

import importlib

import pytest
import torch
from torch import Tensor, nn

from striate.core import layers, ops
from striate.core.checks import UsageError
from striate.core.models import MODELS, build, feature_maps, summarize
from striate.core.models.resnet import ResNet
from striate.core.models.vgg import Vgg

# Our name -> torchvision's, and its keywords.
THEIRS = {
    "alexnet": ("alexnet", {}),
    "vgg11": ("vgg11", {}),
    "vgg16-bn": ("vgg16_bn", {}),
    "googlenet": ("googlenet", {"init_weights": False, "aux_logits": False, "transform_input": False}),
    "resnet18": ("resnet18", {}),
    "resnet50": ("resnet50", {}),
    "resnet152": ("resnet152", {}),
    "resnext50-32x4d": ("resnext50_32x4d", {}),
    "densenet121": ("densenet121", {}),
    "squeezenet1.0": ("squeezenet1_0", {}),
    "squeezenet1.1": ("squeezenet1_1", {}),
    "mobilenet-v2": ("mobilenet_v2", {}),
}


@pytest.fixture(scope="module")
def torchvision():
    """The oracle's networks. Its CUDA build imports beside a CPU torch only if its own operators are left aside."""
    real = torch.library.register_fake

    def register(name, *args, **keywords):
        return (lambda f: f) if str(name).startswith("torchvision::") else real(name, *args, **keywords)

    patch = pytest.MonkeyPatch()
    patch.setattr(torch.library, "register_fake", register)
    try:
        yield importlib.import_module("torchvision.models")
    except ImportError as error:
        pytest.skip(f"torchvision is not installed: {error}")
    finally:
        patch.undo()


@pytest.mark.parametrize("name", THEIRS)
def test_same_weights_same_answers_as_torchvision(name: str, torchvision) -> None:
    make, keywords = THEIRS[name]
    torch.manual_seed(0)
    theirs = getattr(torchvision, make)(num_classes=10, **keywords).eval()
    ours = build(name, 10).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 3, 128, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


# Parameters from torchvision's documentation, from Krizhevsky 2012 and Howard 2017; multiply-adds from table 2 of Hu
# et al. 2018 (in units of 10^9; its networks have the bottleneck's stride in the first 1x1).
@pytest.mark.parametrize(
    ("name", "options", "parameters", "multiply_adds"),
    [
        ("alexnet", {}, 61_100_840, 0.71),
        ("alexnet-2012", {}, 60_965_224, 0.72),
        ("vgg16", {}, 138_357_544, 15.47),
        ("vgg19", {}, 143_667_240, 19.6),
        ("resnet50", {"stride_first": True}, 25_557_032, 3.86),
        ("resnet101", {"stride_first": True}, 44_549_160, 7.58),
        ("resnet152", {"stride_first": True}, 60_192_808, 11.30),
        ("se-resnet50", {"stride_first": True}, 28_088_024, 3.87),
        ("resnext50-32x4d", {}, 25_028_904, 4.24),
        ("resnext101-32x4d", {}, 44_177_704, 7.99),
        ("googlenet", {"large": 5, "auxiliary": False}, 7_005_832, 1.58),
        ("densenet121", {}, 7_978_856, 2.83),
        ("squeezenet1.1", {}, 1_235_496, 0.35),
        ("mobilenet", {}, 4_231_976, 0.569),
        ("mobilenet-v2", {}, 3_504_872, 0.30),
    ],
)
def test_published_numbers(name: str, options: dict, parameters: int, multiply_adds: float) -> None:
    model = MODELS[name]
    with torch.device("meta"):
        network = build(name, 1000, **options)
    summary = summarize(network, (3, model.image_size, model.image_size))
    assert summary.parameters == parameters
    assert summary.multiply_adds / 1e9 == pytest.approx(multiply_adds, rel=0.01)


def test_receptive_fields_of_the_lectures() -> None:
    # Araujo, Norris and Sim 2019, table 1: AlexNet 195, VGG-16 212, ResNet-50 483 with the stride in the first 1x1.
    for name, options, size, map_name, field in (
        ("alexnet-2012", {}, 227, "features.14", 195),
        ("vgg16", {}, 224, "pool5", 212),
        ("resnet50", {"stride_first": True}, 224, "layer4", 483),
    ):
        with torch.device("meta"):
            network = build(name, 1000, **options)
        summary = summarize(network, (3, size, size))
        assert summary.maps[network.maps.get(map_name, map_name)].receptive_field == field
        assert summary.maps[network.maps.get(map_name, map_name)].stride == 32
    excited = summarize(build("se-resnet18", 10), (3, 64, 64)).maps["layer1"]
    assert (excited.stride, excited.receptive_field) == (4, 0)  # the squeeze sees the whole picture


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "resnet18", "densenet121", "squeezenet1.1"])
def test_feature_maps_are_the_layers_outputs(name: str) -> None:
    network = build(name, 5).eval()
    seen: dict[str, Tensor] = {}
    hooks = []
    for short, path in network.maps.items():
        layer = network.get_submodule(path)
        hooks.append(layer.register_forward_hook(lambda m, i, output, short=short: seen.update({short: output})))
    x = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        network(x)
        for hook in hooks:
            hook.remove()
        maps = feature_maps(network, network.maps)(x)
    summary = summarize(network, (3, 96, 96))
    assert list(maps) == list(network.maps)
    for short, got in maps.items():
        assert torch.equal(got, seen[short])
        assert summary.maps[network.maps[short]].shape == tuple(got.shape[1:])


def test_feature_maps_stop_early_and_share_weights() -> None:
    network = build("vgg11", 5).eval()
    part = feature_maps(network, ["relu1_1", "features.3"])
    assert len([m for m in part.modules() if isinstance(m, nn.Conv2d)]) == 2
    assert part.get_submodule("features.0").weight is network.features[0].weight
    x = torch.randn(1, 3, 32, 32, requires_grad=True)
    part(x)["relu1_1"].sum().backward()
    assert x.grad is not None


def test_feature_maps_bad_names() -> None:
    with pytest.raises(UsageError, match=r"the map to be one of conv1_1.*got 'relu1_9'; did you mean 'relu1_1'"):
        feature_maps(build("vgg11", 5), ["relu1_9"])
    shared = nn.ReLU()
    twice = nn.Sequential(shared, nn.Conv2d(3, 3, 1), shared)
    with pytest.raises(UsageError, match="a module that is called once; got '0', which is called 2 times"):
        feature_maps(twice, ["0"])


def test_unknown_network() -> None:
    with pytest.raises(UsageError, match=r"network to be one of lenet5-1998.*got 'resnet51'; did you mean 'resnet"):
        build("resnet51", 10)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_trains_and_has_its_head(name: str) -> None:
    model = MODELS[name]
    with torch.device("meta"):
        network = build(name, 7)
        size = 64 if model.image_size > 200 and not name.startswith("alexnet-2012") else model.image_size
        scores = network.train()(torch.empty(2, model.channels, size, size))
        scores.sum().backward()
    assert scores.shape == (2, 7)
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    last = [name for name in network.state_dict() if "codes" in name or name.endswith("weight")][-1]
    assert last.startswith(network.head)


@pytest.mark.parametrize("name", ["vgg16", "squeezenet1.1", "googlenet", "mobilenet", "densenet121"])
def test_a_fresh_network_tells_pictures_apart(name: str) -> None:
    """With torch's own start two pictures' scores differ by 2e-7 after VGG-16."""
    torch.manual_seed(0)
    network = build(name, 10).eval()
    with torch.no_grad():
        one, other = network(torch.randn(2, 3, 64, 64))
    assert (one - other).abs().max() > 1e-3


def test_depths_and_groups_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="depth to be one of 18, 34, 50, 101, 152; got '20'"):
        ResNet(20)
    with pytest.raises(UsageError, match="depth to be one of 11, 13, 16, 19; got '12'"):
        Vgg(12)
    with pytest.raises(UsageError, match="groups, base and stride_first for bottlenecks"):
        build("resnet18", 10, groups=32)


def test_plain_networks_have_no_shortcuts() -> None:
    plain, residual = (ResNet(18, 10, plain=flag, small=True).eval() for flag in (True, False))
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in residual.parameters())
    block = plain.layer1[0]
    nn.init.zeros_(block.bn2.weight)
    assert block(torch.randn(1, 64, 8, 8)).abs().max() == 0


def test_auxiliary_classifiers_answer_in_training_only() -> None:
    network = build("googlenet", 5, auxiliary=True)
    scores = network.train()(torch.randn(2, 3, 64, 64))
    assert [tuple(s.shape) for s in scores] == [(2, 5)] * 3
    assert network.eval()(torch.randn(2, 3, 64, 64)).shape == (2, 5)


SMALL = [
    ("lenet5-1998", 32, {}),
    ("lenet5", 28, {}),
    ("linear", 28, {}),
    ("small", 16, {"widths": (8, 8)}),
    ("alexnet-2012", 67, {}),
    ("googlenet", 32, {}),
    ("se-resnext50-32x4d", 32, {}),
    ("densenet121", 32, {}),
    ("squeezenet1.1", 32, {}),
    ("mobilenet", 32, {"width": 0.25}),
    ("mobilenet-v2", 32, {"folded": True}),
]


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "size", "options"), [c for c in SMALL if c[0] in ("lenet5-1998", "lenet5", "small")])
def test_kernels_give_torchs_answers_and_gradients(name: str, size: int, options: dict) -> None:
    torch.manual_seed(0)
    network = build(name, 5, **options).eval()
    x = torch.randn(2, MODELS[name].channels, size, size)
    found = {}
    for road in ("triton", "torch"):
        with ops.kernels(road):
            network.zero_grad()
            scores = network(x)
            scores.square().sum().backward()
        found[road] = [scores.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]
    for ours, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4 * max(1.0, theirs.abs().max().item()), rtol=1e-4)


def test_every_layer_is_ours() -> None:
    """torch.nn's own layers would be torch on every device, in silence."""
    containers = (nn.Sequential, nn.Identity)
    for name in MODELS:
        with torch.device("meta"):
            network = build(name, 5)
        for module in network.modules():
            if type(module).__module__.startswith("torch.") and not isinstance(module, containers):
                pytest.fail(f"{name} has a {type(module)}")
    assert issubclass(layers.ReLU6, nn.ReLU6)
