"""Print what keeps a file from being the certificate authority of a site; print nothing when it is one.

    python3 inspect_authority.py FILE

Runs on the controller with Python's standard library. The file is copied to every host, readable by all.
"""

import ssl
import sys
from pathlib import Path


def fault(path: Path) -> str:
    """Fault of the file, or an empty text."""
    try:
        text = path.read_text("ascii", "ignore")  # comments between certificates may be in any language
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if "PRIVATE KEY" in text:
        return "a private key in it"
    store = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        store.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return "no certificate in PEM form"
    known = store.cert_store_stats()
    if known["x509"] != 1:
        return f"{known['x509']} certificates"
    return "" if known["x509_ca"] == 1 else "the certificate of a server, not of an authority"


if __name__ == "__main__":
    print(fault(Path(sys.argv[1])))
