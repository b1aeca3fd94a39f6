# Copyright (c) 2026, The rebootless.splice authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attributes of the collection's modules mean.  Each module adds its own ``support`` and ``details``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the predicted C(changed) without modifying the host.
  diff_mode:
    description: Returns details on what has changed, or possibly would change in C(check_mode), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second run indicates no change.
  platform:
    description: The operating systems on which the module works.
    support: full
    platforms: linux
"""

    # Modules that run on a host whose kernel is patched.
    TARGET = r"""
options: {}
requirements:
  - Python 3.8 or newer on the target; nothing outside its standard library.
attributes:
  action_group:
    description: Use C(group/rebootless.splice.target) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - rebootless.splice.target
"""

    # Modules that run where updates are made.
    BUILD_HOST = r"""
options: {}
requirements:
  - Python 3.11 or newer on the build host, with the packages of the collection's C(requirements.txt).
attributes:
  action_group:
    description: Use C(group/rebootless.splice.build_host) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - rebootless.splice.build_host
"""

    # Modules that work on the controller, or drive another module from there.
    CONTROLLER = r"""
options: {}
requirements:
  - Python 3.11 or newer on the controller.
attributes:
  action:
    description: Has a corresponding action plugin, so some parts of it run on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
"""

    # Modules to which the controller sends what they need of the collection.
    SENDING = r"""
options: {}
attributes:
  action:
    description: Has a corresponding action plugin, so some parts of it run on the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: full
"""

    # Modules that only look.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This module does not change anything.
  diff_mode:
    support: N/A
    details:
      - This module does not change anything.
  idempotent:
    support: full
    details:
      - This module does not change anything.
"""
