"""What a sha256 looks like wherever it names something; costs nothing to import."""

import re

DIGEST = re.compile(r"[0-9a-f]{64}")
