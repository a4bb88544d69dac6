"""A real Apache Cassandra as processes on this machine, without Docker: for development, tests and benchmarks.

May import `errors`. Needs the extra `cassorm[node]` to fetch jars and, where Java 17 is not installed, to run them.
"""

from cassorm.devnode.cluster import DevCluster, DevNode
from cassorm.devnode.isolation import missing_for_isolation
from cassorm.devnode.node import Node
from cassorm.devnode.spec import PROFILES

__all__ = ["PROFILES", "DevCluster", "DevNode", "Node", "missing_for_isolation"]
