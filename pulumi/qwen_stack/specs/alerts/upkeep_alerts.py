"""Alerts of what is needed on a bad day and ends unnoticed: snapshots of etcd and certificates."""

from __future__ import annotations

from collections.abc import Iterator

from qwen_stack.settings.monitoring import Monitoring
from qwen_stack.specs.alerts.alert import Alert

DAY = 86400
SOON_DAYS, NOW_DAYS = 14, 2
READ_HOURS = 3
PLANNED = "serving:planned_backups:hosts"


def alerts(monitoring: Monitoring) -> Iterator[Alert]:
    """Alerts of the control plane's hosts; none where the stack does not name them."""
    if not monitoring.control_plane_hosts:
        return
    age, told = "serving:backup_age:seconds", "serving:certificates_told_ago:seconds"
    yield Alert(
        name="BackupOld",
        expression=f"{age} > {monitoring.backup_hours * 3600} or {PLANNED} unless on (node) {age}",
        holds="15m",
        severity="critical",
        owner="platform",
        summary="{{ $labels.node }} has no new snapshot of etcd",
        impact="If etcd is lost now, the cluster comes back as it was at the last snapshot, or not at all.",
        found="no snapshot of this host that was restored on trial, for {{ $value | humanizeDuration }} or ever",
        needed=f"one within {monitoring.backup_hours} hours (monitoring.backupHours)",
        remedy="Start etcd-backup.service and mend what it names: usually a share that is not mounted, or is full.",
        look="`journalctl --unit etcd-backup --lines 40` and `systemctl list-timers etcd-backup.timer` on the host",
    )
    yield _certificate("CertificateExpires", SOON_DAYS, "warning")
    yield _certificate("CertificateEnds", NOW_DAYS, "critical")
    yield Alert(
        name="CertificatesUnread",
        expression=f"{told} > {READ_HOURS * 3600} or {PLANNED} unless on (node) {told}",
        holds="15m",
        severity="warning",
        owner="platform",
        summary="Nobody reads when the certificates of {{ $labels.node }} end",
        impact="They may end without an alert.",
        found="certificates that were not read for hours, or never",
        needed=f"a reading within {READ_HOURS} hours",
        remedy="Start node-certificates.service and mend what it names.",
        look="`journalctl --unit node-certificates --lines 20` on the host",
    )


def _certificate(name: str, days: int, severity: str) -> Alert:
    ends = (f"serving:{series}:seconds < {days * DAY}" for series in ("certificate_left", "kubelet_certificate_left"))
    return Alert(
        name=name,
        expression=" or ".join(ends),
        holds="15m",
        severity="critical" if severity == "critical" else "warning",
        owner="platform",
        summary="A certificate of {{ $labels.node }} ends{{ with $labels.file }}: {{ . }}{{ end }}",
        impact="After its end the parts of the control plane, or this kubelet, refuse each other.",
        found="{{ $value | humanizeDuration }} left",
        needed=f"at least {days} days",
        remedy="Run ansible/certificates.yml (docs/operate/certificates.md). A kubelet renews its own: if it does not, "
        "read its log.",
        look="`kubeadm certs check-expiration` on the host",
    )
