"""peers: the real servers and clients that the tests talk to, and the proxies that make them misbehave.

Python 3.11 to 3.13, standard library only, run by the system's /usr/bin/python3; `tests/` must be on the path.
Every peer listens on loopback, on a port that was free at start, in a folder the caller gives; it ends by its
process id when stopped, when this process exits, and when this process is killed.

A peer that cannot be had raises PeerError: suites fail, they do not skip.
"""
