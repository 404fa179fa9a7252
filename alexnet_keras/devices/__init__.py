"""Several devices: replicas, machines, the paper's two columns, and what crosses between them."""

from alexnet_keras.devices.machines import (
    is_first_machine,
    join_machines,
    on_machines,
    require_same_on_machines,
    without_distribution,
)
from alexnet_keras.devices.replicas import (
    choose_strategy,
    replica_count,
    scope,
    share_of,
    split_cpu,
    use_deterministic_operations,
)
from alexnet_keras.devices.traffic import SCHEMES, Communication, Exchange, communication
from alexnet_keras.devices.two_columns import TwoColumns

__all__ = [
    "Communication",
    "Exchange",
    "SCHEMES",
    "TwoColumns",
    "choose_strategy",
    "communication",
    "is_first_machine",
    "join_machines",
    "on_machines",
    "replica_count",
    "require_same_on_machines",
    "scope",
    "share_of",
    "split_cpu",
    "use_deterministic_operations",
    "without_distribution",
]
