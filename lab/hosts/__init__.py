"""The rack: its network, hosts that are systemd containers, and hosts that are virtual machines."""
