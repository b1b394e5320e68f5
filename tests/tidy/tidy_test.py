#!/usr/bin/env python3
"""Plants a violation of every tidy rule, and its lawful neighbour, so that no rule can pass by finding nothing."""
import os
import unittest

import tidy

HEADER = "#pragma once\n"

# (rule, path, text that violates it)
VIOLATIONS = [
    ("include_walls", "base/a.cc", '#include "limiter/limit.h"\n'),
    ("include_walls", "limiter/a.cc", '#include "meter/report.h"\n'),
    ("include_walls", "meter/a.cc", '#include "billing/core.h"\n'),
    ("include_walls", "billing/a.cc", '#include "gateway/config.h"\n'),
    ("include_walls", "billing/a.cc", '#include "meter/journal.h"\n'),
    ("include_walls", "gateway/session.cc", '#include "billing/core.h"\n'),
    ("include_walls", "gateway/app.cc", '#include "bench/fake_model/fake_model.h"\n'),
    ("include_walls", "meter/a.cc", '#include "tests/x.h"\n'),
    ("sockets_in_their_rooms", "billing/a.cc", "#include <boost/asio.hpp>\n"),
    ("sockets_in_their_rooms", "meter/a.cc", "#include <boost/beast/http.hpp>\n"),
    ("sql_in_the_store", "billing/core.cc", "#include <sqlite3.h>\n"),
    ("sql_in_the_store", "gateway/app.cc", "#include <SQLiteCpp/SQLiteCpp.h>\n"),
    ("length", "base/a.cc", "int x;\n" * 401),
    ("length", "dev", "true\n" * 401),
    ("clocks_only_in_base", "gateway/a.cc", "auto t = std::chrono::system_clock::now();\n"),
    ("clocks_only_in_base", "meter/a.cc", "auto t = std::chrono::steady_clock::now();\n"),
    ("clocks_only_in_base", "meter/a.cc", "clock_gettime(CLOCK_REALTIME, &t);\n"),
    ("clocks_only_in_base", "billing/a.cc", "auto t = time(nullptr);\n"),
    ("clocks_only_in_base", "billing/a.cc", "auto t = std::time(0);\n"),
    ("clocks_only_in_base", "billing/a.cc", "auto t = absl::Now();\n"),
    ("integers_only", "limiter/a.cc", "double x = 0;\n"),
    ("integers_only", "meter/a.cc", "float x = 0;\n"),
    ("integers_only", "billing/a.cc", "auto x = static_cast<double>(1);\n"),
    ("nothing_detached", "gateway/a.cc", "co_spawn(context, run(), asio::detached);\n"),
    ("nothing_detached", "bench/a.cc", "thread.detach();\n"),
    ("no_sleeps_in_tests", "tests/base/a_test.cc", "std::this_thread::sleep_for(1s);\n"),
    ("no_sleeps_in_tests", "tests/e2e/a.py", "time.sleep(1)\n"),
    ("no_sleeps_in_tests", "tests/e2e/a_test.cc", "usleep(10);\n"),
    ("nothing_left_open", "base/a.cc", "// TO" "DO: later\n"),
    ("nothing_left_open", "docs/a.md", "FIX" "ME\n"),
    ("no_machine_paths", "docs/a.md", "see /home/someone/x\n"),
    ("no_machine_paths", "dev", "cd /root/x\n"),
    ("no_machine_paths", "base/a.cc", 'open("/work/x");\n'),
    ("no_trailing_blanks", "base/a.cc", "int x; \n"),
    ("no_trailing_blanks", "docs/a.md", "text\t\n"),
    ("headers_guarded", "base/a.h", "int x();\n"),
    ("one_file_knows_prometheus", "gateway/a.cc", "#include <prometheus/registry.h>\n"),
]

LAWFUL = [
    ("limiter/a.h", HEADER + '#include "base/clock.h"\n#include "limiter/limit.h"\n'),
    ("billing/a.cc", '#include "meter/report.h"\n'),
    ("billing/store_sqlite.cc", "#include <sqlite3.h>\n"),
    ("gateway/app_wiring.cc", '#include "billing/core.h"\n#include <boost/asio/io_context.hpp>\n'),
    ("gateway/admin_usage.cc", '#include "billing/core.h"\n'),
    ("tests/gateway/a_test.cc", '#include "bench/fake_model/fake_model.h"\n#include "billing/core.h"\n'),
    ("base/clock.cc", "return std::chrono::system_clock::now();\n"),
    ("bench/a.cc", "auto t = std::chrono::steady_clock::now(); double x = 0;\n"),
    ("meter/metrics.cc", "#include <prometheus/collectable.h>\ndouble x = 0;\n"),
    ("billing/a.cc", '// a double entry, sleep_for, detached\nauto text = "double entry"; int runtime(int); auto x = runtime(0);\n'),
    ("gateway/a.cc", "auto t = clock.now(); auto u = begin_time(); auto v = record.time(); auto w = time();\n"),
    ("base/a.cc", "int x;\n" * 400),
    ("docs/a.md", "/usr/share and https://example.org/home/ and ./work/x and ${root}/home/x\n"),
    ("bench/proxy/a.py", "time.sleep(1)\n"),
]


def rules_broken(*files):
    return {rule for _, _, rule, _ in tidy.check([tidy.File(path, text) for path, text in files])}


class TidyTest(unittest.TestCase):
    def test_every_planted_violation_is_found(self):
        for rule, path, text in VIOLATIONS:
            with self.subTest(rule=rule, path=path, text=text[:60]):
                self.assertEqual({rule}, rules_broken((path, text)))

    def test_every_rule_has_a_planted_violation(self):
        self.assertEqual({rule.__name__ for rule in tidy.RULES} | {"one_file_knows_prometheus"}, {rule for rule, _, _ in VIOLATIONS})

    def test_what_is_lawful_passes(self):
        for path, text in LAWFUL:
            with self.subTest(path=path, text=text[:60]):
                self.assertEqual(set(), rules_broken((path, text)))

    def test_a_second_file_of_meter_that_knows_prometheus_is_found(self):
        include = "#include <prometheus/registry.h>\n"
        self.assertEqual({"one_file_knows_prometheus"}, rules_broken(("meter/metrics.cc", include), ("meter/other.cc", include)))
        self.assertEqual(set(), rules_broken(("meter/metrics.cc", include), ("meter/metrics.h", HEADER + include)))

    def test_line_numbers_survive_comments_and_literals(self):
        text = '/* one\ntwo */\nauto x = R"(a\nb)";\ndouble y = 0;\n'
        found = tidy.check([tidy.File("billing/a.cc", text)])
        self.assertEqual([("billing/a.cc", 5)], [(path, number) for path, number, _, _ in found])

    def test_the_tree_is_read_without_its_build_folders(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(tidy.__file__))))
        paths = {file.path for file in tidy.read_tree(root)}
        self.assertIn("tests/tidy/tidy.py", paths)
        self.assertIn("CMakeLists.txt", paths)
        self.assertFalse([path for path in paths if path.startswith(("build/", ".git/"))])


if __name__ == "__main__":
    unittest.main()
