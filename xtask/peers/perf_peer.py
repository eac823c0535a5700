"""PyTorch's side of `cargo xtask perf --peer`: perf_peer.py ROW THREADS.

Serves one row on standard input and output: says `ready VARIANT` once it has warmed up; answers `go` with the ms that one
execution took, and `end` with its peak resident memory in MiB. Each row is a function that returns its variants by name
(memory formats); the fastest of them in the warm-up is the one that is measured.
"""

import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

LEAST_MS = 20.0  # shorter work is repeated and divided
WAKE_MS = 50.0  # unmeasured work at the beginning of a turn
CLASSES = 8


# ---- networks, as plainly as PyTorch lets one write them


class SelfAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.heads = heads

    def forward(self, x):
        batch, channels, height, width = x.shape
        h = self.norm(x.flatten(2).transpose(1, 2))
        qkv = self.qkv(h).reshape(batch, height * width, 3, self.heads, channels // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v)
        h = self.out(h.transpose(1, 2).reshape(batch, height * width, channels))
        return x + h.transpose(1, 2).reshape(x.shape)


class ResBlock(nn.Module):
    def __init__(self, channels_in, channels_out, embedding, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * channels_out)
        self.norm2 = nn.GroupNorm(groups, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x, embedding):
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(x) + h


class QuickUnet(nn.Module):
    def __init__(self, channels=48, patch=2, heads=4, groups=8):
        super().__init__()
        high, low, embedding = channels, 2 * channels, 4 * channels
        block = lambda i, o: ResBlock(i, o, embedding, groups)
        self.channels, self.patch = channels, patch
        self.time1 = nn.Linear(channels, embedding)
        self.time2 = nn.Linear(embedding, embedding)
        self.label = nn.Embedding(CLASSES + 1, embedding)
        self.stem = nn.Conv2d(patch * patch, high, 3, padding=1)
        self.down_high = nn.ModuleList([block(high, high), block(high, high)])
        self.reduce = nn.Conv2d(high, high, 3, stride=2, padding=1)
        self.down_low = nn.ModuleList([block(high, low), block(low, low)])
        self.down_attention = SelfAttention(low, heads)
        self.middle1, self.middle2 = block(low, low), block(low, low)
        self.middle_attention = SelfAttention(low, heads)
        self.up_low = nn.ModuleList([block(2 * low, low), block(2 * low, low)])
        self.up_attention = SelfAttention(low, heads)
        self.enlarge = nn.Conv2d(low, low, 3, padding=1)
        self.up_high = nn.ModuleList([block(low + high, high), block(2 * high, high)])
        self.out_norm = nn.GroupNorm(groups, high)
        self.out = nn.Conv2d(high, patch * patch, 3, padding=1)

    def forward(self, x, t, label):
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None] * frequencies
        time_ = self.time2(F.silu(self.time1(torch.cat([angles.cos(), angles.sin()], 1))))
        embedding = F.silu(time_ + self.label(label))
        h = self.stem(F.pixel_unshuffle(x, self.patch))
        skips = []
        for block in self.down_high:
            h = block(h, embedding)
            skips.append(h)
        h = self.reduce(h)
        for block in self.down_low:
            h = block(h, embedding)
            skips.append(h)
        h = self.down_attention(h)
        h = self.middle1(h, embedding)
        h = self.middle2(self.middle_attention(h), embedding)
        for block in self.up_low:
            h = block(torch.cat([h, skips.pop()], 1), embedding)
        h = self.enlarge(F.interpolate(self.up_attention(h), scale_factor=2, mode="nearest"))
        for block in self.up_high:
            h = block(torch.cat([h, skips.pop()], 1), embedding)
        return F.pixel_shuffle(self.out(F.silu(self.out_norm(h))), self.patch)


class CifarBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.padding = (channels - channels_in) // 2

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.padding:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(h + x)


class CifarResnet(nn.Module):
    """He et al. 2016, section 4.2, with two blocks a stage, on [-1, 1] images of one channel."""

    def __init__(self, blocks=2, width=16):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        layers, channels = [], width
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(CifarBlock(channels, width << stage, stride))
                channels = width << stage
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, CLASSES)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(((x + 1) / 2 - 0.286) / 0.353)))
        return self.linear(self.layers(h).mean((2, 3)))


class ChannelAttention(nn.Module):
    """Self-attention over pixels between 1x1 convolutions, on a group-normalised input."""

    def __init__(self, channels, heads, eps):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.heads = heads

    def forward(self, x):
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        h = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(h.transpose(-1, -2).reshape(x.shape))


class DdpmBlock(nn.Module):
    def __init__(self, channels_in, channels_out, embedding):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, channels_in, 1e-6)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.embed = nn.Linear(embedding, channels_out)
        self.norm2 = nn.GroupNorm(32, channels_out, 1e-6)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x))) + self.embed(embedding)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class DdpmUnet(nn.Module):
    """Ho et al. 2020, appendix B: the U-Net of CIFAR-10."""

    def __init__(self, channels=128, mult=(1, 2, 2, 2), blocks=2, attention_level=1):
        super().__init__()
        embedding, self.channels = 4 * channels, channels
        attends = lambda level, width: (
            ChannelAttention(width, 1, 1e-6) if level == attention_level else nn.Identity()
        )
        self.time1, self.time2 = nn.Linear(channels, embedding), nn.Linear(embedding, embedding)
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        width, skips = channels, [channels]
        self.down, self.reduce = nn.ModuleList(), nn.ModuleList()
        for level, factor in enumerate(mult):
            pairs = nn.ModuleList()
            for _ in range(blocks):
                block = DdpmBlock(width, factor * channels, embedding)
                width = factor * channels
                pairs.append(nn.ModuleList([block, attends(level, width)]))
                skips.append(width)
            self.down.append(pairs)
            if level < len(mult) - 1:
                self.reduce.append(nn.Conv2d(width, width, 3, stride=2))
                skips.append(width)
        self.middle1 = DdpmBlock(width, width, embedding)
        self.middle_attention = ChannelAttention(width, 1, 1e-6)
        self.middle2 = DdpmBlock(width, width, embedding)
        self.up, self.enlarge = nn.ModuleList(), nn.ModuleList()
        for level, factor in reversed(list(enumerate(mult))):
            pairs = nn.ModuleList()
            for _ in range(blocks + 1):
                block = DdpmBlock(width + skips.pop(), factor * channels, embedding)
                width = factor * channels
                pairs.append(nn.ModuleList([block, attends(level, width)]))
            self.up.append(pairs)
            if level:
                self.enlarge.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(32, width, 1e-6)
        self.out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x, t):
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / (half - 1))
        angles = t[:, None] * frequencies
        embedding = self.time1(torch.cat([angles.sin(), angles.cos()], 1))
        embedding = F.silu(self.time2(F.silu(embedding)))
        h = self.stem(x)
        skips = [h]
        for level, pairs in enumerate(self.down):
            for block, attention in pairs:
                h = attention(block(h, embedding))
                skips.append(h)
            if level < len(self.reduce):
                h = self.reduce[level](F.pad(h, (0, 1, 0, 1)))
                skips.append(h)
        h = self.middle1(h, embedding)
        h = self.middle2(self.middle_attention(h), embedding)
        for level, pairs in enumerate(self.up):
            for block, attention in pairs:
                h = attention(block(torch.cat([h, skips.pop()], 1), embedding))
            if level < len(self.enlarge):
                h = self.enlarge[level](F.interpolate(h, scale_factor=2, mode="nearest"))
        return self.out(F.silu(self.norm(h)))


class GuidedBlock(nn.Module):
    def __init__(self, channels_in, channels_out, embedding, resample=None):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * channels_out)
        self.norm2 = nn.GroupNorm(32, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)
        self.resample = resample or nn.Identity()

    def forward(self, x, embedding):
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(self.resample(x)) + h


class GuidedUnet(nn.Module):
    """Dhariwal & Nichol 2021: the class-conditional U-Net of ImageNet at 64 pixels."""

    def __init__(self, channels=192, mult=(1, 2, 3, 4), blocks=3, attention_levels=(1, 2, 3), classes=1000):
        super().__init__()
        embedding, self.channels = 4 * channels, channels
        attends = lambda level, width: (
            [ChannelAttention(width, width // 64, 1e-5)] if level in attention_levels else []
        )
        self.time1, self.time2 = nn.Linear(channels, embedding), nn.Linear(embedding, embedding)
        self.label = nn.Embedding(classes, embedding)
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        width, skips = channels, [channels]
        self.down = nn.ModuleList()
        for level, factor in enumerate(mult):
            for _ in range(blocks):
                block = GuidedBlock(width, factor * channels, embedding)
                width = factor * channels
                self.down.append(nn.ModuleList([block, *attends(level, width)]))
                skips.append(width)
            if level < len(mult) - 1:
                halve = GuidedBlock(width, width, embedding, nn.AvgPool2d(2))
                self.down.append(nn.ModuleList([halve]))
                skips.append(width)
        self.middle = nn.ModuleList(
            [
                GuidedBlock(width, width, embedding),
                ChannelAttention(width, width // 64, 1e-5),
                GuidedBlock(width, width, embedding),
            ]
        )
        self.up = nn.ModuleList()
        for level, factor in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                block = GuidedBlock(width + skips.pop(), factor * channels, embedding)
                width = factor * channels
                layers = [block, *attends(level, width)]
                if level and i == blocks:
                    layers.append(GuidedBlock(width, width, embedding, nn.Upsample(scale_factor=2)))
                self.up.append(nn.ModuleList(layers))
        self.norm = nn.GroupNorm(32, width)
        self.out = nn.Conv2d(width, 6, 3, padding=1)

    def forward(self, x, t, label):
        half = self.channels // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half) / half)
        angles = t[:, None] * frequencies
        time_ = self.time2(F.silu(self.time1(torch.cat([angles.cos(), angles.sin()], 1))))
        embedding = F.silu(time_ + self.label(label))

        def run(layers, h):
            for layer in layers:
                h = layer(h, embedding) if isinstance(layer, GuidedBlock) else layer(h)
            return h

        h = self.stem(x)
        skips = [h]
        for layers in self.down:
            h = run(layers, h)
            skips.append(h)
        h = run(self.middle, h)
        for layers in self.up:
            h = run(layers, torch.cat([h, skips.pop()], 1))
        return self.out(F.silu(self.norm(h)))


class BasicBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels:
            projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x):
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + self.shortcut(x))


class Resnet18(nn.Module):
    """He et al. 2016, with a 3x3 stem without pooling, on [-1, 1] images."""

    def __init__(self, classes=10):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4914, 0.4822, 0.4465])[:, None, None])
        self.register_buffer("std", torch.tensor([0.2470, 0.2435, 0.2616])[:, None, None])
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        layers, width = [], 64
        for stage in range(4):
            for block in range(2):
                layers.append(BasicBlock(width, 64 << stage, 2 if stage and not block else 1))
                width = 64 << stage
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width, classes)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(((x + 1) / 2 - self.mean) / self.std)))
        return self.linear(self.layers(h).mean((2, 3)))


def of_size(network, parameters):
    """The network, which must have as many parameters as ours."""
    found = sum(parameter.numel() for parameter in network.parameters())
    if found != parameters:
        sys.exit(f"{type(network).__name__} has {found} parameters, ours {parameters}")
    return network.eval()


def both_formats(network, x, call):
    """Variants of `call(network, x)`: contiguous and channels-last."""
    import copy

    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    x_last = x.to(memory_format=torch.channels_last)
    return {
        "contiguous": lambda: call(network, x),
        "channels-last": lambda: call(last, x_last),
    }


def inference(variants):
    def wrapped(run):
        def call():
            with torch.inference_mode():
                return run()

        return call

    return {name: wrapped(run) for name, run in variants.items()}


# ---- rows


def sgemm():
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return inference({"mm": lambda: a @ b})


def conv3x3(channels, side, batch):
    conv = nn.Conv2d(channels, channels, 3, padding=1).eval()
    x = torch.randn(batch, channels, side, side)
    return inference(both_formats(conv, x, lambda conv, x: conv(x)))


def unet_input(batch):
    t = torch.arange(batch) * 1000 // batch
    return torch.randn(batch, 1, 28, 28), t.float(), torch.arange(batch) % (CLASSES + 1)


def unet_quick():
    x, t, label = unet_input(50)
    return inference(both_formats(QuickUnet().eval(), x, lambda unet, x: unet(x, t, label)))


def train_unet_quick():
    x, t, label = unet_input(64)
    noise = torch.randn_like(x)
    optimisers = {}

    def step(unet, x):
        if unet not in optimisers:
            optimisers[unet] = torch.optim.AdamW(unet.parameters(), lr=6e-4, weight_decay=0.0)
        optimiser = optimisers[unet]
        optimiser.zero_grad(set_to_none=True)
        F.mse_loss(unet(x, t, label), noise).backward()
        optimiser.step()

    return both_formats(QuickUnet(), x, step)


def steps(batch):
    return (torch.arange(batch) * 1000 // batch).float()


def unet_ddpm_cifar10():
    x, t = torch.randn(8, 3, 32, 32), steps(8)
    unet = of_size(DdpmUnet(), 35_746_307)
    return inference(both_formats(unet, x, lambda unet, x: unet(x, t)))


def unet_guided_64():
    x, t, label = torch.randn(2, 3, 64, 64), steps(2), torch.tensor([0, 500])
    unet = of_size(GuidedUnet(), 295_904_454)
    return inference(both_formats(unet, x, lambda unet, x: unet(x, t, label)))


def classifier_resnet18_32():
    x = torch.randn(64, 3, 32, 32).tanh()
    return inference(both_formats(of_size(Resnet18(), 11_173_962), x, lambda net, x: net(x)))


STEPS = 5
BATCH = 16


def ddim_levels():
    abar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
    steps = list(range(0, 1000, 1000 // STEPS))
    return steps, [abar[t].item() for t in steps]


def move(x, eps, abar, abar_to):
    x0hat = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
    return math.sqrt(abar_to) * x0hat + math.sqrt(1 - abar_to) * eps


def invert(unet, x, null):
    """DDIM upward; inside no_grad, as the published loops."""
    steps, abar = ddim_levels()
    for i, t in enumerate(steps):
        with torch.no_grad():
            eps = unet(x, torch.full((BATCH,), float(t)), null)
            x = move(x, eps, abar[i], abar[i + 1] if i + 1 < STEPS else 1e-9)
    return x


def image_classifier_guidance():
    """As published: each setting inverts again; Clean Grad runs the U-Net once more, its graph recorded and unused."""
    classifier = CifarResnet().eval()
    label = torch.arange(BATCH) % CLASSES
    null = torch.full((BATCH,), CLASSES)

    def gradient(unet, x, t, abar, scale, cutout):
        with torch.enable_grad():
            eps = unet(x, t, null)
            x0hat = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
            factor = math.sqrt(1 - abar)
            z = (factor * x0hat + (1 - factor) * x).detach().requires_grad_(True)
            views = z
            if cutout:
                crops = []
                for _ in range(8):
                    size = int(torch.rand(()).item() ** 1.0 * (28 - 28) + 28)
                    crops.append(F.interpolate(z[:, :, :size, :size], (28, 28), mode="nearest"))
                views = torch.cat(crops)
            log_p = F.log_softmax(classifier(views), dim=-1)
            chosen = log_p.gather(1, label.repeat(len(views) // BATCH)[:, None]).sum()
            return scale * torch.autograd.grad(chosen, z)[0]

    def run(unet, image):
        steps, abar = ddim_levels()
        for scale, cutout in [(1.0, False), (1.0, True), (3.0, False), (3.0, True)]:
            x = invert(unet, image, null)
            for i in reversed(range(STEPS)):
                t = torch.full((BATCH,), float(steps[i]))
                with torch.no_grad():
                    eps = unet(x, t, null)
                    shift = gradient(unet, x, t, abar[i], scale, cutout)
                    eps = eps - math.sqrt(1 - abar[i]) * shift
                    x = move(x, eps, abar[i], abar[i - 1] if i else 1.0)

    return both_formats(QuickUnet().eval(), torch.randn(BATCH, 1, 28, 28).tanh(), run)


def image_classifier_free():
    """As published: each setting inverts again."""
    label = torch.arange(BATCH) % CLASSES
    null = torch.full((BATCH,), CLASSES)

    def run(unet, image):
        steps, abar = ddim_levels()
        for scale in [1.5, 2.0, 3.0, 5.0]:
            x = invert(unet, image, null)
            for i in reversed(range(STEPS)):
                t = torch.full((2 * BATCH,), float(steps[i]))
                free, conditional = unet(torch.cat([x, x]), t, torch.cat([null, label])).chunk(2)
                eps = free + scale * (conditional - free)
                x = move(x, eps, abar[i], abar[i - 1] if i else 1.0)

    variants = both_formats(QuickUnet().eval(), torch.randn(BATCH, 1, 28, 28).tanh(), run)
    return inference(variants)


def metrics_auroc_2m():
    """By the ranks of the pooled scores, ties shared."""
    id_, ood = torch.rand(1_000_000, dtype=torch.float64) + 0.2, torch.rand(1_000_000, dtype=torch.float64)

    def auroc():
        scores = torch.cat([id_, ood])
        positive = torch.cat([torch.ones_like(id_), torch.zeros_like(ood)])
        ordered, order = scores.sort(descending=True)
        positive = positive[order]
        last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
        tpr = positive.cumsum(0)[last] / len(id_)
        fpr = (1 - positive).cumsum(0)[last] / len(ood)
        zero = torch.zeros(1, dtype=torch.float64)
        return torch.trapezoid(torch.cat([zero, tpr]), torch.cat([zero, fpr])).item()

    return inference({"sort": auroc})


ROWS = {
    "sgemm_2048": sgemm,
    "conv3x3_128x32": lambda: conv3x3(128, 32, 16),
    "conv3x3_256x16": lambda: conv3x3(256, 16, 16),
    "conv3x3_256x8": lambda: conv3x3(256, 8, 16),
    "conv3x3_64x32": lambda: conv3x3(64, 32, 16),
    "conv3x3_32x28": lambda: conv3x3(32, 28, 32),
    "unet_quick": unet_quick,
    "train_unet_quick": train_unet_quick,
    "unet_ddpm_cifar10": unet_ddpm_cifar10,
    "unet_guided_64": unet_guided_64,
    "classifier_resnet18_32": classifier_resnet18_32,
    "image_classifier_guidance": image_classifier_guidance,
    "image_classifier_free": image_classifier_free,
    "metrics_auroc_2m": metrics_auroc_2m,
}


def timed(run):
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def peak_mib():
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return float(line.split()[1]) / 1024
    except OSError:
        pass
    return "-"


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if name not in ROWS:
        sys.exit(f"the peer has no row {name}; it has {', '.join(ROWS)}")
    variants = ROWS[name]()
    best = {}
    for variant, run in variants.items():
        run()
        best[variant] = min(timed(run) for _ in range(3))
    variant = min(best, key=best.get)
    run = variants[variant]
    repeats = min(1000, max(1, math.ceil(LEAST_MS / best[variant])))
    print(f"ready {variant}", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(peak_mib(), flush=True)
            return
        # As on our side: cores that have rested are slow to come back.
        waking = time.perf_counter()
        while (time.perf_counter() - waking) * 1e3 < WAKE_MS:
            run()
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        print((time.perf_counter() - start) * 1e3 / repeats, flush=True)


if __name__ == "__main__":
    main()
