"""Templates are programs of the operator's: they may draw what they like and reach nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from shared.rendering import RenderError, render, renderer
from tests.rendering import reading
from tests.rendering.conftest import Render
from tests.rendering.samples import ADA, facts

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "shared" / "rendering" / "templates" / "completion.typ").read_text("utf-8")

NewPress = Callable[[], None]

# What means something to Typst, to HTML, to SVG or to PDF.
MARKUP = (
    '#panic("x")', '#read("/etc/passwd")', "#{ while true {} }", "[*bold* _italic_ `raw`]",
    "$x^2$", "\\u{41} \\ \\n", "<label> @ref", "= Heading - list + enum / term: x", "// gone",
    "/* gone */", "<b>&amp;</b><!-- -->", "\"quotes\" 'single' --- ... ~", "{{x}} %s {0} ${x}",
    "</svg><script>alert(1)</script>", ") Tj ET (", "%%EOF", '"}, "learner_name": "Eve',
    "https://evil.example",
)  # fmt: skip


@pytest.mark.parametrize("markup", MARKUP)
def test_names_and_titles_are_printed_as_they_are(rendered: Render, markup: str) -> None:
    pdf = rendered(
        replace(facts(markup, f"On {markup}", f"By {markup}"), issuer_name=f"At {markup}")
    )
    text = reading.text(pdf)
    for words in (markup, f"On {markup}", f"By {markup}", f"At {markup}"):
        assert reading.squeezed(words) in text, words
    about = reading.reader(pdf).metadata
    assert about is not None
    assert about.subject == f"{markup} completed On {markup}"
    assert reading.links(pdf) == {ADA.verify_url}


def test_a_template_of_ones_own_is_used(rendered: Render) -> None:
    template = """
        #import "waymark.typ": certificate, day, fit, qr, written
        #set page(width: 200mm, height: 100mm, flipped: false, margin: 10mm)
        #fit(certificate.learner_name, size: 30pt, height: 15mm)
        hat bestanden: #written(certificate.course_title) am
        #day(certificate.issued_on).display("[day].[month].[year]")
        #qr(size: 30mm)
    """
    pdf = rendered(ADA, template)
    assert reading.size(pdf) == (200.0, 100.0)
    text = reading.text(pdf)
    assert "AdaLovelacehatbestanden:ReadingMaps" in text
    assert "21.11.2026" in text
    assert reading.codes(pdf) == [ADA.verify_url]
    about = reading.reader(pdf).metadata
    assert about is not None
    assert "Ada Lovelace" in (about.title or "")


def test_the_shipped_template_is_a_template_like_any_other(rendered: Render) -> None:
    assert rendered(ADA, SHIPPED) == rendered(ADA)


def test_a_template_that_screen_readers_cannot_use_is_made_all_the_same(rendered: Render) -> None:
    without_name = "#image(bytes(\"<svg xmlns='http://www.w3.org/2000/svg'/>\"))"
    metadata = reading.reader(rendered(ADA, without_name)).root_object["/Metadata"]
    assert b"pdfuaid" not in metadata.get_data()


def test_today_is_the_day_of_issue(rendered: Render) -> None:
    assert "2026-11-21" in reading.text(rendered(ADA, "#datetime.today().display()"))


SVG = "#image(bytes(\"<svg xmlns='http://www.w3.org/2000/svg'><image href='{}'/></svg>\"))"
BROKEN = {
    "#let x =": "line 1: expected expression",
    "a\nb\n#nope": "line 3: unknown variable: nope",
    '#import "waymark.typ": certificate\n#certificate.nope': "line 2: dictionary does not contain",
    '#import "waymark.typ": day\n\n#day("soon")': "line 3: ",
    '#panic("no more paper")': "line 1: panicked with",
    "#while true {}": "line 1: condition is always true",
    "#let f(n) = f(n + 1)\n#f(0)": "line 1: maximum function call depth exceeded",
    '#read("/etc/passwd")': "line 1: file not found",
    '#read("../../press.py")': "line 1: path",
    '#read("completion.typ")': "line 1: ",
    '#image("/etc/hostname")': "line 1: file not found",
    '#include "/proc/self/environ"': "line 1: file not found",
    '#plugin("/usr/lib/x.wasm")': "line 1: file not found",
    '#import "@local/anything:1.0.0": *': "line 1: package not found",
    '#import ("@pre" + "view/cetz:0.3.4")': "line 1: failed to download package",
    SVG.format("/etc/hostname"): "line 1: failed to load linked image",
    SVG.format("http://127.0.0.1/x.png"): "line 1: failed to load linked image",
}  # fmt: skip


@pytest.mark.parametrize("template", BROKEN)
def test_a_broken_template_says_where_and_why_on_one_line(template: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(ADA, template)
    reason = str(caught.value)
    assert reason.startswith(BROKEN[template])
    assert "\n" not in reason
    assert len(reason) <= 300
    for secret in (str(ROOT), "Traceback", "searched", "packages.typst"):
        assert secret not in reason


def test_an_endless_reason_is_cut() -> None:
    with pytest.raises(RenderError) as caught:
        render(ADA, '#panic("x" * 100000)')
    assert len(str(caught.value)) == 300


def test_a_broken_template_is_in_nobodys_way(rendered: Render) -> None:
    with pytest.raises(RenderError):
        render(ADA, "#nope")
    assert render(ADA) == rendered(ADA)


@pytest.mark.parametrize(
    "template",
    [
        "#range(1000000000)",
        '#("x" * 2000000000)',
        '#{ let a = "x"; for i in range(60) { a = a + a }; a }',
    ],
)
def test_a_template_that_wants_all_memory_gets_none(rendered: Render, template: str) -> None:
    with pytest.raises(RenderError, match="too much memory"):
        render(ADA, template)
    assert render(ADA) == rendered(ADA)


SLOW = "#for i in range(9000) { for j in range(9000) { for k in range(9000) { let x = i } } }"


def test_a_template_without_end_is_ended(rendered: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    render(ADA)
    monkeypatch.setattr(renderer, "SECONDS", 0.5)
    with pytest.raises(RenderError, match="too long"):
        render(ADA, SLOW)
    monkeypatch.undo()
    assert render(ADA) == rendered(ADA)


def test_a_template_as_large_as_a_book_is_refused() -> None:
    with pytest.raises(RenderError, match="longer than 262,144 characters"):
        render(ADA, "x" * 300_000)


def test_output_as_large_as_a_book_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "MAX_PDF", 100_000)
    with pytest.raises(RenderError, match="PDF is larger than"):
        render(ADA, "#pagebreak()\n" * 1000)


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """A server that writes down who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        callers: list[bytes] = []
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    callers.append(connection.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", callers
        finally:
            time.sleep(0.2)
            done.set()
            thread.join()


def test_a_template_reaches_no_network_even_where_there_is_a_proxy(
    new_press: NewPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as (address, callers):
        proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), address)
        monkeypatch.setattr(renderer, "ENVIRONMENT", renderer.ENVIRONMENT | proxies)
        new_press()
        with pytest.raises(RenderError, match="failed to download package"):
            render(ADA, '#import "@preview/cetz:0.3.4": *')
        new_press()
    assert callers == []


def test_the_press_has_nothing_of_our_environment(
    new_press: NewPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_for_nobody")
    new_press()
    render(ADA)
    environment = Path(f"/proc/{press_of(os.getpid())}/environ").read_bytes()
    names = {line.split(b"=")[0] for line in environment.split(b"\0") if line}
    assert names == {b"RAYON_NUM_THREADS", b"MALLOC_ARENA_MAX", b"TZ", b"PYTHONPATH"}


def press_of(parent: int) -> int:
    """The process id of the press under a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for child in children:
        if b"shared.rendering.press" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no press")


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_press_is_replaced(rendered: Render) -> None:
    expected = rendered(ADA)
    render(ADA)
    os.kill(press_of(os.getpid()), signal.SIGKILL)
    time.sleep(0.05)
    assert render(ADA) == expected


def test_threads_wait_for_each_other(rendered: Render) -> None:
    samples = [replace(ADA, learner_name=f"Ada {number}") for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(render, samples))
    assert made == [render(sample) for sample in samples]


def test_the_press_dies_with_its_parent_however_that_ends() -> None:
    script = """
        import os, signal, sys
        from tests.rendering.samples import ADA
        from tests.rendering.test_templates import press_of
        from shared.rendering import render
        render(ADA)
        print(press_of(os.getpid()), flush=True)
        if "kill" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    for arguments, status in ([], 0), (["kill"], -signal.SIGKILL):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (status, "")
        deadline = time.monotonic() + 10
        while is_running(int(done.stdout)):
            assert time.monotonic() < deadline, "the press lives on"
            time.sleep(0.02)


@pytest.mark.long
def test_a_press_whose_parent_died_ends_a_template_without_end_by_itself() -> None:
    script = f"""
        import os, threading, time
        from tests.rendering.samples import ADA
        from tests.rendering.test_templates import press_of
        from shared.rendering import render
        render(ADA)
        threading.Thread(target=render, args=(ADA, {SLOW!r}), daemon=True).start()
        time.sleep(0.5)
        print(press_of(os.getpid()), flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, check=False,
        # Not a pipe for errors, which the press would hold open.
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    press = int(done.stdout)
    assert is_running(press)
    deadline = time.monotonic() + 60
    while is_running(press):
        assert time.monotonic() < deadline, "the press lives on"
        time.sleep(0.1)


def test_a_forked_process_has_a_press_of_its_own(rendered: Render) -> None:
    expected = rendered(ADA)
    render(ADA)
    child = os.fork()
    if child == 0:
        try:
            good = render(ADA) == expected and press_of(os.getpid()) > 0
            renderer.close()
            os._exit(0 if good else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert render(ADA) == expected


def test_hot_functions_do_not_load_the_typesetter() -> None:
    script = """
        import sys
        import main
        loaded = [name for name in sys.modules if "typst" in name or "segno" in name
                  or name.startswith("shared.rendering")]
        assert loaded == [], loaded
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        env={
            "PYTHONPATH": str(ROOT), "SUPABASE_URL": "http://127.0.0.1:1",
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_asking_for_certificates_loads_no_typesetter_either() -> None:
    script = """
        import sys
        import shared.rendering
        assert not {"typst", "segno"} & set(sys.modules)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=True,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_the_source_stays_small_enough_to_deploy() -> None:
    """All that a deployment uploads, fonts included; what is ignored does not go along."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    sizes = [(ROOT / name).stat().st_size for name in listed.stdout.decode().split("\0") if name]
    assert sum(sizes) < 40 * 1000**2
