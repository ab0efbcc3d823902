"""Names of a site's registry: those that everything takes, and those that everything refuses."""

TAKEN = (
    "registry.example.internal",
    "mirror.lab.internal:5000",
    "10.20.0.6:5000",
    "harbor.example.internal/qwen",
    "harbor.example.internal:8443/qwen",
    "harbor.example.internal/teams/qwen-2_a.b",
)
REFUSED = (
    "",
    "https://harbor.example.internal/qwen",
    "harbor.example.internal/",
    "harbor.example.internal/qwen/",
    "harbor.example.internal//qwen",
    "/qwen",
    "harbor.example.internal/Qwen",
    "harbor.example.internal/qwen:8443",
    "harbor.example.internal:/qwen",
    "harbor.example.internal/-qwen",
    "harbor.example.internal/v2/qwen",
    "robot@harbor.example.internal/qwen",
    "harbor.example.internal/qwen\n",
    # Names of Docker Hub, to those who pull.
    "harbor",
    "harbor/qwen",
)
