"""The clients of a run as processes."""

import multiprocessing
import time


class Traffic:
    """Starts the clients, and ends them in the right order.

    The phase is 0 while new work is wanted; 1 when those that start work come
    to their ends; 2 when those that execute it may go, too."""

    def __init__(self, plan):
        self.clients = plan.clients()
        self.context = multiprocessing.get_context("fork")
        self.phase = self.context.Value("i", 0)
        self.processes = []

    def start(self):
        for client in self.clients:
            process = self.context.Process(target=client.main, args=(self.phase,),
                                           name=client.name, daemon=True)
            process.start()
            self.processes.append(process)

    def finish(self, patience):
        """End the clients; return the names of those that do not end."""
        end = time.monotonic() + patience
        self.phase.value = 1
        workers = [c.name for c in self.clients if c.__class__.__name__.endswith("Worker")]
        for process in self.processes:
            if process.name not in workers:
                process.join(max(0.1, end - time.monotonic()))
        self.phase.value = 2
        end = max(end, time.monotonic() + 30)
        for process in self.processes:
            process.join(max(0.1, end - time.monotonic()))
        late = [process.name for process in self.processes if process.is_alive()]
        self.kill()
        late += ["%s (failed)" % p.name for p in self.processes if p.exitcode == 1]
        return late

    def kill(self):
        """End the clients at once."""
        for process in self.processes:
            process.kill()
