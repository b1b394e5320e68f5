"""What holds for plain HTTP holds through TLS: the tests of the data path once more, each of their clients through TLS. What
cannot be the same is left out: see PLAIN, and classes that are not named in AGAIN."""

import unittest

import test_address_limits
import test_data_path
import test_front_door
import test_headers
import test_refusals
import test_retry
import test_strict_http
import test_timeouts
import wire
from tls_case import TlsTest
from tls_peers import client_context

AGAIN = {
    test_address_limits: ("InvalidKeys", "Pace"),
    test_data_path: ("Calls", "Streams"),
    test_front_door: ("Cuts", "Vanishing"),
    test_headers: ("ToTheUpstream", "ToTheClient"),
    test_refusals: ("Rows", "Order"),
    test_retry: ("Retry",),
    test_strict_http: ("Framing", "Heads", "Limits"),
    test_timeouts: ("Timeouts",),
}
PLAIN = {
    "test_the_gateway_says_who_calls_what": "says http",
    "test_pipelined_calls_of_different_keys_are_answered_in_order_and_charged_apart": "two threads on a connection, which Python's TLS cannot do",
    "test_connections_beyond_the_maximum_are_turned_away_and_room_comes_back": "connections that say nothing have shaken hands here",
}


def through_tls(case):
    class Again(case, TlsTest):
        sets_of_case = case.sets

        @classmethod
        def tls_sets(cls):
            return cls.sets_of_case

        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            context = client_context(cls.authority)
            wire.instead[cls.gateway.port] = (cls.tls_port, lambda plain: context.wrap_socket(plain, server_hostname="first.test", suppress_ragged_eofs=False))
            cls.addClassCleanup(wire.instead.pop, cls.gateway.port)

        def setUp(self):
            if self._testMethodName in PLAIN:
                self.skipTest(PLAIN[self._testMethodName])
            super().setUp()

        @classmethod
        def tearDownClass(cls):
            shaken = cls.gateway.admin.metric("tls_handshakes_total", outcome="full")
            super().tearDownClass()
            assert shaken > 0, "no client came through TLS"

    return type(f"{case.__module__}_{case.__name__}", (Again,), {"__module__": __name__})


for module, names in AGAIN.items():
    for name in names:
        made = through_tls(getattr(module, name))
        globals()[made.__name__] = made
del made


if __name__ == "__main__":
    unittest.main()
