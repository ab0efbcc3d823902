"""Programs of this machine that the other rooms use."""
