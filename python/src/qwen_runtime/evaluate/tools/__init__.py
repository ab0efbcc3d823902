"""Conformance of an endpoint's tool calls: what agents rely on, asked of the endpoint as it is served."""
