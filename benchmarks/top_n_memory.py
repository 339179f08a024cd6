"""Memory of ten recommendations for each of 100,000 users among 20,000 items.

python -m benchmarks.top_n_memory
"""

from __future__ import annotations

import time
import tracemalloc

from autorec_np import AutoRec, make_ratings

if __name__ == "__main__":
    R = make_ratings(n_users=100_000, n_items=20_000, n_ratings=2_000_000, random_state=0)
    model = AutoRec(hidden_layer_sizes=(64,), max_iter=1, random_state=0).fit(R)
    tracemalloc.start()
    started = time.perf_counter()
    ids, _ = model.recommend(R.user_ids, n=10)
    seconds = time.perf_counter() - started
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    print(f"{len(ids):,} users x {R.n_items:,} items: {seconds:.1f} s, {peak:.0f} MB at the peak")
