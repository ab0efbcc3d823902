"""The serving stack as a pulumi program: configuration, rules, manifests and components."""
