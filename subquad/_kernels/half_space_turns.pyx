"""Turns at a half-space report: many readers at a time, or one writer.

This is compiled because of signals. Python raises KeyboardInterrupt between any two of its own
instructions, so also between taking a lock and the `try` that would give it back. Here no such
moment exists: a turn that was taken is given back, whatever the function that had it raised.
"""
import threading


cdef class Turns:
    """Lets readers in together, and a writer alone; neither may ask again from inside.

    Everyone passes the gate, one at a time. A writer keeps it while it waits for the readers inside
    and while it works, so that no later reader overtakes it. The room is held by a writer, or by
    the readers together.
    """

    cdef readonly object gate
    cdef object room
    cdef Py_ssize_t n_readers

    def __cinit__(self):
        self.gate = threading.Lock()
        self.room = threading.Lock()
        self.n_readers = 0

    def alone(self, function, *args):
        """Return function(*args), called while nobody else is inside."""
        self.gate.acquire()
        try:
            self.room.acquire()
            try:
                return function(*args)
            finally:
                self.room.release()
        finally:
            self.gate.release()

    def together(self, function, *args, prepare=None):
        """Return function(*args), called while no writer is inside.

        Where `prepare` is given and prepare(False) is true, prepare(True) is called first, alone;
        no writer comes between it and the function.
        """
        self.gate.acquire()
        try:
            if prepare is not None and prepare(False):
                self.room.acquire()
                try:
                    prepare(True)
                finally:
                    self.room.release()
            # No writer is in the room, since it would have the gate: the wait is for the last
            # reader to give the room back, if for anything.
            if self.n_readers == 0:
                self.room.acquire()
            self.n_readers += 1
        finally:
            self.gate.release()
        try:
            return function(*args)
        finally:
            self.n_readers -= 1
            if self.n_readers == 0:
                self.room.release()
