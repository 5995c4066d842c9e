"""What a certificate costs: by script, at the first one, and in memory. Needs no stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import Any

from bench import machine
from bench.stats import median
from local.bootstrap import ROOT

FONTS = ROOT / "shared" / "rendering" / "fonts"
SCRIPTS = {
    "Latin": ("Ada Lovelace", "Reading Maps: Contours, Bearings and Scale"),
    "Greek": ("Ελένη Παπαδοπούλου", "Εισαγωγή στη χαρτογραφία"),
    "Cyrillic": ("Анна Їжакевич", "Введение в картографию"),
    "Arabic": ("محمّد الخوارزمي", "مقدّمة في قراءة الخرائط"),
    "Hebrew": ("שרה כהן", "קריאת מפות וקווי גובה"),
    "Devanagari": ("लक्ष्मी कृष्णमूर्ति", "मानचित्र पठन और दिशा"),
    "Thai": ("สมหญิง ศรีสุวรรณกุล", "การอ่านแผนที่เบื้องต้น"),
    "Chinese": ("欧阳静怡", "地图阅读入门:等高线与比例尺"),
    "Japanese": ("髙橋 直子", "地図の読み方入門・縮尺"),
    "Korean": ("김하늘", "지도 읽기 입문: 등고선과 방위"),
    "Latin, 200 and 300 letters": ("Adelheid " * 22, "Reading Maps and More " * 13),
}


@dataclass(frozen=True)
class Plan:
    """How much to render."""

    certificates: int = 100
    rounds: int = 3
    starts: int = 5


@dataclass(frozen=True)
class Script:
    """One script: seconds of CPU and by the clock for one certificate, and its size."""

    cpu: float
    clock: float
    size: int


@dataclass(frozen=True)
class Rendering:
    """What a run found."""

    cold: tuple[float, float]  # seconds of CPU and by the clock
    scripts: dict[str, Script]
    memory: dict[str, int]  # resident bytes of the press, by what it has set
    fonts: tuple[int, int]  # bytes of the fonts, and of those that only CJK needs


def measure(plan: Plan) -> Rendering:
    """Render in processes of their own, so that nothing else counts."""
    starts = [_run(Plan(certificates=0, rounds=0)) for _ in range(plan.starts)]
    found = _run(plan)
    return Rendering(
        cold=(
            median([start["first"]["cpu"] for start in starts]),
            median([start["first"]["clock"] for start in starts]),
        ),
        scripts={name: Script(**script) for name, script in found["scripts"].items()},
        memory=found["memory"],
        fonts=(_size(FONTS), _size(FONTS / "cjk")),
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.?tf"))


def _run(plan: Plan) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bench.rendering", str(plan.certificates), str(plan.rounds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


# In the process measured -------------------------------------------------------------------------


def _burnt() -> float:
    """CPU seconds of this process and of the press under it."""
    return machine.cpu_seconds({"all": os.getpid()})["all"]


def _resident() -> int:
    """Bytes of the press that are in memory now."""
    me = os.getpid()
    child = Path(f"/proc/{me}/task/{me}/children").read_text().split()[0]
    for line in Path(f"/proc/{child}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the press does not say how large it is")


def main(certificates: int, rounds: int) -> None:
    """Measure in this process, which should be fresh, and print the figures as JSON."""
    began = perf_counter()
    from shared.rendering import CertificateFacts, render

    def one(script: str, number: int) -> bytes:
        name, title = SCRIPTS[script]
        return render(
            CertificateFacts(
                learner_name=f"{name} {number}",
                course_title=title,
                author="Inge Lehmann",
                issuer_name="The Open Cartography School",
                hours=Decimal(24),
                score=Decimal("92.5"),
                completed_on=date(2026, 11, 20),
                issued_on=date(2026, 11, 21),
                code=f"K7QW-3MPX-{number:08}",
                verify_url=f"https://learn.example.org/certificates/verify/K7QW3MPX{number:08}",
            )
        )

    one("Latin", 0)
    first = {"cpu": _burnt(), "clock": perf_counter() - began}
    memory = {"one certificate": _resident()}
    scripts: dict[str, dict[str, float]] = {}
    number = 0
    if rounds:
        for script in SCRIPTS:
            rounds_of_it = []
            one(script, 0)
            for _ in range(rounds):
                burnt, clock = _burnt(), perf_counter()
                for _ in range(certificates):
                    number += 1
                    pdf = one(script, number)
                rounds_of_it.append(
                    ((_burnt() - burnt) / certificates, (perf_counter() - clock) / certificates)
                )
            scripts[script] = {
                "cpu": median([cpu for cpu, _ in rounds_of_it]),
                "clock": median([seconds for _, seconds in rounds_of_it]),
                "size": len(pdf),
            }
            if script == "Latin":
                memory[f"{number:,} certificates in Latin"] = _resident()
        memory[f"{number:,} in all scripts"] = _resident()
    json.dump({"first": first, "scripts": scripts, "memory": memory}, sys.stdout)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
