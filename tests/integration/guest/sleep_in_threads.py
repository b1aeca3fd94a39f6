# Copyright (c) 2026, The rebootless.splice authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""As many threads as asked for, which sleep."""

import sys
import threading

threading.stack_size(64 << 10)
end = threading.Event()
for _number in range(int(sys.argv[1])):
    threading.Thread(target=end.wait, daemon=True).start()
print(1, flush=True)
end.wait()
