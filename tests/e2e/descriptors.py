"""What a gateway has open. Each worker has a table of descriptors of its own; all other threads share the process's."""

import os


def of_workers(pid):
    """How many descriptors each worker has open, in no order."""
    counts, tasks = [], f"/proc/{pid}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/comm", encoding="ascii") as name:
            if name.read().startswith("worker-"):
                counts.append(len(os.listdir(f"{tasks}/{task}/fd")))
    return counts


def of_all(pid):
    return len(os.listdir(f"/proc/{pid}/fd")) + sum(of_workers(pid))
