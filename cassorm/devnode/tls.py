"""A self-signed certificate for clients of a development cluster, made by the runtime's own keytool."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cassorm.devnode.config import KEYSTORE_PASSWORD
from cassorm.devnode.java import Java
from cassorm.errors import DevNodeError


def ensure_certificate(folder: Path, hosts: Sequence[str], java: Java) -> Path:
    """The PEM file of the certificate that all of `hosts` show; made with its key when it is not there.

    Raises:
        DevNodeError: the Java runtime has no keytool, or keytool refuses.
    """
    certificate = folder / "ca.pem"
    if certificate.exists():
        return certificate
    keytool = java.tool("keytool")
    if keytool is None:
        raise DevNodeError(
            "this Java runtime has no keytool, which makes the certificate",
            where=str(java.executable),
            remedy="Point JAVA_HOME to a Java 17 that has it, or leave tls out",
        )
    folder.mkdir(parents=True, exist_ok=True)
    names = ",".join(["dns:localhost", *(f"ip:{host}" for host in hosts)])
    store = ["-keystore", str(folder / "keystore.p12"), "-storepass", KEYSTORE_PASSWORD, "-alias", "node"]
    made = ["-genkeypair", *store, "-storetype", "PKCS12", "-keyalg", "EC", "-groupname", "secp256r1"]
    subject = [
        "-dname",
        "CN=cassorm development node",
        "-validity",
        "3650",
        "-ext",
        f"san={names}",
        "-ext",
        "bc:c=ca:true",
    ]
    _run(keytool, [*made, *subject])
    draft = certificate.with_suffix(".draft")
    _run(keytool, ["-exportcert", *store, "-rfc", "-file", str(draft)])
    return draft.replace(certificate)


def _run(keytool: Path, arguments: Sequence[str]) -> None:
    # Fixed arguments; nothing of the user's but folders.
    done = subprocess.run([str(keytool), *arguments], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DevNodeError(
            f"keytool failed: {(done.stdout + done.stderr).strip()}",
            where=str(keytool),
            remedy="Point JAVA_HOME to another Java 17, or leave tls out",
        )
