"""What a run of the proxy benchmark found, for docs/: one table with a row for each target and each regime, and a chart.

Reads the JSON that run.py wrote; run.py calls it at its end. Standard library only.
"""
import os
from statistics import median

COLOURS = {"bare_relay": "#9aa5b1", "nginx": "#3f8f4f", "haproxy": "#4a6fa5", "tollgate": "#c8553d"}
WIDTH, LABEL, BAR, GAP = 760, 150, 15, 26


def figure(rows, name="us"):
    values = [row[name] for row in rows]
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(report):
    versions = report["versions"]
    lines = [f"Made by `./dev bench proxy --publish`: {report['rounds']} rounds of {report['seconds']} s (paced three, 100,000 keys four times as long) in random order (seed {report['seed']}), "
             f"congestion control {report['congestion_control']}; " + "; ".join(f"{name}: {text}" for name, text in versions.items()) + ".",
             f"Two equal relays differed by {ratio(report['resolution'])}: less is no difference.", "",
             "CPU time of the proxy per request, us, median (least to greatest):", ""]
    names = list(COLOURS)
    lines += ["| regime | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for regime in report["regimes"].values():
        cells = [figure(regime["rows"][name]) if name in regime["rows"] else "" for name in names]
        lines.append(f"| {regime['what']} | " + " | ".join(cells) + " |")
    lines += ["", "The slowest hundredth of all requests took at least, us, medians (as fast as it goes unless a rate is named):", "",
              "| regime | " + " | ".join(name.replace("_", " ") for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for regime in report["regimes"].values():
        cells = [f"{median(row['p99_us'] for row in regime['rows'][name]):.0f}" if name in regime["rows"] else "" for name in names]
        lines.append(f"| {regime['what']} | " + " | ".join(cells) + " |")
    lines += ["", "| target | goal | measured: median of the rounds' ratios (least to greatest) | |", "|---|---|---|---|"]
    for target in report["targets"]:
        sign = "<=" if target["most"] else ">="
        lines.append(f"| {target['target']} | {sign} {target['bound']} | {ratio(target['ratio'])} | {'met' if target['met'] else '**missed**'} |")
    return "\n".join(lines) + "\n"


def ratio(spread):
    return f"{spread['median']:.3f} ({spread['min']:.3f} to {spread['max']:.3f})"


def chart(report):
    """Bars of the median CPU time, each regime on its own scale: they differ by a hundred times."""
    out, top = [], 30
    for regime in report["regimes"].values():
        found = {name: median(row["us"] for row in regime["rows"][name]) for name in COLOURS if name in regime["rows"]}
        out.append(f'<text x="8" y="{top}" font-weight="bold">{regime["what"]}</text>')
        for name, value in found.items():
            top += BAR + 3
            length = (WIDTH - LABEL - 90) * value / max(found.values())
            out.append(f'<text x="{LABEL - 8}" y="{top}" text-anchor="end">{name.replace("_", " ")}</text>'
                       f'<rect x="{LABEL}" y="{top - BAR + 3}" width="{length:.1f}" height="{BAR}" fill="{COLOURS[name]}"/>'
                       f'<text x="{LABEL + length + 6:.1f}" y="{top}">{value:.1f} us</text>')
        top += GAP
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
            'font-family="sans-serif" font-size="12"><title>CPU time of the proxy per request</title>'
            f'<rect width="{WIDTH}" height="{top}" fill="white"/>')
    return head + "\n".join(out) + "</svg>\n"


def write(report, folder):
    os.makedirs(folder, exist_ok=True)
    for name, text in (("proxy.md", table(report)), ("proxy.svg", chart(report))):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
