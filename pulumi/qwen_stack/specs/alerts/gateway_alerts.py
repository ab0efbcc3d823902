"""Alerts of the gateway."""

from __future__ import annotations

from qwen_stack.specs.alerts.alert import Alert
from qwen_stack.specs.monitoring import logs

FULL = 0.8
ERRORS, LEAST_ERRORS = 0.05, 5
# A month before, renewal is still a matter of the day.
CERTIFICATE_DAYS = 21
LOG = "`kubectl -n <namespace> logs -l app.kubernetes.io/name=gateway --since 15m`"
ANSWER = 'count(up{job="gateway"} == 1)'
PODS = "`kubectl -n <namespace> describe pods -l app.kubernetes.io/name=gateway`"


def alerts() -> list[Alert]:
    refused = 'sum(increase(serving:gateway_answers:total{class="5xx"}[5m]))'
    failed = f"({refused} + sum(increase(serving:gateway_cut:total[5m])))"
    asked = 'sum(increase(serving:gateway_answers:total{class=~"2xx|3xx|5xx"}[5m]))'
    return [
        Alert(
            name="GatewayErrors",
            expression=f"{failed} / {asked} > {ERRORS} and {failed} >= {LEAST_ERRORS}",
            holds="2m",
            severity="critical",
            owner="serving",
            summary="The gateway answers with errors",
            impact="Clients get 5xx, or streams that end before their last word.",
            found="{{ $value | humanizePercentage }} of the answers within 5 minutes",
            needed=f"at most {ERRORS:.0%}",
            remedy="Look at `detail` and `server` of the failed requests: one server, one client, or all.",
            look=LOG + ' with `"status":5`, or `"end":"UPE"` for a stream that was cut; where logs are kept '
            f"(docs/operate/logs.md), `{logs.FAILED_REQUESTS}`",
        ),
        Alert(
            name="GatewayFull",
            expression="serving:gateway_connections:connections "
            f"> on () group_left () ({FULL} * serving:planned_gateway_connections:connections) "
            f"or serving:gateway_memory_used:ratio > {FULL} or serving:gateway_refuses_requests:bool > 0",
            holds="1m",
            severity="warning",
            owner="serving",
            summary="Gateway {{ $labels.instance }} is near its limits",
            impact="New connections are closed at once, or new requests get 503.",
            found="{{ $value | humanize }} connections, or as a share of its memory",
            needed=f"at most {FULL:.0%} of gateway.maxConnections and of its memory",
            remedy="Raise gateway.replicas or gateway.maxConnections, or ask who holds so many connections.",
            look="`serving:gateway_connections:connections`; " + LOG + " by `client`",
        ),
        Alert(
            name="NoGateway",
            expression=f"serving:planned_gateways:replicas unless on () {ANSWER}",
            holds="1m",
            severity="critical",
            owner="serving",
            summary="No gateway runs",
            impact="Nobody is answered, whatever the model.",
            found="no gateway that answers Prometheus",
            needed="{{ $value }}",
            remedy="Look at the pods: a gateway with a certificate that does not fit its key answers nobody.",
            look=PODS,
        ),
        Alert(
            name="GatewaysMissing",
            expression=f"serving:planned_gateways:replicas > on () {ANSWER}",
            holds="5m",
            severity="warning",
            owner="serving",
            summary="Fewer gateways run than planned",
            impact="Less room for connections; one more loss may be an outage.",
            found="fewer than {{ $value }} gateways that answer Prometheus",
            needed="{{ $value }}",
            remedy="Look at the pod that is missing: Pending means no host for it, a crash says why in its log.",
            look=PODS,
        ),
        Alert(
            name="GatewayCertificateExpires",
            expression=f"min(serving:gateway_certificate_left:days) < {CERTIFICATE_DAYS}",
            holds="15m",
            severity="warning",
            owner="serving",
            summary="The gateway's certificate ends soon",
            impact="After its end no client connects.",
            found="{{ $value }} days",
            needed=f"at least {CERTIFICATE_DAYS}",
            remedy="Put a new pair into the Secret that gateway.tlsSecret names. Gateways take it without a restart.",
            look="`kubectl -n <namespace> get secret <gateway.tlsSecret>`",
        ),
    ]
