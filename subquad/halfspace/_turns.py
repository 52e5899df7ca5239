"""Many readers or one writer."""

import contextlib
import threading


class Turns:
    """Lets readers in together, and a writer alone; neither may ask again from inside."""

    def __init__(self):
        self._condition = threading.Condition()
        self._readers = 0

    @contextlib.contextmanager
    def reading(self):
        """Hold off writers."""
        with self._condition:
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                self._condition.notify_all()

    @contextlib.contextmanager
    def writing(self):
        """Wait for the readers to finish, and hold off everyone."""
        with self._condition:
            self._condition.wait_for(lambda: self._readers == 0)
            yield
