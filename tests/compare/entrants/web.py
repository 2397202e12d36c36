"""nginx at the seed, and a command that downloads at each leecher: what everybody has."""

from __future__ import annotations

import subprocess
import time
from abc import abstractmethod
from pathlib import Path

from tests.compare.entrant import Check, Entrant, Task, tool
from tests.compare.ground import sha256_of
from tests.compare.process import Program, wait_for
from tests.compare.scenario import SEED

PORT = 8000
START_TIMEOUT = 10.0

_NGINX = """\
daemon off; worker_processes 1; error_log /dev/null; pid {home}/nginx.pid;
events {{}}
http {{
  access_log off; sendfile on;
  client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
  uwsgi_temp_path {home}; scgi_temp_path {home};
  server {{ listen {address}:{port}{secured}; root {root}; }}
}}
"""


class Download(Entrant):
    """By HTTP from nginx."""

    scheme = "http"

    def secured(self) -> str:
        """What nginx's `listen` says of TLS, and what belongs to it."""
        return ""

    def prepare(self) -> None:
        task = self.task
        home, address = task.home(SEED), task.ground.address(SEED)
        task.directory.chmod(0o755)  # nginx's worker is another user
        configuration = home / "nginx.conf"
        root = task.content.path.parent
        configuration.write_text(
            _NGINX.format(home=home, address=address, port=PORT, root=root, secured=self.secured())
        )
        nginx = task.ground.start(SEED, [tool("nginx") or "nginx", "-e", "/dev/null", "-c", configuration])
        self.programs[SEED].append(nginx)
        wait_for("nginx listens", lambda: nginx.listens(PORT), START_TIMEOUT)

    def target(self, host: int) -> Path:
        """Where a host has its copy."""
        return self.task.home(host) / "blob"

    @abstractmethod
    def command(self, url: str, target: Path) -> list[str]:
        """What fetches."""

    def go(self) -> None:
        url = f"{self.scheme}://{self.task.ground.address(SEED)}:{PORT}/{self.task.content.path.name}"
        for host in self.task.leechers:
            argv = self.command(url, self.target(host))
            self.programs[host].append(self.task.ground.start(host, argv, stdout=subprocess.DEVNULL))

    def look(self) -> None:
        for host in self.task.leechers:
            if host not in self.finished and host not in self.failed:
                self.look_at(host, self.programs[host][0])

    def look_at(self, host: int, program: Program) -> None:
        """A command that ends well has checked what it got."""
        code = program.ended()
        if code == 0:
            self.finished[host] = time.monotonic()
        elif code is not None:
            self.failed[host] = f"ended with {code}"

    def digest(self, host: int) -> str:
        return sha256_of(self.target(host))


class Curl(Download):
    """It does not check: the SHA-256 of the file is taken then and there."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._checks: dict[int, Check] = {}

    def command(self, url: str, target: Path) -> list[str]:
        return [tool("curl") or "curl", "-sf", "--retry", "5", "-o", str(target), url]

    def look_at(self, host: int, program: Program) -> None:
        code = program.ended()
        if code == 0 and host not in self._checks:
            self._checks[host] = Check(self.target(host), self.task.content.sha256)
        elif code:
            self.failed[host] = f"ended with {code}"
        check = self._checks.get(host)
        if check is not None and not check.is_alive():
            program.cpu += check.cpu
            if check.right:
                self.finished[host] = check.finished
            else:
                self.failed[host] = "the file is wrong"


class Aria(Download):
    """Told the SHA-256."""

    def command(self, url: str, target: Path) -> list[str]:
        return [
            tool("aria2c") or "aria2c", "--quiet", "--no-conf", "--file-allocation=none", f"--dir={target.parent}",
            f"--out={target.name}", f"--checksum=sha-256={self.task.content.sha256}", url,
        ]  # fmt: skip


class SecureAria(Aria):
    """... over TLS 1.3, with a certificate that it checks."""

    scheme = "https"

    @property
    def _certificate(self) -> Path:
        return self.task.home(SEED) / "certificate.pem"

    def secured(self) -> str:
        certificate, key = self._certificate, self.task.home(SEED) / "key.pem"
        address = self.task.ground.address(SEED)
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        argv += ["-days", "2", "-subj", f"/CN={address}", "-addext", f"subjectAltName=IP:{address}"]
        subprocess.run([*argv, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=20)
        return f" ssl; ssl_protocols TLSv1.3; ssl_certificate {certificate}; ssl_certificate_key {key}"

    def command(self, url: str, target: Path) -> list[str]:
        return [*super().command(url, target), f"--ca-certificate={self._certificate}"]
