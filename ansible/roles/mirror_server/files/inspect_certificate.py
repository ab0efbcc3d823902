"""Judge a server's certificate as its clients will, by a handshake in memory.

Usage: inspect_certificate.py CERTIFICATE KEY AUTHORITY NAME... An empty AUTHORITY stands for those of the system. It
prints the first fault, or nothing.
"""

import ssl
import sys

ROUNDS = 10
"""Turns after which a handshake has ended or never will; TLS 1.3 needs three."""


def fault(certificate: str, key: str, authority: str, names: list[str]) -> str:
    """Fault of the files, or of one of the names; an empty text where there is none."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a password would ask on the terminal.
        server.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"a key at {key} that is not of the certificate"
        return f"no certificate at {certificate} with a key without password at {key} ({error.reason or error})"
    except (OSError, ValueError) as error:
        return f"no certificate at {certificate} with a key without password at {key} ({error})"
    try:
        client = ssl.create_default_context(cafile=authority or None)
    except (OSError, ssl.SSLError) as error:
        return f"no authority at {authority} ({error})"
    for name in names:
        reason = refusal(server, client, name)
        if reason:
            return f"a certificate that clients of {name} refuse: {reason}"
    return ""


def refusal(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    """Reason for which a client that calls the server by this name breaks off; an empty text where it does not."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(there, back, server_side=True)
    asking = client.wrap_bio(back, there, server_hostname=name)
    for _ in range(ROUNDS):
        for side in (asking, serving):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            if side is asking:
                return ""
    return "the handshake does not end"


if __name__ == "__main__":
    print(fault(*sys.argv[1:4], sys.argv[4:]))
