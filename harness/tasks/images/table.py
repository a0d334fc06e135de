"""SAFE's eight image sets as data: classes, where the hub has them, sizes."""

from __future__ import annotations

from dataclasses import dataclass

CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"
)  # fmt: skip
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class ImageSpec:
    """One set.

    Attributes:
        repository: on the hub.
        test: the split that is reported, as the hub calls it.
        rows: official numbers of training and test images.
        num_labels: classes.
        label: what the hub calls the label's column.
        names: of the classes in the order of their numbers, where they are few.
        revision: of the repository: its main branch, which is Parquet for all but Country-211.
    """

    name: str
    description: str
    repository: str
    test: str
    rows: tuple[int, int]
    num_labels: int
    label: str = "label"
    names: tuple[str, ...] = ()
    revision: str = "main"


_TABLE = (
    ImageSpec("cifar10", "CIFAR-10: ten kinds of things, 32 x 32", "uoft-cs/cifar10", "test",
              (50_000, 10_000), 10, names=CIFAR10),
    ImageSpec("cifar100", "CIFAR-100: a hundred kinds of things, 32 x 32", "uoft-cs/cifar100",
              "test", (50_000, 10_000), 100, label="fine_label"),
    # Tar archives of images and classes; their only commit.
    ImageSpec("country211", "Country-211: in which country a photograph was taken",
              "clip-benchmark/wds_country211", "test", (28_000, 21_100), 211, label="cls",
              revision="1699f138f0558342a1cbf99f7cf36b4361bb5ebc"),
    ImageSpec("fashion_mnist", "Fashion-MNIST: ten kinds of clothes, 28 x 28, grey",
              "zalando-datasets/fashion_mnist", "test", (60_000, 10_000), 10, names=FASHION),
    ImageSpec("food101", "Food-101: dishes", "ethz/food101", "validation", (75_750, 25_250), 101),
    ImageSpec("oxford_flowers", "Oxford Flowers: 102 kinds of flowers", "nelorth/oxford-flowers",
              "test", (7_169, 1_020), 102),
    ImageSpec("stanford_cars", "Stanford Cars: makes, models and years", "tanganke/stanford_cars",
              "test", (8_144, 8_041), 196),
    ImageSpec("tiny_imagenet", "Tiny ImageNet: 200 classes, 64 x 64", "zh-plus/tiny-imagenet",
              "valid", (100_000, 10_000), 200),
)  # fmt: skip
IMAGES = {spec.name: spec for spec in _TABLE}
