"""Parts of the simulated ADR desk; `kairos.simulate.adr` is its front."""
