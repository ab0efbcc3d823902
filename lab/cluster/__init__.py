"""The way from bare hosts to an answer: Ansible's playbook, the Pulumi program, the load balancer, a question."""
