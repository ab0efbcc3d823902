"""etcd's own tool on a host of the control plane, with the certificate that health checks use."""

PKI = "/etc/kubernetes/pki/etcd"
ETCDCTL = (
    "/usr/local/sbin/etcd-tool /tmp etcdctl --endpoints=https://127.0.0.1:2379"
    f" --cacert={PKI}/ca.crt --cert={PKI}/healthcheck-client.crt --key={PKI}/healthcheck-client.key"
)
