"""Rails: adapters of payment providers."""
