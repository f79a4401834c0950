"""What is aimed at: reference time over ours, in one run on one device. "must" ships, "goal" is what we are after."""

from __future__ import annotations

from typing import NamedTuple

CUDNN, COMPILED, COPY = "torch", "torch.compile", "copy of as many bytes"


class Goal(NamedTuple):
    """One line: cases whose `goal` is `key` count, their candidate `versus` is divided by ours."""

    key: str
    what: str
    versus: str
    must: float
    goal: float


# On a GPU: bfloat16, channels_last, time on the device. On a CPU: float32, one thread.
GOALS = (
    Goal("G1", "convolution 3x3 stride 1, forward", CUDNN, 0.80, 1.0),
    Goal("G2", "convolution 1x1 with norm, sum and activation in one", CUDNN, 1.7, 2.5),
    Goal("G2 plain", "convolution 1x1", CUDNN, 0.95, 1.0),
    Goal("G3", "stride 2, 7x7 on pictures, dilated, transposed", CUDNN, 0.70, 1.0),
    Goal("G4 input", "convolution, gradient of the input", CUDNN, 0.70, 0.9),
    Goal("G4 weight", "convolution, gradient of the weight", CUDNN, 0.65, 0.85),
    Goal("G5 attorch", "convolution forward, float16", "attorch", 2.0, 5.0),
    Goal("G5 FlagGems", "convolution forward, float16", "FlagGems", 2.0, 5.0),
    Goal("G5 Inductor", "convolution forward, float16", "Inductor, Triton only", 1.0, 1.3),
    Goal("G6", "depthwise convolution, forward", CUDNN, 1.5, 4.0),
    Goal("G6 backward", "depthwise convolution, backward", CUDNN, 1.5, 3.0),
    Goal("G7", "ResNet-50 inference, batch 32 and 128", CUDNN, 1.7, 2.3),
    Goal("G7", "ResNet-50 inference, batch 32 and 128", COMPILED, 0.90, 1.05),
    Goal("G7 VGG", "VGG-16 inference, batch 32", CUDNN, 1.1, 1.3),
    Goal("G8", "batch 1: ResNet-50 and tiny YOLO, one graph", CUDNN, 3.0, 5.0),
    Goal("G8", "batch 1: ResNet-50 and tiny YOLO, one graph", COMPILED, 0.9, 1.2),
    Goal("G9", "training step, ResNet-18 and ResNet-50", CUDNN, 0.85, 1.15),
    Goal("G9", "training step, ResNet-18 and ResNet-50", COMPILED, 0.65, 0.9),
    Goal("G10", "memory-bound layers, share of copy bandwidth", COPY, 0.75, 0.9),
    Goal("G10 LRN", "local response normalization", CUDNN, 3.0, 8.0),
    Goal("G11", "style transfer at 512 pixels, a step", "torch, eager", 1.5, 2.5),
    Goal("G12", "Gram matrices of five layers", "torch.bmm", 1.3, 2.0),
    Goal("G13", "PGD-10 on ResNet-18", "torchattacks", 1.5, 3.0),
    Goal("G14", "k-means assignment, 1 M x 128, 4,096 words", "torch, chunked", 2.5, 4.7),
    Goal("G15", "NMS, up to 1,000 boxes", "torchvision", 1.0, 3.0),
    Goal("G15 large", "NMS, 10,000 boxes", "torchvision", 0.6, 1.0),
    Goal("C1", "CPU inference of three networks", "ONNX Runtime", 0.85, 1.0),
    Goal("C1", "CPU inference of three networks", "OpenCV DNN", 0.95, 1.10),
    Goal("C1", "CPU inference of three networks", "torch", 1.35, 1.6),
    Goal("C2", "CPU k-means, 30 k x 128, 300 words", "cv2.kmeans", 3.0, 4.5),
    Goal("C2", "CPU k-means, 30 k x 128, 300 words", "scikit-learn", 0.65, 1.0),
    Goal("C3", "CPU encoding, 2,000 descriptors, 1,000 words", "cv2.BFMatcher", 5.0, 5.6),
    Goal("C3", "CPU encoding, 2,000 descriptors, 1,000 words", "FLANN", 1.8, 2.1),
    Goal("C4", "CPU NMS, 1,000 boxes", "cv2.dnn.NMSBoxes", 0.8, 1.0),
    Goal("C5", "CPU training, one epoch of fit()", "by hand", 0.97, 1.0),
    Goal("C6", "CPU segmentation, predict() at 360x480", "ONNX Runtime", 0.9, 1.0),
    Goal("C7", "CPU figures of segmentation masks", "torchmetrics", 1.0, 5.0),
    Goal("C8", "CPU exact chi-squared kernel, 600 words", "scikit-learn", 3.0, 4.0),
    Goal("C9", "CPU PGD-10 on LeNet-5 and small-cifar10, ours stopping at success", "torchattacks", 1.5, 2.0),
    Goal("C10", "CPU AutoAttack, as robust an accuracy within 0.5 points", "torchattacks", 1.0, 1.5),
    Goal("C11", "CPU style transfer, a step at 256 and 512 pixels", "torch, eager", 1.15, 1.5),
)
