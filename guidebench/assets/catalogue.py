"""Files that a testbed needs and that cannot be shipped with it: what each is, its licence, where it comes from.

A digest is listed as published if it was computed from the file, or if it and the size are the same in several public
copies. One that is known from a single copy only warns. Without either, the size is rounded, since it follows from the
number of parameters, and the digest of the first file that is added is recorded (`guidebench.assets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from guidebench import text
from guidebench.errors import unknown_name
from guidebench.text import bytes_in_words

Format = Literal["pickle", "torch", "numpy", "onnx-pack"]

_NGC_EG3D = (
    "https://api.ngc.nvidia.com/v2/models/nvidia/research/eg3d/versions/1/files"  # EG3D's viewer fetches it here
)
_GUIDE = "the Google Drive folder that the README of https://github.com/KU-VGI/GUIDE links"
_INSIGHTFACE_PYTORCH = "https://github.com/TreB1eN/InsightFace_Pytorch"
_INSIGHTFACE = "https://github.com/deepinsight/insightface"


_FACES = ("eg3d-ffhq", "stylegan2-ffhq")  # testbeds of published face generators
_ALL = (*_FACES, "eg3d-afhq")


@dataclass(frozen=True)
class Asset:
    """One file, or one folder of ONNX files, to be placed by hand or fetched."""

    id: str
    file: str  # its name in the assets folder; for an ONNX pack the name of a folder
    role: str  # what it is and what it is for
    licence: str
    size: int  # bytes, about; of the download
    origin: str  # where people find it
    format: Format
    urls: tuple[str, ...] = ()  # tried in this order; none: it has to be placed by hand
    sha256: str = ""  # hexadecimal; 64 digits, or the first few if no more is known, or none
    seen_sha256: str = ""  # of the only public copy that is known; a file with another digest is taken with a warning
    archive_sha256: str = ""  # ONNX pack: of the zip archive that is fetched
    testbeds: tuple[str, ...] = _FACES  # that need or can use it
    without: str = ""  # what happens without it; "": it is required
    instead: tuple[str, ...] = ()  # ids of assets that serve as well
    also: tuple[str, ...] = ()  # other names under which the same file is published
    members: tuple[str, ...] = ()  # ONNX pack: the files that it must hold

    @property
    def needed(self) -> str:
        """In words: whether a testbed can do without it."""
        if self.instead:
            return f"this or {' or '.join(self.instead)}"
        return f"optional: {self.without}" if self.without else "required"


def _mtcnn(name: str, size: int, sha256: str) -> Asset:
    return Asset(
        f"mtcnn-{name}",
        f"{name}.npy",
        f"MTCNN {name[0].upper()}-Net: finds faces for the CurricularFace judge",
        "MIT",
        size,
        _INSIGHTFACE_PYTORCH,
        "numpy",
        urls=(f"{_INSIGHTFACE_PYTORCH}/raw/350ff7a/mtcnn_pytorch/src/weights/{name}.npy",),
        sha256=sha256,
    )


def _arcface(pack: str, size: int, archive_sha256: str, members: tuple[str, str], instead: str) -> Asset:
    return Asset(
        f"arcface-{pack}",
        pack,
        "ArcFace with its face detector (insightface pack): the second judge of identity",
        "non-commercial research only (insightface model packs)",
        size,
        f"{_INSIGHTFACE} (its releases, {pack}.zip)",
        "onnx-pack",
        urls=tuple(f"{_INSIGHTFACE}/releases/download/{tag}/{pack}.zip" for tag in ("v0.7", "model-zoo")),
        archive_sha256=archive_sha256,
        instead=(f"arcface-{instead}",),
        members=members,
    )


def _stylegan2(asset_id: str, file: str, role: str, size: int, origin: str, form: Format, **more: Any) -> Asset:
    licence = "NVIDIA source code licence (non-commercial)"
    return Asset(asset_id, file, role, licence, size, origin, form, testbeds=("stylegan2-ffhq",), **more)


def _alternatives(*assets: Asset) -> tuple[Asset, ...]:
    """Assets of which one is enough."""
    return tuple(replace(asset, instead=tuple(other.id for other in assets if other is not asset)) for asset in assets)


ASSETS: tuple[Asset, ...] = (
    Asset(
        "eg3d-ffhq",
        "ffhqrebalanced512-128.pkl",
        "EG3D trained on FFHQ at 512 px: the generator",
        "NVIDIA source code licence (non-commercial)",
        377_644_956,
        "the EG3D models of NVIDIA NGC, https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/eg3d",
        "pickle",
        urls=(f"{_NGC_EG3D}/ffhqrebalanced512-128.pkl",),
        seen_sha256="7f418947f38202a3c4c9de6e18d0617b380dd5e42c21ba78efe8cc235fde44a7",
        testbeds=("eg3d-ffhq",),
    ),
    Asset(
        "eg3d-w-avg",
        "w_avg_ffhqrebalanced512-128.pt",
        "the average latent code as GUIDE's script loads it",
        "none stated",
        30_000,
        _GUIDE,
        "torch",
        testbeds=("eg3d-ffhq",),
        without="the generator's own average, mapping.w_avg, is used",
    ),
    Asset(
        "goae",
        "encoder_FFHQ.pt",
        "GOAE encoder: inverts photographs",
        "none stated",
        456_000_000,
        _GUIDE,
        "torch",
        testbeds=("eg3d-ffhq",),
    ),
    Asset(
        "ir-se50",
        "model_ir_se50.pth",
        "IR-SE-50 ArcFace: the recogniser that methods train with",
        "MIT (code); its training photographs have terms of their own",
        175_367_323,
        f"{_INSIGHTFACE_PYTORCH} (links in its README); the same file: the releases of https://github.com/xinntao/facexlib",
        "torch",
        urls=("https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",),
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        also=("recognition_arcface_ir_se50.pth",),
        testbeds=_ALL,
    ),
    Asset(
        "curricularface",
        "CurricularFace_Backbone.pth",
        "CurricularFace, IR-101: the first judge of identity",
        "as its repository says; its training photographs have terms of their own",
        261_000_000,
        "https://github.com/HuangYG123/CurricularFace (links in its README)",
        "torch",
        seen_sha256="031ea0f7ba5f46905980cc446f0bbf9539e361246bff95f7077efffe2f110e04",
    ),
    _mtcnn("pnet", 41_271, "03e19e5c473932ab38f5a6308fe6210624006994a687e858d1dcda53c66f18cb"),
    _mtcnn("rnet", 604_651, "5660aad67688edc9e8a3dd4e47ed120932835e06a8a711a423252a6f2c747083"),
    _mtcnn("onet", 2_345_483, "313141c3646bebb73cb8350a2d5fee4c7f044fb96304b46ccc21aeea8b818f83"),
    Asset(
        "vgg16",
        "vgg16-397923af.pth",
        "VGG16 trained on ImageNet: the network under LPIPS",
        "BSD-3-Clause (torchvision)",
        553_433_881,
        "https://github.com/pytorch/vision (its model weights)",
        "torch",
        testbeds=_ALL,
        urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
    Asset(
        "lpips-lin",
        "vgg.pth",
        "the linear weights of LPIPS 0.1 on VGG16",
        "BSD-2-Clause",
        7_289,
        "https://github.com/richzhang/PerceptualSimilarity (also inside the lpips package)",
        "torch",
        testbeds=_ALL,
        urls=("https://github.com/richzhang/PerceptualSimilarity/raw/082bb24/lpips/weights/v0.1/vgg.pth",),
        sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",  # of lpips 0.1.4
    ),
    Asset(
        "fid-inception",
        "pt_inception-2015-12-05-6726825d.pth",
        "Inception of 2015: the features of FID",
        "Apache-2.0",
        95_628_359,
        "https://github.com/toshas/torch-fidelity (release v0.2.0)",
        "torch",
        testbeds=_ALL,
        urls=(
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
            "weights-inception-2015-12-05-6726825d.pth",
        ),
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        also=("weights-inception-2015-12-05-6726825d.pth",),
    ),
    _arcface(
        "buffalo_l",
        288_621_354,
        "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        ("det_10g.onnx", "w600k_r50.onnx"),
        "antelopev2",
    ),
    _arcface(
        "antelopev2",
        360_662_982,
        "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        ("scrfd_10g_bnkps.onnx", "glintr100.onnx"),  # the detectors of both packs are the same file
        "buffalo_l",
    ),
    Asset(
        "ffhq-real",
        "ffhq-real.npz",
        "FID features or statistics of real FFHQ photographs",
        "yours to make; FFHQ itself: CC BY-NC-SA 4.0",
        34_000_000,
        "your own copy of FFHQ, cropped as for EG3D",
        "numpy",
        testbeds=("eg3d-ffhq",),
        without="ΔFID_real is not measured",
    ),
    *_alternatives(
        _stylegan2(
            "stylegan2-ffhq",
            "ffhq.pkl",
            "StyleGAN2 trained on FFHQ at 1024 px, as NVIDIA converted it to PyTorch: the generator",
            381_624_121,
            "https://github.com/NVlabs/stylegan2-ada-pytorch (its pretrained networks)",
            "pickle",
            urls=("https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/ffhq.pkl",),
        ),
        _stylegan2(
            "stylegan2-ffhq-pt",
            "stylegan2-ffhq-config-f.pt",
            "the same network in a file of rosinality's stylegan2-pytorch, as pSp and e4e use it",
            381_462_551,
            "https://github.com/eladrich/pixel2style2pixel (links in its README)",
            "torch",
        ),
        _stylegan2(
            "stylegan2-ffhq-tf",
            "stylegan2-ffhq-config-f.pkl",
            "the same network as it was published first, for TensorFlow",
            381_673_535,
            "https://github.com/NVlabs/stylegan2 (its pretrained networks)",
            "pickle",
            urls=("https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/stylegan2-ffhq-config-f.pkl",),
        ),
    ),
    *_alternatives(
        Asset(
            "e4e",
            "e4e_ffhq_encode.pt",
            "e4e encoder: inverts photographs for StyleGAN2",
            "MIT (code); the StyleGAN2 in it: NVIDIA source code licence (non-commercial)",
            1_201_649_680,
            "https://github.com/omertov/encoder4editing (links in its README)",
            "torch",
            testbeds=("stylegan2-ffhq",),
            sha256="2ace1d9a8c05c10a399bcd500b8dda118f759ff1aac89dbdab7435f2136a0999",
        ),
        Asset(
            "psp",
            "psp_ffhq_encode.pt",
            "pSp encoder: inverts photographs for StyleGAN2, nearer to the pixels than e4e",
            "MIT (code); the StyleGAN2 in it: NVIDIA source code licence (non-commercial)",
            1_200_000_000,
            "https://github.com/eladrich/pixel2style2pixel (links in its README)",
            "torch",
            testbeds=("stylegan2-ffhq",),
        ),
    ),
    Asset(
        "ffhq-1024-real",
        "ffhq-1024-real.npz",
        "FID features or statistics of real FFHQ photographs at 1024 px",
        "yours to make; FFHQ itself: CC BY-NC-SA 4.0",
        34_000_000,
        "your own copy of FFHQ, as it is published",
        "numpy",
        testbeds=("stylegan2-ffhq",),
        without="ΔFID_real is not measured",
    ),
    Asset(
        "eg3d-afhq",
        "afhqcats512-128.pkl",
        "EG3D trained on the cats of AFHQv2 at 512 px: the generator",
        "NVIDIA source code licence (non-commercial)",
        350_000_000,
        "the EG3D models of NVIDIA NGC, https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/eg3d",
        "pickle",
        testbeds=("eg3d-afhq",),
        urls=("https://api.ngc.nvidia.com/v2/models/nvidia/research/eg3d/versions/1/files/afhqcats512-128.pkl",),
    ),
    Asset(
        "goae-afhq",
        "encoder_AFHQ.pt",
        "GOAE encoder for cats: inverts photographs",
        "none stated",
        456_000_000,
        "the authors of GOAE (arXiv 2303.12326); not among the files that their README links",
        "torch",
        testbeds=("eg3d-afhq",),
    ),
    Asset(
        "afhq-real",
        "afhq-real.npz",
        "FID features or statistics of real photographs of cats",
        "yours to make; AFHQ itself: CC BY-NC 4.0",
        34_000_000,
        "your own copy of AFHQv2",
        "numpy",
        testbeds=("eg3d-afhq",),
        without="ΔFID_real is not measured",
    ),
)


def named(asset_id: str) -> Asset:
    """The asset of this id; raises BadInput with the closest match otherwise."""
    for asset in ASSETS:
        if asset.id == asset_id:
            return asset
    raise unknown_name("asset", asset_id, [asset.id for asset in ASSETS], command="guidebench assets list")


def needed_by(testbed: str) -> list[Asset]:
    """What a testbed needs or can use, by its name, in the order of the catalogue; nothing for any other name."""
    return [asset for asset in ASSETS if testbed in asset.testbeds]


def markdown_table(assets: Sequence[Asset] = ASSETS) -> str:
    """The table of docs/assets.md."""
    heads = ["id", "file", "what it is", "needed", "licence", "about", "where it comes from", "SHA-256"]
    rows = []
    for asset in assets:
        how = "`fetch`" if asset.urls else "by hand"
        known = "recorded when added"
        if asset.sha256:
            known = f"`{asset.sha256[:12]}…`" if len(asset.sha256) > 12 else f"`{asset.sha256}…` (no more is known)"
        elif asset.seen_sha256:
            known = f"`{asset.seen_sha256[:12]}…`, of one copy: another warns"
        elif asset.archive_sha256:
            known = f"`{asset.archive_sha256[:12]}…`, of the zip"
        cells = [f"`{asset.id}`", f"`{asset.file}`", asset.role, asset.needed, asset.licence]
        rows.append([*cells, bytes_in_words(asset.size), f"{how}: {asset.origin}", known])
    return text.markdown_table(heads, rows, left=len(heads))
