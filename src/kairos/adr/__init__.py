"""The ADR desk: what an ADR should be worth while the market of its ordinary share is closed."""
