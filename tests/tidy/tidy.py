#!/usr/bin/env python3
"""Holds the tree against the rules that compilers do not know: `tidy.py ROOT` prints file:line: rule: what, exit 1.

Each rule is a function from a file to findings; tidy_test.py plants a violation of each. Standard library only.
"""
import os
import re
import sys

ROOMS = ["base", "net", "limiter", "meter", "billing", "gateway"]
LINES_MAX = 400
CPP = (".h", ".cc")
SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".cache", "third_party"}
TEXT = CPP + (".py", ".sh", ".md", ".txt", ".yaml", ".yml", ".json", ".cmake", ".lua", ".conf", ".cfg")
TEXT_NAMES = ("dev", "run", ".clang-format", ".clang-tidy", ".gitignore", "CMakeLists.txt")

# Which of our folders a room may include. Gateway's way to billing/ is narrower still: MAY_SEE_BILLING.
WALLS = {
    "base": {"base"},
    "net": {"base", "net"},
    "limiter": {"base", "limiter"},
    "meter": {"base", "meter"},
    "billing": {"base", "billing"},  # and meter/report.h
    "gateway": {"base", "net", "limiter", "meter", "gateway", "billing"},
}
OURS = set(ROOMS) | {"tests", "bench"}
MAY_SEE_BILLING = re.compile(r"^gateway/(app\w*\.(cc|h)|main\.cc|admin\w*\.(cc|h)|billing_thread\w*\.(cc|h)|ctl\w*\.(cc|h)|json\w*\.(cc|h))$")
# The webhook client of billing may speak over sockets too (ARCHITECTURE.md).
MAY_USE_SOCKETS = re.compile(r"^(gateway|net|bench|tests)/|^cmake/asio_separate\.cc$|^billing/webhook\w*\.(cc|h)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CLOCK_READ = re.compile(r"\b(system_clock|steady_clock|high_resolution_clock|utc_clock)\s*::\s*now\b|\bclock_gettime\s*\(|"
                        r"\bgettimeofday\s*\(|(?<![\w.>:])(std\s*::\s*|::\s*)?time\s*\(\s*(nullptr|NULL|0|&\w+)\s*\)|\babsl\s*::\s*Now\b")
FLOATING = re.compile(r"\b(float|double|strto[df]|sto[df])\b")
SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|\btime\.sleep\b|(?<![\w.])sleep\s*\(\s*\d|\bclock_nanosleep\b")
LEFT_OPEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.)}~-])/(home|root|work|farm)/[\w.]")


class File:
    def __init__(self, path, text):
        self.path = path  # relative to the root, with '/'
        self.text = text
        self.lines = text.split("\n")
        self.room = path.split("/")[0]
        self.is_cpp = path.endswith(CPP)
        self.code_lines = without_comments(text).split("\n") if self.is_cpp else self.lines

    def includes(self):
        for number, line in enumerate(self.lines, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(2)

    def code_matches(self, pattern):
        for number, line in enumerate(self.code_lines, 1):
            if pattern.search(line):
                yield number, line.strip()


def without_comments(text):
    """C++ with comments and the contents of string literals blanked, line numbers kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        found = match.group(0)
        kept = "\n" * found.count("\n")
        return kept if found.startswith("/") else '""' + kept

    return token.sub(blank, text)


def include_walls(file):
    if not file.is_cpp or file.room in ("tests", "bench"):
        return
    for number, name in file.includes():
        target = name.split("/")[0]
        if target not in OURS or "/" not in name:
            continue
        if target in ("tests", "bench"):
            yield number, f"only tests and bench may include {name}"
        elif file.room == "billing" and name == "meter/report.h":
            continue
        elif file.room in WALLS and target not in WALLS[file.room]:
            yield number, f"{file.room} may not include {name}"
        elif file.room == "gateway" and target == "billing" and not MAY_SEE_BILLING.match(file.path):
            yield number, f"only gateway's wiring and admin API may include {name}"


def sockets_in_their_rooms(file):
    if not file.is_cpp or MAY_USE_SOCKETS.match(file.path):
        return
    for number, name in file.includes():
        if re.match(r"boost/(asio|beast)\b", name):
            yield number, f"{name} outside gateway, net, bench and tests"


def sql_in_the_store(file):
    if not file.is_cpp or file.room in ("tests", "bench") or re.match(r"^billing/store", file.path):
        return
    for number, name in file.includes():
        if re.match(r"(?i)sqlite", name):
            yield number, f"{name} outside billing/store*"


def length(file):
    counted = file.path.endswith(CPP + (".py", ".sh")) or file.path == "dev"
    lines = file.text.count("\n")
    if counted and lines > LINES_MAX:
        yield LINES_MAX + 1, f"{lines} lines; at most {LINES_MAX}"


def clocks_only_in_base(file):
    if not file.is_cpp or file.room in ("tests", "bench") or file.path.startswith("base/clock"):
        return
    for number, line in file.code_matches(CLOCK_READ):
        yield number, f"reads a clock outside base/clock: {line}"


def integers_only(file):
    if not file.is_cpp or file.room not in ("limiter", "meter", "billing") or file.path.startswith("meter/metrics"):
        return
    for number, line in file.code_matches(FLOATING):
        yield number, f"floating point: {line}"


def nothing_detached(file):
    if not file.is_cpp:
        return
    for number, line in file.code_matches(re.compile(r"\bdetached\b|\.detach\s*\(\s*\)")):
        yield number, f"nobody hears of what goes wrong in it: {line}"


def no_sleeps_in_tests(file):
    # tidy_test.py plants one.
    if file.room != "tests" or file.path.startswith("tests/tidy/") or not file.path.endswith(CPP + (".py", ".sh")):
        return
    for number, line in file.code_matches(SLEEP):
        yield number, f"a test waits for an event, never for time: {line}"


def nothing_left_open(file):
    for number, line in enumerate(file.lines, 1):
        if LEFT_OPEN.search(line) and not file.path.startswith("tests/tidy/"):
            yield number, f"left open: {line.strip()}"


def no_machine_paths(file):
    for number, line in enumerate(file.lines, 1):
        if MACHINE_PATH.search(line) and not file.path.startswith("tests/tidy/"):
            yield number, f"a path of one machine: {line.strip()}"


def no_trailing_blanks(file):
    for number, line in enumerate(file.lines, 1):
        if line != line.rstrip():
            yield number, "blanks at the end of the line"


def headers_guarded(file):
    if file.path.endswith(".h") and "#pragma once" not in file.text:
        yield 1, "no #pragma once"


RULES = [include_walls, sockets_in_their_rooms, sql_in_the_store, length, clocks_only_in_base, integers_only, nothing_detached,
         no_sleeps_in_tests, nothing_left_open, no_machine_paths, no_trailing_blanks, headers_guarded]


def one_file_knows_prometheus(files):
    """A rule of the whole tree: prometheus-cpp is known to one source file of meter, with its header at most."""
    users = {}
    for file in files:
        if not file.is_cpp or file.room in ("tests", "bench"):
            continue
        for number, name in file.includes():
            if name.startswith("prometheus/"):
                users.setdefault(file.path, (number, name))
    stems = sorted({os.path.splitext(path)[0] for path in users if path.startswith("meter/")})
    for path, (number, name) in sorted(users.items()):
        if not path.startswith("meter/"):
            yield path, number, f"{name} outside meter"
        elif os.path.splitext(path)[0] != stems[0]:
            yield path, number, f"{name}: {stems[0]} knows prometheus-cpp already, and one file is enough"


def check(files):
    out = []
    for file in files:
        for rule in RULES:
            out += [(file.path, number, rule.__name__, what) for number, what in rule(file)]
    out += [(path, number, "one_file_knows_prometheus", what) for path, number, what in one_file_knows_prometheus(files)]
    return sorted(out)


def read_tree(root):
    files = []
    for folder, names, file_names in os.walk(root):
        # A build folder anywhere (-B inside the tree) is known by its cache.
        names[:] = sorted(name for name in names if name not in SKIPPED_FOLDERS
                          and not os.path.exists(os.path.join(folder, name, "CMakeCache.txt")))
        for name in sorted(file_names):
            path = os.path.join(folder, name)
            if (name.endswith(TEXT) or name in TEXT_NAMES) and not os.path.islink(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    files.append(File(os.path.relpath(path, root).replace(os.sep, "/"), file.read()))
    return files


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = read_tree(root)
    rooms = {file.room for file in files if file.is_cpp}
    missing = [room for room in ROOMS if room not in rooms]
    if missing:
        sys.exit(f"tidy: no C++ files in {', '.join(missing)} below {root}: this is not the tree")
    findings = check(files)
    for path, number, rule, what in findings:
        print(f"{path}:{number}: {rule}: {what}")
    print(f"tidy: {len(files)} files, {len(RULES) + 1} rules, {len(findings)} findings")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
