"""How the programs that tests and benchmarks use are brought: the cache, and the places that they come from."""
