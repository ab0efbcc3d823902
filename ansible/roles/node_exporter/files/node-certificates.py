#!/usr/bin/python3
"""Write when certificates end, as a file of measurements: node-certificates.py FILE PATTERN...

A pattern names files in PEM, or kubeconfigs, whose client's certificate is looked at. Of several certificates in a file
the first to end counts. A file that holds none has no line; one that cannot be read makes the run fail with its name,
and the file of measurements stays as it was.
"""

import base64
import glob
import os
import re
import ssl
import subprocess
import sys

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
EMBEDDED = re.compile(r"client-certificate-data: *(\S+)")
HEAD = """# HELP qwen_certificate_end_seconds Time at which a certificate of this host ends, in seconds since 1970.
# TYPE qwen_certificate_end_seconds gauge
"""


def end(certificate: str) -> float:
    """Seconds since 1970 at which a certificate in PEM ends."""
    command = ["openssl", "x509", "-noout", "-enddate"]
    done = subprocess.run(command, input=certificate, capture_output=True, text=True, check=True)
    return ssl.cert_time_to_seconds(done.stdout.strip().partition("=")[2])


def ends(path: str) -> list[float]:
    """Ends of the certificates in a file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    embedded = [base64.b64decode(found).decode() for found in EMBEDDED.findall(text)]
    return [end(found) for found in PEM.findall("\n".join([text, *embedded]))]


def main(target: str, patterns: list[str]) -> None:
    paths = sorted({path for pattern in patterns for path in glob.glob(pattern)})
    found = {path: ends(path) for path in paths}
    lines = [f'qwen_certificate_end_seconds{{file="{path}"}} {min(each):.0f}\n' for path, each in found.items() if each]
    partial = f"{target}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(HEAD + "".join(lines))
    os.chmod(partial, 0o644)
    os.replace(partial, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
