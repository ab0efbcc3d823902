"""Print as JSON how a host is connected: addresses, routes, names, time servers, and who has an address.

    python3 inspect_network.py '{"node_address": "10.20.0.11", "names": ["mirror.example.internal"],
                                 "time_servers": ["ntp1.example.internal"], "probed": ["10.20.0.10"]}'

Runs on the bare host: Python's standard library and iproute2. It changes nothing.
"""

import ipaddress
import json
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

RESOLVERS = ("etc/resolv.conf", "run/systemd/resolve/resolv.conf")
NTP_REQUEST = b"\x23" + bytes(47)  # version 4, client
NTP_TRIES, NTP_PATIENCE_S = 2, 2.0
ETH_P_ARP, ETHERNET, IPV4, REQUEST, REPLY = 0x0806, 1, 0x0800, 1, 2
ARP = struct.Struct("!HHBBH6s4s6s4s")
ARP_TRIES, ARP_PATIENCE_S = 3, 0.4


def ip(*arguments: str) -> list[dict]:
    done = subprocess.run(["ip", "-json", "-4", *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout or "[]")


def read_addresses(links: list[dict]) -> dict[str, str]:
    """ "10.20.0.11/24" to "bond0", for every address of the host."""
    return {f"{a['local']}/{a['prefixlen']}": link["ifname"] for link in links for a in link.get("addr_info", [])}


def read_routes(table: list[dict]) -> list[dict[str, object]]:
    """Networks beside the default route, the interface to each, and whether it lies there or behind a gateway."""
    return [
        {"to": route["dst"], "interface": route.get("dev", ""), "connected": route.get("scope") == "link"}
        for route in table
        if route["dst"] != "default"
    ]


def read_name_servers(root: Path) -> dict[str, list[str]]:
    """Name servers by the file that names them; files that are not there are left out."""
    return {
        f"/{name}": [
            line.split()[1] for line in (root / name).read_text().splitlines() if line.startswith("nameserver ")
        ]
        for name in RESOLVERS
        if (root / name).exists()
    }


def resolve(name: str) -> list[str]:
    """Addresses of a name, none where it has none."""
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None)})
    except socket.gaierror:
        return []


def ask_time(server: str, port: int = 123) -> str:
    """Fault of a time server, empty when it answers with a time that it vouches for."""
    for address in resolve(server):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(NTP_PATIENCE_S)
            for _ in range(NTP_TRIES):
                try:
                    asking.sendto(NTP_REQUEST, (address, port))
                    answer = asking.recv(512)
                except OSError:
                    continue
                synchronised = len(answer) >= 48 and answer[0] >> 6 != 3 and 0 < answer[1] < 16
                return "" if synchronised else "has no time itself"
    return "does not answer"


def find_holders(interface: str, addresses: list[str]) -> dict[str, list[str]]:
    """Hardware addresses that answer for each IPv4 address. An ARP probe (RFC 5227) asks without claiming one."""
    holders: dict[str, set[str]] = {address: set() for address in addresses if re.fullmatch(r"[0-9.]+", address)}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as wire:
        wire.bind((interface, ETH_P_ARP))
        own_hardware, kind = wire.getsockname()[4], wire.getsockname()[3]
        if kind != ETHERNET:
            return {}
        head = b"\xff" * 6 + own_hardware + struct.pack("!H", ETH_P_ARP)
        for _ in range(ARP_TRIES):
            for address in holders:
                packed = ipaddress.ip_address(address).packed
                wire.send(head + ARP.pack(ETHERNET, IPV4, 6, 4, REQUEST, own_hardware, bytes(4), bytes(6), packed))
            deadline = time.monotonic() + ARP_PATIENCE_S
            while (left := deadline - time.monotonic()) > 0:
                wire.settimeout(left)
                try:
                    frame = wire.recv(128)
                except TimeoutError:
                    break
                *_, operation, hardware, sender, _, _ = ARP.unpack(frame[14 : 14 + ARP.size])
                address = str(ipaddress.ip_address(sender))
                if operation == REPLY and address in holders:
                    holders[address].add(hardware.hex(":"))
    return {address: sorted(found) for address, found in holders.items()}


def inspect(question: dict, root: Path = Path("/")) -> dict:
    addresses = read_addresses(ip("address", "show"))
    own_card = next(
        (card for address, card in addresses.items() if address.split("/")[0] == question["node_address"]), ""
    )
    return {
        "addresses": addresses,
        "routes": read_routes(ip("route", "show")),
        "name_servers": read_name_servers(root),
        "names": {name: resolve(name) for name in question["names"]},
        "time_servers": {server: ask_time(server) for server in question["time_servers"]},
        "holders": find_holders(own_card, question["probed"]) if own_card and question["probed"] else {},
    }


if __name__ == "__main__":
    print(json.dumps(inspect(json.loads(sys.argv[1]))))
