"""What benchmarks share besides the servers: a network of their own, what the machine and the programs are, the load, and how
figures of several rounds are told.
"""
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

from servers import LOAD_CORE

HERE = os.path.dirname(os.path.abspath(__file__))


def enter_network_namespace():
    """A network of our own with cubic: the host's default may be BBR, whose pacing distorts bodies."""
    if os.environ.get("TOLLGATE_BENCH_NAMESPACE") or os.geteuid() != 0 or not shutil.which("ip"):
        return
    if subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return
    os.environ["TOLLGATE_BENCH_NAMESPACE"] = "1"
    route = "dev lo table local proto kernel scope host src 127.0.0.1 congctl cubic"
    script = ("ip link set lo up; echo reno > /proc/sys/net/ipv4/tcp_congestion_control; "
              f"ip route replace local 127.0.0.0/8 {route}; ip route replace local 127.0.0.1 {route}; exec \"$@\"")
    os.execvp("unshare", ["unshare", "-n", "sh", "-c", script, "sh", sys.executable, *sys.argv])


def congestion_control():
    with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
        default = file.read().strip()
    if not os.environ.get("TOLLGATE_BENCH_NAMESPACE"):
        return default
    routes = subprocess.run(["ip", "route", "show", "table", "local"], capture_output=True, text=True).stdout
    return "cubic" if "congctl cubic" in routes else default


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def versions(build, taking_part):
    out = {"kernel": platform.release(), "wrk": first_line(["wrk", "-v"]).split(" [")[0]}
    if "nginx" in taking_part:
        out["nginx"] = first_line(["nginx", "-v"])
    if "haproxy" in taking_part:
        out["haproxy"] = first_line(["haproxy", "-v"])
    if "tollgate" in taking_part:
        out["tollgate"] = first_line([f"{build}/tollgate", "--version"])
    with open("/proc/cpuinfo") as file:
        out["cpu"] = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "?")
    return out


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def show(text):
    return f"{text['median']:.3f} ({text['min']:.3f}..{text['max']:.3f})"


def paced(build, port, path, keys_file, connections, seconds, body_bytes=1024, rate=2000, cores=LOAD_CORE, spin=False):
    """An open loop at a fixed rate. What was not answered with 2xx is in the result's `errors`.

    Asleep between two calls: a sender that spins takes a whole core, and keeps the model on it from its turn.
    """
    done = subprocess.run(
        ["taskset", "-c", str(cores), f"{build}/bench/load/paced_load", "--host", "127.0.0.1", "--port", str(port), "--path",
         path, "--keys-file", keys_file, "--connections", str(connections), "--body-bytes", str(body_bytes), "--rate", str(rate),
         "--seconds", str(seconds), "--spin", str(int(spin))], capture_output=True, text=True, timeout=seconds + 60)
    if not done.stdout:
        raise RuntimeError(f"paced_load failed: {done.stderr}")
    return json.loads(done.stdout)


def wrk(url, path, keys_file, connections, seconds, body_bytes=1024, cores=LOAD_CORE, scattered=False):
    """As fast as it goes, the keys in turn; `scattered`: in an order without a pattern, from another place each time."""
    environment = {**os.environ, "BENCH_KEYS_FILE": keys_file, "BENCH_BODY_BYTES": str(body_bytes), "BENCH_PATH": path,
                   "BENCH_SCATTERED": str(int(scattered))}
    done = subprocess.run(["taskset", "-c", str(cores), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s",
                           f"{HERE}/load.lua", url], env=environment, capture_output=True, text=True, timeout=seconds + 60)
    results = [line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not results:
        raise RuntimeError(f"wrk failed: {done.stdout} {done.stderr}")
    return json.loads(results[0])
