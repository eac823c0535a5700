"""Makes golden cases of kind `resnet` for wide residual networks and VGG-16, in plain PyTorch.

    pip install torch
    python xtask/peers/golden_classifiers.py oracles/resnet

The networks are written here from the papers (Zagoruyko and Komodakis 2016; Simonyan and Zisserman 2015, configuration
D) under the state-dict names of the published code (github.com/xternalz/WideResNet-pytorch; torchvision's vgg16). Their
weights follow the formula of the other cases of this kind (a value from each key's hash and each entry's index), so
that a file holds input and outputs alone. `config.state_dict` is the list of keys and shapes as PyTorch has it.
"""

import json
import struct
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F


class PreActivation(nn.Module):
    """Norm, ReLU, convolution, twice; where widths change, the shortcut begins after the first ReLU."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.convShortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride, 0, bias=False)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class Stage(nn.Module):
    def __init__(self, blocks, inputs, outputs, stride):
        super().__init__()
        first = PreActivation(inputs, outputs, stride)
        self.layer = nn.Sequential(first, *(PreActivation(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x):
        return self.layer(x)


class WideResNet(nn.Module):
    def __init__(self, blocks, widen, num_classes):
        super().__init__()
        widths = [16, 16 * widen, 32 * widen, 64 * widen]
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.block1 = Stage(blocks, widths[0], widths[1], 1)
        self.block2 = Stage(blocks, widths[1], widths[2], 2)
        self.block3 = Stage(blocks, widths[2], widths[3], 2)
        self.bn1 = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, x):
        stages = [self.conv1(x)]
        for block in (self.block1, self.block2, self.block3):
            stages.append(block(stages[-1]))
        features = F.relu(self.bn1(stages[-1])).mean((2, 3))
        return stages, features, self.fc(features)


class Vgg16(nn.Module):
    def __init__(self, pooled_side, hidden, num_classes):
        super().__init__()
        layers, inputs, self.ends = [], 3, []
        for outputs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.ReLU()]
                inputs = outputs
            self.ends.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_side)
        self.classifier = nn.Sequential(
            nn.Linear(512 * pooled_side**2, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        stages = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.ends:
                stages.append(x)
        x = self.avgpool(x).flatten(1)
        features = self.classifier[:6](x)
        return stages, features, self.classifier[6](features)


def procedural(key, shape):
    """Values by formula; see the module's documentation."""
    h = 2166136261
    for byte in key.encode():
        h = (h ^ byte) * 16777619 % 2**32
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    count = 1
    for axis in shape:
        count *= axis
    v = torch.sin(torch.arange(1, count + 1, dtype=torch.float64) * 12.9898 + float(h % 10007)) * 43758.5453
    u = v - torch.floor(v)
    c = 2 * u - 1
    if key.endswith("running_var"):
        values = 1 + 0.5 * u
    elif len(shape) > 1:
        values = c * (3 / (count // shape[0])) ** 0.5
    elif key.endswith("weight"):
        values = 1 + 0.1 * c
    else:
        values = 0.1 * c
    return values.reshape(shape).float()


def write(path, tensors, metadata):
    names = {torch.float32: "F32", torch.float64: "F64"}
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in tensors.items():
        raw = bytes(tensor.contiguous().clone().untyped_storage())
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def case(path, network, config, x, source):
    state = {key: procedural(key, list(value.shape)) for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    network.eval()
    with torch.no_grad():
        stages, features, logits = network(x)
        _, _, exact = network.double()(x.double())
    tensors = {"in.x": x, "out.logits": logits, "out.features": features, "out.logits_f64": exact}
    for index, stage in enumerate(stages):
        tensors[f"out.stage{index}_channel_mean"] = stage.mean((2, 3))
    shapes = {key: list(value.shape) for key, value in state.items()}
    parameters = sum(value.numel() for value in network.parameters())
    config = dict(config, weights="procedural", parameters=parameters, state_dict=shapes)
    metadata = {"kind": "resnet", "config": json.dumps(config), "source": source, "rtol": "0.0001", "atol": "1e-05"}
    write(path, tensors, metadata)
    off = ((logits.double() - exact).abs() / (1e-5 + 1e-4 * exact.abs())).max().item()
    print(f"{path.name}: {parameters} parameters, logits {logits.std():.3g}, f32 uses {off:.3f} of the tolerance")


def main():
    folder = Path(sys.argv[1])
    torch.manual_seed(20160523)
    wide = "own implementation of Zagoruyko & Komodakis 2016 (keys of xternalz/WideResNet-pytorch)"
    for name, blocks, widen, batch in (("wide_resnet10_2", 1, 2, 2), ("wide_resnet28_10", 4, 10, 1)):
        config = {"arch": "WideResNet", "blocks": blocks, "widen": widen, "num_classes": 10}
        x = torch.randn(batch, 3, 32, 32)
        case(folder / f"{name}.safetensors", WideResNet(blocks, widen, 10), config, x, wide)
    vgg = "own implementation of Simonyan & Zisserman 2015, configuration D (keys of torchvision)"
    for name, side, pooled, hidden, batch in (("vgg16_32", 32, 1, 64, 2), ("vgg16_64_pooled7", 64, 7, 32, 1)):
        config = {"arch": "vgg16", "pooled_side": pooled, "hidden": hidden, "num_classes": 10}
        x = torch.randn(batch, 3, side, side)
        case(folder / f"{name}.safetensors", Vgg16(pooled, hidden, 10), config, x, vgg)
    published = Vgg16(7, 4096, 1000)
    print("VGG-16 of ImageNet:", sum(value.numel() for value in published.parameters()), "parameters")


main()
