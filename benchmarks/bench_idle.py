"""What a center takes while nothing happens: memory, CPU, and how soon it answers after `pearl up`.

Bounds: 200 MB of memory, 2 % of one core. Every loop runs; there is nothing for them to do.
"""

from __future__ import annotations

import time

from center import arguments, center, median, print_machine, scratch, start, verdict
from results_table import record


def main() -> None:
    options = arguments(__doc__)
    seconds, rounds = (3, 2) if options.quick else (10, 5)
    print_machine()
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("this machine", ()),
        ("64 simulated nodes", ("--simulate", "64x8xH100-80G")),
    )
    for label, more in kinds[:1] if options.quick else kinds:
        with scratch(options.folder) as folder:
            with center(folder / "center", *more):
                pass
            began = time.perf_counter()
            running = start(folder / "center", *more)
            start_s = time.perf_counter() - began
            try:
                time.sleep(2)
                shares = []
                for _ in range(rounds):
                    cpu_s = running.cpu_s
                    time.sleep(seconds)
                    shares.append((running.cpu_s - cpu_s) / seconds * 100)
                share, rss_mb = median(shares), running.rss_mb
            finally:
                running.stop()
        print(f"{label}: {rss_mb:.0f} MB, {verdict(rss_mb, 200, at_most=True)} MB; "
              f"{share:.1f} % of a core, {verdict(share, 2, at_most=True)} %; answers {start_s:.1f} s after its start")  # fmt: skip
        record(f"idle memory, {label}", rss_mb, "MB", "at most", 200)
        record(f"idle CPU of a core, {label}", share, "%", "at most", 2)


if __name__ == "__main__":
    main()
