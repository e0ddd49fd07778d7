"""Real servers from Debian's packages, started for a test and killed by their process ids."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

import pytest

SYSTEM_PYTHON = "/usr/bin/python3"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
            continue
        return True
    return False


def need_rtsp() -> None:
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if (
        not os.path.exists(SYSTEM_PYTHON)
        or subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode
    ):
        pytest.skip("GStreamer's RTSP server is not installed (gir1.2-gst-rtsp-server-1.0)")


@contextmanager
def rtsp(
    source: Path, port: int, *login: str, payloader: str = "", elements: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Serves ``source`` at /live and takes what is published to /in. ``payloader``: properties of it;
    ``elements``: before it, each with a ``!`` after it.
    """
    need_rtsp()
    script = Path(__file__).with_name("rtsp_server.py")
    server = subprocess.Popen(
        [SYSTEM_PYTHON, str(script), str(port), str(source), *login],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        | {"RTSP_PAYLOADER": payloader, "RTSP_FILTER": elements},
    )
    try:
        assert listens(port)
        yield server
    finally:
        server.kill()
        server.communicate()


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[int, int, subprocess.Popen[bytes]]]:
    """RTMP at /app and HTTP of ``folder``: their ports, and the process."""
    module = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
    if shutil.which("nginx") is None or not module.exists():
        pytest.skip("nginx with RTMP is not installed (nginx libnginx-mod-rtmp)")
    rtmp_port, http_port = free_port(), free_port()
    config = folder / "nginx.conf"
    user = "user root;\n" if os.getuid() == 0 else ""  # its worker has to read pytest's folder
    config.write_text(
        f"load_module {module};\n{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"rtmp {{ server {{ listen 127.0.0.1:{rtmp_port};\n"
        "  application app { live on; record off; } } }\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{http_port}; root {folder};\n"
        "  location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; } } }\n"
    )
    server = subprocess.Popen(
        ["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        assert listens(rtmp_port)
        yield rtmp_port, http_port, server
    finally:
        for pid in (*workers(server.pid), server.pid):
            os.kill(pid, signal.SIGCONT)
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            for pid in (*workers(server.pid), server.pid):
                os.kill(pid, signal.SIGKILL)
            server.wait()


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[Callable[[str], list[float]]]:
    """Scrapes a port of this machine each second; what is asked in its language gives the values."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n"
        f"  - {{job_name: x, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}\n"
    )
    server = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ask(question: str) -> list[float]:
        address = f"http://127.0.0.1:{port}/api/v1/query?query={quote(question)}"
        try:
            answer = json.loads(urllib.request.urlopen(address, timeout=10).read())
        except HTTPError:  # it is still starting
            return []
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    try:
        assert listens(port)
        yield ask
    finally:
        server.terminate()
        server.wait(20)


def workers(parent: int) -> list[int]:
    """The processes that a process has started."""
    try:
        text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    except OSError:
        return []
    return [int(one) for one in text.split()]
