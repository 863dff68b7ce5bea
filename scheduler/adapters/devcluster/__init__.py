"""A real Kubernetes control plane on loopback, built from Go modules: for tests, and for people without a cluster.

`versions` names the programs, `build` makes them once into a cache, `cluster.DevCluster` starts and stops them, `fleet` keeps a
record of a running one for other processes, `audit` reads what was asked of the API server.
"""
