"""Prints what an image needs besides fedshow: `python requirements.py EXTRA < pyproject.toml`.

So that libraries have a layer of their own, which lasts while pyproject.toml asks for the same.
"""

import sys
import tomllib


def requirements(project: dict, extra: str) -> list[str]:
    """The project's own requirements and those of one extra, with those that it names in turn."""
    found, extras = [*project["dependencies"]], project["optional-dependencies"]
    waiting = [*extras[extra]]
    while waiting:
        line = waiting.pop(0)
        name, _, inner = line.partition("[")
        if name == project["name"]:
            waiting += [line for one in inner.rstrip("]").split(",") for line in extras[one]]
        else:
            found.append(line)
    return found


if __name__ == "__main__":
    print("\n".join(requirements(tomllib.load(sys.stdin.buffer)["project"], sys.argv[1])))
