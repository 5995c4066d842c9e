"""Makes shared/rendering/fonts anew; needed only to change a font, since the result is committed.

    .venv/bin/python -m local.fonts [FOLDER]

The sources are pinned packages of npm and of Debian 12, fetched by `npm pack` and `apt-get
download`, so it runs on Debian. Each must have its checksum; like sources give like files.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import uharfbuzz

FOLDER = Path(__file__).resolve().parent.parent / "shared" / "rendering" / "fonts"

NPM = {
    "@expo-google-fonts/amiri@0.4.1": (
        "7228928b40d7c178cc00df1f5098dd7cce2d9294def732027c1f4be5c7abaddc",
        ["400Regular/Amiri_400Regular.ttf"],
    ),
    "@expo-google-fonts/cormorant-sc@0.4.1": (
        "b348ce74bd9c7ea6ae1ede7834b32648274a12c2091c98a0b8f086e896641c38",
        ["500Medium/CormorantSC_500Medium.ttf"],
    ),
    "@expo-google-fonts/eb-garamond@0.4.3": (
        "4b394f925314ad33790d571812b99370612ed40ca470ac64f9a98ab637dfea20",
        [
            "400Regular/EBGaramond_400Regular.ttf",
            "400Regular_Italic/EBGaramond_400Regular_Italic.ttf",
            "500Medium/EBGaramond_500Medium.ttf",
        ],
    ),
    "@expo-google-fonts/frank-ruhl-libre@0.4.1": (
        "e07dcaf8d328a97bf10ab0e6474adaf53932a5ea6c2e0843b182d4567e6b0118",
        ["400Regular/FrankRuhlLibre_400Regular.ttf"],
    ),
    "@expo-google-fonts/noto-emoji@0.4.7": (
        "6a25fd5a4da5bb34bbc2d300531bbf32de86afd866e119314d7e358f61a6104d",
        ["400Regular/NotoEmoji_400Regular.ttf"],
    ),
}
_SERIF = (
    "", "Armenian", "Bengali", "Devanagari", "Ethiopic", "Georgian", "Gujarati", "Gurmukhi",
    "Hebrew", "Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Sinhala", "Tamil", "Telugu",
    "Thai", "Tibetan",
)  # fmt: skip
DEBIAN = {
    "fonts-noto-core=20201225-1": (
        "58f4f0bb6720f919f92096b3508e1412a0f1544424ade6c5b5bf1eb694dd64ba",
        [
            *(f"usr/share/fonts/truetype/noto/NotoSerif{name}-Regular.ttf" for name in _SERIF),
            "usr/share/fonts/truetype/noto/NotoSansOriya-Regular.ttf",
        ],
    ),
    "fonts-noto-cjk=1:20220127+repack1-1": (
        "4a2515eb6db3978b897fef9709ed0d2b1f4c6c4df4d83d6c4ef65f71f1b1f502",
        ["usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc"],
    ),
}
# Of that collection: the face whose shapes are Simplified Chinese unless the language says else,
# with what a line set horizontally needs, which halves it.
_CJK_FACE = 2
_CJK_FEATURES = ("locl", "ccmp", "ljmo", "vjmo", "tjmo")
_CJK_DROPPED = ("BASE", "VORG", "vhea", "vmtx")


def main(folder: Path = FOLDER) -> None:
    """Fetch the sources and write one font file for each face."""
    for package, (digest, paths) in NPM.items():
        archive = _fetched(["npm", "pack", "--silent", package], "*.tgz", digest)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for path in paths:
                _write(folder, path, _member(files, f"package/{path}"))
    for package, (digest, paths) in DEBIAN.items():
        archive = _fetched(["apt-get", "download", "--quiet", package], "*.deb", digest)
        with tarfile.open(fileobj=io.BytesIO(_data_of(archive))) as files:
            for path in paths:
                _write(folder, path, _member(files, f"./{path}"))


def _fetched(command: list[str], pattern: str, digest: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(folder).glob(pattern)).read_bytes()
    if hashlib.sha256(archive).hexdigest() != digest:
        sys.exit(f"{command[-1]} is not what it was when its checksum was written down")
    return archive


def _data_of(package: bytes) -> bytes:
    """The files of a Debian package, as a tar archive: the ar member data.tar.xz."""
    at = 8
    while at < len(package):
        name, size = package[at : at + 16].decode().strip(), int(package[at + 48 : at + 58])
        at += 60
        if name.startswith("data.tar.xz"):
            return lzma.decompress(package[at : at + size])
        at += size + size % 2
    sys.exit("the Debian package holds no data.tar.xz")


def _member(files: tarfile.TarFile, path: str) -> bytes:
    found = files.extractfile(path)
    assert found is not None, path
    return found.read()


def _write(folder: Path, path: str, data: bytes) -> None:
    name = Path(path).stem.replace("_", "-")
    is_cjk = path.endswith(".ttc")
    face = uharfbuzz.Face(data, _CJK_FACE if is_cjk else 0)
    wanted = uharfbuzz.SubsetInput()
    if is_cjk:
        wanted.unicode_set.update(face.unicodes)
        wanted.layout_feature_tag_set.clear()
        wanted.layout_feature_tag_set.update(_tag(feature) for feature in _CJK_FEATURES)
        wanted.drop_table_tag_set.update(_tag(table) for table in _CJK_DROPPED)
        wanted.flags |= uharfbuzz.SubsetFlags.NOTDEF_OUTLINE
    else:
        wanted.keep_everything()
    # Hints are for low-resolution screens; in print they are dead weight.
    wanted.flags |= uharfbuzz.SubsetFlags.NO_HINTING
    made = uharfbuzz.subset(face, wanted).blob.data
    target = folder / (f"cjk/{name}.otf" if is_cjk else f"common/{name}.ttf")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(made)
    print(f"{len(made):>10,} {target.name}")


def _tag(name: str) -> int:
    return int.from_bytes(name.encode(), "big")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
