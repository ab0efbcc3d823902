"""Print what keeps a host from pulling from a registry; print nothing when it may.

    python3 ask_registry.py <<< '{"url": "https://registry:5000", "ca": "", "user": "", "password": ""}'

`ca` is a certificate in PEM form, trusted beside the system's own. Runs on a bare host: Python's standard library.
"""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request

SILENT_S = 15


def fault(question: dict) -> str:
    """Fault of the registry, its certificate or the login, or an empty text."""
    user, password = question["user"], question["password"]
    login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    trusted = ssl.create_default_context()
    if question["ca"]:
        trusted.load_verify_locations(cadata=question["ca"].encode("ascii", "ignore").decode())
    try:
        status, scheme = ask(question["url"] + "/v2/", {"Authorization": login} if user else {}, trusted)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"a certificate that no trusted authority has signed ({reason.verify_message})"
        return f"no answer ({reason})"
    if status == 200 or (status == 401 and not user and scheme == "bearer"):  # it may give tokens to everybody
        return ""
    if status == 401 and not user:
        return "a registry that wants a login"
    if status in (401, 403):
        return f"a registry that refuses the login of {user} (status {status}, it asks for {scheme or 'nothing'})"
    return f"status {status}"


def ask(url: str, headers: dict, trusted: ssl.SSLContext) -> tuple[int, str]:
    """Status of the answer, and the kind of login that the registry asks for."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=SILENT_S) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers.get("WWW-Authenticate", "").partition(" ")[0].lower()


if __name__ == "__main__":
    print(fault(json.load(sys.stdin)))
