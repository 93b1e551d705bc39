"""A real browser: Debian's Chromium, driven by its own driver, and what a person sees in it."""

import base64
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.stage.waiting import PATIENCE_SECONDS

PACKAGES = ("chromium", "chromium-driver")
PROGRAMS = ("chromium", "chromedriver")
INSTALL_SECONDS = 600
QUIET = (  # nothing but the pages asked for
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def prepare_chromium() -> str:
    """Installs what is missing where that may be done; otherwise says why there is no browser."""
    if all(map(shutil.which, PROGRAMS)):
        return ""
    wanted = f"apt-get install {' '.join(PACKAGES)}"
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return f"no Chromium and driver here, and they cannot be installed: {wanted} (as root)"
    for arguments in (("install", *PACKAGES), ("update",), ("install", *PACKAGES)):
        tried = _apt_get(*arguments)
        if all(map(shutil.which, PROGRAMS)):
            return ""
    return f"{wanted} failed: {tried.strip()[-300:]}"


def _apt_get(command: str, *packages: str) -> str:
    done = subprocess.run(
        ["apt-get", "-y", "--no-install-recommends", command, *packages],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    return done.stdout


@contextmanager
def chromium(home: Path, trusted: tuple[str, ...], downloads: Path) -> Iterator[Chrome]:
    """Chromium without a window; it trusts certificates with these keys, and keeps nothing."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in (
        "--headless=new",
        *QUIET,
        f"--ignore-certificate-errors-spki-list={','.join(trusted)}",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it refuses to have one as root
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    log = str(home / "chromedriver.log")
    environment = os.environ | {"HOME": str(home)}
    service = ChromeService(shutil.which("chromedriver"), log_output=log, env=environment)
    driver = Chrome(options, service)
    driver.set_script_timeout(PATIENCE_SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


def key_of(address: str) -> str:
    """The key of the server there, as Chromium's switch wants it."""
    host, _, port = address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)))
    key = load_pem_x509_certificate(pem.encode()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(sha256(spki).digest()).decode()
