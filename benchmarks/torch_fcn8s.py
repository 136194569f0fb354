"""FCN-8s as one would write it in plain PyTorch: the peer of the benchmarks."""

import torch.nn.functional as F
from torch import nn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))      # channels, convolutions


class FCN8s(nn.Module):
    """VGG-16 with fc6 and fc7 as convolutions, and three fused scores (Long et al. 2015)."""

    def __init__(self, classes=21, width=1.0):
        super().__init__()
        before, stages = 3, []
        pool3, pool4, fc = (round(channels * width) for channels in (256, 512, 4096))
        for number, (channels, count) in enumerate(STAGES):
            layers, channels = [], round(channels * width)
            for i in range(count):
                pad = 100 if number == i == 0 else 1
                layers += [nn.Conv2d(before, channels, 3, padding=pad), nn.ReLU(inplace=True)]
                before = channels
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2, 2, ceil_mode=True)))
        self.stages = nn.ModuleList(stages)
        self.head = nn.Sequential(
            nn.Conv2d(before, fc, 7), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Conv2d(fc, fc, 1), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Conv2d(fc, classes, 1))
        self.score_pool4 = nn.Conv2d(pool4, classes, 1)
        self.score_pool3 = nn.Conv2d(pool3, classes, 1)
        self.up2 = nn.ConvTranspose2d(classes, classes, 4, 2, bias=False)
        self.up4 = nn.ConvTranspose2d(classes, classes, 4, 2, bias=False)
        self.up8 = nn.ConvTranspose2d(classes, classes, 16, 8, bias=False)
        for up in (self.up2, self.up4, self.up8):
            up.weight.requires_grad_(False)

    def forward(self, image):
        pools = []
        x = image
        for stage in self.stages:
            x = stage(x)
            pools.append(x)
        x = self.up2(self.head(x))
        x = self.up4(x + _crop(self.score_pool4(pools[3]), x, 5))
        x = self.up8(x + _crop(self.score_pool3(pools[2]), x, 9))
        return _crop(x, image, 31)


def _crop(x, like, offset):
    height, width = like.shape[2:]
    return x[:, :, offset:offset + height, offset:offset + width]


def loss(scores, labels):
    """The summed softmax loss, void ignored."""
    return F.cross_entropy(scores, labels, ignore_index=255, reduction="sum")
